"""``robust recipes`` and the columns that it prints."""

from __future__ import annotations

import json

from click.testing import CliRunner, Result

from asr_core.recipes import Recipe, load_recipe, recipes
from robust.cli import main


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["recipes", *arguments], prog_name="robust")


def test_all_are_listed_in_columns() -> None:
    result = run()
    assert result.exit_code == 0, result.output
    head, *rows = result.stdout.splitlines()
    assert head.split()[:2] == ["recipe", "backbone"]
    assert [row.split()[0] for row in rows] == recipes()
    assert len({len(row) for row in [head, *rows]}) == 1, "the last column is flush right"
    assert len(head) <= 100
    vgg = next(row for row in rows if row.startswith("vgg19-stl10 "))
    assert " ".join(vgg.split()) == ("vgg19-stl10 vgg19_bn sgd 60/120/160 × 0.2 0.1 0.0005 164 16")
    vit = next(row for row in rows if row.startswith("vit-b-384"))
    assert " ".join(vit.split()) == "vit-b-384-imagenet vit_b_16_384 adamw cosine 5e-06 1e-08 30 64"


def test_one_is_shown_whole_with_its_notes() -> None:
    result = run("resnet-acnet-cifar10")
    assert result.exit_code == 0, result.output
    assert "backbone         resnet83_acnet\n" in result.stdout
    assert "source           paper, Table 2, ResNet-ACNet" in result.stdout
    said = " ".join(result.stdout.split())
    notes = load_recipe("resnet-acnet-cifar10").notes
    assert len(notes) > 1
    assert all(f"- {note}" in said for note in notes)
    assert "milestones" not in said.split("- ")[0], "a cosine has none"
    assert all(len(line) <= 100 for line in result.stdout.splitlines())
    assert "milestones       81, 122\n" in run("resnet83-cifar10").stdout


def test_json_is_what_recipes_are_read_from() -> None:
    listing = json.loads(run("--json").stdout)
    assert [Recipe.from_dict(entry) for entry in listing] == [load_recipe(n) for n in recipes()]
    one = json.loads(run("vit-s-imagenet", "--json").stdout)
    assert Recipe.from_dict(one) == load_recipe("vit-s-imagenet")


def test_an_unknown_name_lists_the_known() -> None:
    result = run("resnet164-cifar")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "unknown recipe 'resnet164-cifar'. Did you mean 'resnet164-cifar10" in result.stderr
    assert all(name in result.stderr for name in recipes())
