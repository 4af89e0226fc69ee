"""robust.cli.options: one word, one meaning; old spellings; refusals that do not wait for torch."""

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import click
import pytest

from robust.cli import COMMANDS, main
from robust.cli.options import companions

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "OPTIONS.md").read_text(encoding="utf-8")


def commands() -> dict[str, click.Command]:
    context = click.Context(main)
    found = {name: main.get_command(context, name) for name in COMMANDS}  # type: ignore[attr-defined]
    inner = {"train style": ("train", "style"), "data card": ("data", "card")}
    return {**found, **{name: found[outer].commands[own] for name, (outer, own) in inner.items()}}


def options() -> dict[str, dict[str, click.Option]]:
    """By name, then by command."""
    shared: dict[str, dict[str, click.Option]] = defaultdict(dict)
    for name, command in commands().items():
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                shared[parameter.opts[0]][name] = parameter
    return shared


# --- one word, one meaning ------------------------------------------------------------------------


def test_every_option_of_several_commands_is_on_the_page() -> None:
    several = {word for word, having in options().items() if len(having) > 1}
    assert len(several) > 20
    assert [word for word in sorted(several) if f"`{word}`" not in PAGE] == []


def test_an_option_is_of_one_type_in_all_commands() -> None:
    own = {"--format", "--model"}  # files of other kinds; the default of bench
    for word, having in options().items():
        kinds = {(type(option.type), option.is_flag) for option in having.values()}
        assert len(kinds) == 1 or word in own, (word, having.keys())


@pytest.mark.parametrize("word", ["--device", "--overwrite", "--json", "--quiet"])
def test_an_option_is_told_alike_in_all_commands(word: str) -> None:
    having = options()[word]
    assert len(having) > 4
    metavars = {option.make_metavar(click.Context(main)) for option in having.values()}
    assert len(metavars) == 1


def test_no_closed_set_of_words_is_shown_as_text() -> None:
    """Words that a help line lists after "or" should be a choice."""
    for word, having in options().items():
        for name, option in having.items():
            if isinstance(option.type, click.types.StringParamType) and option.metavar is None:
                assert word in {"--severity", "--targets", "--exclude", "--milestones"}, name


