"""``robust data card``: admission of any set, as a table, JSON and Markdown."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from data_files import write_cifar, write_class_folders
from sweeps import fake_runs

from asr_core.data import DATASETS
from robust.cli import main


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def card(*arguments: object) -> Result:
    words = ["data", "card", *map(str, arguments), "--quiet"]
    return CliRunner().invoke(main, words, prog_name="robust")


def shown(*arguments: object) -> str:
    result = card(*arguments)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return result.stdout


def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DATASETS._entries, "tiny", lambda source: None)  # fake_runs opens it


def test_a_set_whose_colours_tell_the_class_is_refused(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny(monkeypatch)
    fake_runs(monkeypatch, lambda config: 0.7, lambda config: False)
    text = shown("tiny", "--quick")
    assert "not admitted: first-order QDA" in text
    assert "not measured" in text
    assert all(len(line) <= 80 for line in text.splitlines()[:5])
    folder = here / "runs" / "data-card" / "tiny"
    assert sorted(path.name for path in folder.iterdir()) == [
        "card.json", "card.md", "sheet.png",
    ]  # fmt: skip
    kept = json.loads((folder / "card.json").read_text())
    assert (kept["verdict"], kept["network"], kept["sizes"]) == ("not admitted", None, [40, 13, 17])
    assert "**not admitted" in (folder / "card.md").read_text()


def test_networks_are_trained_once_and_their_seeds_compared(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny(monkeypatch)
    trained = fake_runs(monkeypatch, lambda config: 0.7 + config.seed / 100, lambda config: False)
    told = json.loads(shown("tiny", "--epochs", 9, "--out", here / "out", "--json"))
    assert told["network"]["test"] == [0.7, 0.71, 0.72]
    assert (told["network"]["recipe"], told["network"]["epochs"]) == ("resnet11-tiny", 9)
    assert [config.seed for config in trained] == [0, 1, 2]
    assert {config.mode for config in trained} == {"plain"}
    assert {config.recipe.data for config in trained} == {"tiny"}
    assert {config.recipe.image_size for config in trained} == {8}
    text = shown("tiny", "--epochs", 9, "--out", here / "out", "--train-seeds", 4)
    assert [config.seed for config in trained] == [0, 1, 2, 3], "three were there"
    assert "deviation between seeds: 1.29 points" in text


def test_a_training_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny(monkeypatch)
    fake_runs(monkeypatch, lambda config: 0.7, lambda config: config.seed == 1)
    result = card("tiny")
    assert isinstance(result.exception, Exception | SystemExit)
    assert result.exit_code == 2
    assert "loss is nan" in result.stderr


@pytest.mark.slow
def test_a_network_is_really_trained(here: Path) -> None:
    write_class_folders(here / "pictures", per_class=20)
    options = ("--image-size", 32, "--epochs", 1, "--train-seeds", 1, "--device", "cpu")
    told = json.loads(shown(here / "pictures", *options, "--json"))
    assert told["network"]["recipe"] == "resnet11-folder"
    assert len(told["network"]["test"]) == 1


def test_a_folder_of_class_folders(here: Path) -> None:
    write_class_folders(here / "pictures")
    told = json.loads(shown(here / "pictures", "--quick", "--image-size", 16, "--json"))
    assert (told["name"], told["classes"], told["image_size"]) == ("pictures", 2, 16)
    assert (here / "runs" / "data-card" / "pictures" / "card.md").exists()


def test_cifar_from_its_pickles(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar(here / "files", monkeypatch)
    told = json.loads(shown("cifar10", "--data-folder", here / "files", "--quick", "--json"))
    assert (told["name"], told["classes"], told["sizes"]) == ("cifar10", 10, [90, 10, 10])
    assert told["chance"] == 0.1


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        (["shape"], "Did you mean 'shapes'"),
        (["cifar10", "--quick"], "cifar10 needs a folder"),
        (["embedded", "--quick", "--image-size", "48"], "not 48"),
        (["embedded", "--train-seeds", "0"], "0"),
    ],
)
def test_what_it_refuses(arguments: list[str], value: str) -> None:
    result = card(*arguments)
    assert result.exit_code == 2
    assert value in result.stderr
