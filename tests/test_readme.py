"""Every command and every line of Python in the README works as it stands there."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

import robust.sweep.run
from asr_core import insert_asr
from asr_core.data import embedded
from asr_core.recipes import load_recipe
from asr_core.saving.saved_model import StockModel, save_model
from robust.cli import main
from robust.models.names import build_model
from robust.sweep import Cell

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")

# Appended to a command to make it small: where an option comes twice, the last one counts.
SMALL = {
    "attack": ["--size", "64", "--train-seeds", "1", "--repeats", "1", "--quiet"],
    "attack classify": ["--quiet"],
    "freeze": ["--max-images", "8", "--split", "validation"],
    "stripes": ["--images", "8", "--channels", "8"],
    "bench": ["--model", "resnet11", "--rounds", "1", "--batch-size", "1", "--quiet"],
    "sweep": ["--epochs", "1", "--device", "cpu", "--quiet"],
    "train": ["--epochs", "1", "--cpu", "--quiet"],
    "train style": ["--steps", "1", "--size", "64", "--batch-size", "2", "--width", "4", "--quiet"],
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands() -> list[list[str]]:
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.strip()]
    return [shlex.split(line, comments=True) for line in lines]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as the README's reader has it: photographs, a style, networks trained before."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(embedded, "PATCHES", {"train": 8, "validation": 1, "test": 1})
    photos = tmp_path / "photos"
    photos.mkdir()
    picture = Image.radial_gradient("L").resize((80, 96))
    Image.merge("RGB", (picture, picture.rotate(90), picture.rotate(180))).save(photos / "one.jpg")
    Image.merge("RGB", (picture, picture, picture.rotate(45))).save(tmp_path / "style.png")
    stock = StockModel("asr:resnet11+se", {"num_classes": 18}, (3, 32, 32))
    live = build_model(stock.name, stock.arguments)
    save_model(tmp_path / "runs" / "live-se" / "model.safetensors", live, stock)
    gated = build_model("resnet18")
    insert_asr(gated)
    save_model(
        tmp_path / "resnet18-asr.safetensors", gated, StockModel("resnet18", {}, (3, 64, 64))
    )
    monkeypatch.setattr(robust.sweep.run, "run_missing", first_only)
    monkeypatch.setattr(robust.sweep.run, "estimated_seconds", lambda config, device: 1.0)
    return tmp_path


def first_only(cells: Sequence[Cell], **options: object) -> list[str]:
    """In place of a sweep's dozens of runs, in this process, where the data is small."""
    line = ["train", *cells[0].arguments, "--out", str(cells[0].folder), *SMALL["train"]]
    result = CliRunner().invoke(main, line)
    assert result.exit_code == 0, result.output
    return []


def run(command: list[str]) -> None:
    kind = command[1]
    two = " ".join(command[1:3])
    if "classify" in command:
        two = "attack classify"
    arguments = [*command[1:], *SMALL.get(two, SMALL.get(kind, []))]
    if two != "attack classify" and kind == "attack" and "--images" not in command:
        arguments += ["--images", "photos/one.jpg"]
    result = CliRunner().invoke(main, arguments, prog_name="robust")
    assert result.exit_code == 0, result.output


def test_the_two_commands_come_first() -> None:
    first, second = commands()[:2]
    assert first == ["scripts/robust", "attack", "--noise", "batch"]
    assert second == ["scripts/test"]
    assert all((ROOT / command[0]).is_file() for command in (first, second))


def test_every_command_of_the_program_runs(place: Path) -> None:
    ran = [command for command in commands() if command[0] == "robust"]
    assert len(ran) > 8
    for command in ran:
        run(command)
    assert (place / "stylised" / "one.png").is_file()
    assert (place / "runs" / "my-bn-asr" / "network.safetensors").is_file()
    assert (place / "runs" / "first" / "fused.safetensors").is_file()
    assert "(1 of 3 seeds)" in (place / "runs" / "sweep-init" / "sweep.md").read_text()


def test_the_command_for_several_processes_is_one_of_the_programs() -> None:
    (line,) = [command for command in commands() if command[0] == "torchrun"]
    start = line.index("-m")
    assert line[start : start + 3] == ["-m", "robust", "train"]
    train = main.get_command(None, "train")  # type: ignore[arg-type]
    assert train is not None
    options = train.make_context("train", line[start + 3 :]).params
    assert load_recipe(options["recipe"]).data == options["data_folder"] == "imagenet"


def test_the_first_command_runs_the_shipped_networks(place: Path) -> None:
    run(["robust", *commands()[0][1:], "--out", "run"])
    assert (place / "run" / "grid.png").is_file()


def test_the_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    examples = blocks("python")
    assert examples
    for example in examples:
        exec(compile(example, "README.md", "exec"), {})


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