# --- old spellings --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "parameter", "value"),
    [
        ("attack --model F --model=G", "models", ("F", "G")),
        ("attack --vgg-weights F", "loss_network", "F"),
        ("stylize F --model G --out O", "model", "G"),
        ("stripes F --images 9", "max_images", 9),
        ("train --data D", "data_folder", "D"),
        ("train --data=D", "data_folder", "D"),
        ("train --cpu", "device", "cpu"),
        ("sweep init --data D", "data_folder", "D"),
        ("sweep init --seeds 2", "seeds", 2),
    ],
)
def test_an_old_spelling_works_with_a_hint(
    line: str,
    parameter: str,
    value: object,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for file in "FGD":
        (tmp_path / file).touch()
    name, *arguments = line.split()
    given = commands()[name].make_context(name, arguments).params
    assert given[parameter] == value
    said = capsys.readouterr().err.splitlines()
    assert said
    assert all(each.startswith("robust: hint: --") for each in said)


@pytest.mark.parametrize(
    ("severity", "mix", "expected"),
    [
        ("8:noise", None, ("8", "noise")),
        ("8:photos", None, ("8", None)),
        ("8", None, ("8", None)),
        (None, None, (None, None)),
        ("0.8,0.5", None, ("0.8,0.5", None)),
        ("8", "cifar10", ("8", "cifar10")),
        (None, "noise", (None, "noise")),
    ],
)
def test_companions_of_a_training_batch(
    severity: str | None, mix: str | None, expected: object
) -> None:
    assert companions(severity, mix) == expected


# --- refusals -------------------------------------------------------------------------------------

REFUSED = {
    "attack --noise fog": "'fog'",
    "attack --severity 0": "batch noise 0",
    "attack --severity 2:photoz --noise batch": "'photoz'",
    "attack --noise constant --severity 0.8": "'0.8'",
    "attack --severity 1.5 --noise random": "1.5",
    "train --noise batch --severity x:noise": "'x'",
    "train style --style waves --noise random --severity 7": "random noise 7",
    "attack --norm ln": "'ln'",
    "attack --style cubism": "'cubism'",
    "attack --granularity pixel": "'pixel'",
    "attack --statistics none": "'none'",
    "attack --phase rest": "'rest'",
    "attack --images nowhere": "nowhere",
    "attack --checkpoint nowhere": "nowhere",
    "attack --size 66": "66",
    "attack --repeats 0": "0",
    "attack --seed 9223372036854775808": "9223372036854775808",
    "attack --data nowhere": "'nowhere'",
    "attack --device tpu": "'tpu'",
    "attack --device cpu:1": "'cpu:1'",
    "attack --device cuda:": "'cuda:'",
    "attack --loss-network nowhere": "'nowhere'",
    "stylize nowhere --out o": "nowhere",
    "stylize pyproject.toml --style mosaik --out o": "Did you mean 'mosaic'?",
    "train --recipe resnet164-cifar": "Did you mean 'resnet164-cifar10'?",
    "train --attention sea": "'sea'",
    "train --mode dead": "'dead'",
    "train --schedule step": "'step'",
    "train --precision fp8": "'fp8'",
    "train --batch-size 0": "0",
    "train style --style cubism": "'cubism'",
    "train style": "STYLE",
    "train style waves --style waves": "twice",
    "train style cubism": "'cubism'",
    "train style waves --stroke-size 0": "0",
    "train style waves --stroke-size nan": "nan",
    "train style waves --style-weight -1": "-1",
    "train style --style waves --steps many": "'many'",
    "train style --style waves --width 0": "0",
    "train style --style waves --norm ln": "'ln'",
    "evaluate nowhere": "nowhere",
    "evaluate pyproject.toml --suite noise": "'noise'",
    "evaluate pyproject.toml --split tests": "'tests'",
    "fuse nowhere --out o.safetensors": "nowhere",
    "fuse pyproject.toml --out o.pt": "o.pt",
    "export pyproject.toml --format onnx --out o.pt2": "o.pt2",
    "export pyproject.toml --format tflite --out o": "'tflite'",
    "export pyproject.toml --out o.onnx": "--format",
    "freeze pyproject.toml --data embedded --split train": "'train'",
    "freeze pyproject.toml --data embeded": "Did you mean 'embedded'?",
    "freeze pyproject.toml --data embedded --max-images 1": "1",
    "stripes pyproject.toml --channels 0": "0",
    "stripes pyproject.toml --beside nowhere": "nowhere",
    "bench --data-shape mnist": "'mnist'",
    "bench --rounds 0": "0",
    "sweep epsilon": "'epsilon'",
    "inspect resnet18 --delta 0": "0",
    "inspect resnet18 --num-classes -1": "-1",
    "recipes vgg": "'vgg'",
}
HEAVY = {"torch", "torchvision", "numpy", "scipy", "skimage", "rich", "kornia", "matplotlib", "PIL"}


def test_lists_and_refusals_import_nothing_heavy() -> None:
    script = (
        "import contextlib, io, json, sys\n"
        "from robust.cli import main\n"
        "told = {}\n"
        "for line in json.loads(sys.argv[1]):\n"
        "    out, err = io.StringIO(), io.StringIO()\n"
        "    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):\n"
        "        try: main(line.split())\n"
        "        except SystemExit as end: code = end.code\n"
        "    told[line] = [code or 0, out.getvalue(), err.getvalue(), *sys.modules]\n"
        "print(json.dumps(told))\n"
    )
    lines = ["list", "recipes", "recipes vit-s-imagenet", "train --help", *REFUSED]
    result = subprocess.run(
        [sys.executable, "-c", script, json.dumps(lines)],
        capture_output=True, text=True, check=True, timeout=1200, cwd=ROOT,
    )  # fmt: skip
    for line, (code, out, err, *modules) in json.loads(result.stdout).items():
        assert HEAVY.isdisjoint(modules), line
        if line in REFUSED:
            assert (code, out) == (2, ""), line
            assert REFUSED[line] in err
            assert err.count("\n") == 1
        else:
            assert (code, err) == (0, ""), line
            assert out


@pytest.mark.parametrize(
    ("option", "begun", "expected"),
    [
        ("--noise", "c", ["constant"]),
        ("--style", "wa", ["waves", "wa"]),
        ("--norm", "bn+", ["bn+asr", "bn+frozen", "bn+const"]),
    ],
)
def test_names_are_completed(option: str, begun: str, expected: list[str]) -> None:
    command = commands()["attack"]
    parameter = next(each for each in command.params if option in each.opts)
    items = parameter.shell_complete(click.Context(command), begun)
    assert [item.value for item in items] == expected


def test_recipes_are_completed() -> None:
    command = commands()["train"]
    parameter = next(each for each in command.params if "--recipe" in each.opts)
    items = parameter.shell_complete(click.Context(command), "vit-s")
    assert [item.value for item in items] == ["vit-s-imagenet"]
