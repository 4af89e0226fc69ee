"""Every command and every line of Python in the README works as it stands there."""

import dataclasses
import re
import shlex
from collections.abc import Iterable
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

import robust.sweep.run
from asr_core.data import DATASETS, ImageSet, embedded
from asr_core.data.source import Source
from asr_core.recipes import load_recipe
from robust.cli import main
from robust.sweep import Run

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")

# Appended to a command to make it small: where an option comes twice, the last one counts.
SMALL = {
    "attack": ["--size", "64", "--train-seeds", "1", "--repeats", "1", "--quiet"],
    "attack classify": ["--quiet"],
    "freeze": ["--max-images", "8", "--split", "validation"],
    "stripes": ["--max-images", "8", "--channels", "8"],
    "data": ["--quick", "--quiet"],
    "bench": ["--model", "resnet11", "--rounds", "1", "--batch-size", "1", "--quiet"],
    "study": ["--no-train", "--data", "embedded", "--device", "cpu", "--quiet"],
    "sweep": ["--epochs", "1", "--device", "cpu", "--quiet"],
    "train": ["--epochs", "1", "--device", "cpu", "--quiet"],
    "train --data": ["--epochs", "1", "--batch-size", "32", "--device", "cpu", "--quiet"],
    "train style": ["--steps", "1", "--size", "64", "--batch-size", "2", "--width", "4", "--quiet"],
}


def examples() -> list[tuple[str, str]]:
    """Language and text of the blocks of code, from top to bottom."""
    return re.findall(r"```(sh|python)\n(.*?)```", README, flags=re.DOTALL)


def lines(block: str) -> list[list[str]]:
    return [shlex.split(line, comments=True) for line in block.splitlines() if line.strip()]


def commands() -> list[list[str]]:
    return [line for language, block in examples() if language == "sh" for line in lines(block)]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh folder, but for what the README says is the reader's own: photographs and a style."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(embedded, "PATCHES", {"train": 4, "validation": 1, "test": 1})
    monkeypatch.setitem(DATASETS._entries, "shapes", few_shapes)
    photos = tmp_path / "photos"
    photos.mkdir()
    picture = Image.radial_gradient("L").resize((80, 96))
    Image.merge("RGB", (picture, picture.rotate(90), picture.rotate(180))).save(photos / "one.jpg")
    Image.merge("RGB", (picture, picture, picture.rotate(45))).save(tmp_path / "style.png")
    scores = "plain,0,70\nplain,1,71\nasr,0,70.5\nasr,1,72\n"
    (tmp_path / "pilot.csv").write_text(f"variant,seed,score\n{scores}")
    monkeypatch.setattr(robust.sweep.run, "run_missing", first_only)
    monkeypatch.setattr(robust.sweep.run, "estimated_seconds", lambda config, device: 1.0)
    return tmp_path


def few_shapes(source: Source) -> ImageSet:
    """In place of 30,000 pictures."""
    return dataclasses.replace(embedded.open_embedded(source), name="shapes")


def first_only(runs: Iterable[Run], **options: object) -> list[str]:
    """In place of a sweep's dozens of runs, in this process, where the data is small."""
    command = next(iter(runs)).prepare("cpu")
    result = CliRunner().invoke(main, [*command[command.index("train") :], *SMALL["train"]])
    assert result.exit_code == 0, result.output
    return []


def run(command: list[str]) -> str:
    kind, two = command[1], " ".join(command[1:3])
    if "classify" in command:
        two = "attack classify"
    arguments = [*command[1:], *SMALL.get(two, SMALL.get(kind, []))]
    if kind == "attack" and two != "attack classify" and "--images" not in command:
        arguments += ["--images", "photos/one.jpg"]
    result = CliRunner().invoke(main, arguments, prog_name="robust")
    assert result.exit_code == 0, result.output
    return result.output


def test_the_two_commands_come_first() -> None:
    first, second = commands()[:2]
    assert first == ["scripts/robust", "attack", "--noise", "batch"]
    assert second == ["scripts/test"]
    assert all((ROOT / command[0]).is_file() for command in (first, second))


@pytest.mark.slow
def test_the_examples_run_from_top_to_bottom(place: Path) -> None:
    said = {}
    for language, block in examples():
        if language == "python":
            exec(compile(block, "README.md", "exec"), {})
            continue
        for command in lines(block):
            if command[0].endswith("robust"):
                said[" ".join(command)] = run(["robust", *command[1:]])
    assert len(said) > 20
    old = re.compile("hint: .* is now ")
    assert not [command for command, told in said.items() if old.search(told)], "an old spelling"
    answers = said["robust attack --checkpoint runs/my"]
    assert "advantage" in answers
    assert "No answer" not in answers
    for made in (
        "stylised/one.png", "runs/my/bn+const/network.safetensors", "runs/first/fused.safetensors",
        "plain.safetensors", "network.pt2",
    ):  # fmt: skip
        assert (place / made).is_file()
    assert "(1 of 3 seeds)" in (place / "runs" / "sweep-init" / "sweep.md").read_text()


def test_the_command_for_several_processes_is_one_of_the_programs() -> None:
    (line,) = [command for command in commands() if command[0] == "torchrun"]
    start = line.index("-m")
    assert line[start : start + 3] == ["-m", "robust", "train"]
    train = main.get_command(None, "train")  # type: ignore[arg-type]
    assert train is not None
    options = train.make_context("train", line[start + 3 :]).params
    assert load_recipe(options["recipe"]).data == options["data_folder"] == "imagenet"


def test_every_file_that_the_readme_names_exists() -> None:
    linked = re.findall(r"\]\(((?!http)[^)#]+)\)", README)
    named = re.findall(r"`((?:scripts|docs)/[\w./-]+)`", README)
    assert len(linked) >= 2
    assert len(named) >= 4
    for name in {*linked, *named}:
        assert (ROOT / name).exists(), name


def test_every_command_of_the_program_is_in_the_readme() -> None:
    shown = {command[1] for command in commands() if command[0].endswith("robust")}
    assert shown == set(main.list_commands(None))  # type: ignore[attr-defined, arg-type]


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/ARCHITECTURE.md", "docs/OPTIONS.md"])
def test_every_file_that_a_page_names_exists(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    named = {
        name
        for name in re.findall(r"`((?:\w+/)*[\w.-]+\.(?:py|toml))`", text)
        if not re.search(r"[A-Z]{3}", name)
    }
    assert named
    rooms = ("", "asr_core/", "robust/", "styletransfer/", "tests/robust/suites/")
    assert not [name for name in named if not any((ROOT / room / name).exists() for room in rooms)]
