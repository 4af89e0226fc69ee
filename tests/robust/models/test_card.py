"""robust.models.card: beside each network that is saved, true to the file, and its lines run."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from model_commands import invoke
from saved_models import RESNET18, gated, save_gated
from tiny_classifier import forget_accelerator, register, tiny_data, tiny_recipe
from tiny_networks import save_tiny
from tiny_run import make_quick, picture

import asr_core.recipes
from asr_core.data import DATASETS
from asr_core.errors import CheckpointError
from asr_core.models import build
from asr_core.saving.model_facts import Made, StockModel
from asr_core.saving.saved_model import save_model
from robust.cli import main
from robust.models.card import card, write_card
from robust.models.files import open_model

SMALL = StockModel("asr:resnet11", {"num_classes": 5}, (3, 32, 32))
MADE = Made(
    how={"recipe": "small", "data": "shapes", "seed": 7, "epochs": 3}, numbers={"test top1": 0.625}
)


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def outputs(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[object, object]:
    """``images`` and ``outputs`` after the card's Python: three lines beside its imports."""
    (code,) = blocks(text, "python")
    lines = [line for line in code.splitlines() if line and not re.match("import|from", line)]
    assert len(lines) == 3
    monkeypatch.chdir(folder)
    names: dict[str, object] = {}
    exec(code, names)
    return names["images"], names["outputs"]


def row(text: str, name: str) -> str:
    (value,) = re.findall(rf"^\| {re.escape(name)} \| (.*) \|$", text, re.MULTILINE)
    return str(value)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "gated.safetensors"
    save_model(path, gated(SMALL, "layer*.*.bn3"), SMALL, made=MADE)
    return path


# --- beside every file ----------------------------------------------------------------------------


def test_a_fused_model(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "net.safetensors"
    assert invoke("fuse", source, "--out", out).exit_code == 0
    text = (tmp_path / "net.md").read_text()
    assert row(text, "recipe") == "small"
    assert row(text, "seed") == "7"
    assert row(text, "test top1") == "0.625"
    assert re.search(r"^1\. 3 ASR gates fused; outputs agree", text, re.MULTILINE)
    images, found = outputs(text, tmp_path, monkeypatch)
    with torch.no_grad():
        expected = open_model(source).model(images)
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-4)
    (line,) = blocks(text, "sh")
    assert shlex.split(line) == ["robust", "evaluate", "net.safetensors", "--data", "shapes"]


@pytest.mark.parametrize(
    ("suffix", "name"),
    [("safetensors", "net.md"), ("pt2", "net.pt2.md"), ("onnx", "net.onnx.md")],
)
def test_an_exported_model(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, name: str
) -> None:
    out = tmp_path / f"net.{suffix}"
    assert invoke("export", source, "--format", suffix, "--fold", "--out", out).exit_code == 0
    text = (tmp_path / name).read_text()
    assert f"# net.{suffix}\n" in text
    assert row(text, "test top1") == "0.625"
    assert "batch norms folded" in text
    images, found = outputs(text, tmp_path, monkeypatch)
    with torch.no_grad():
        expected = open_model(source).model(images)
    assert torch.allclose(torch.as_tensor(found), expected, rtol=1e-3, atol=1e-3)
    assert bool(blocks(text, "sh")) == (suffix == "safetensors")


def test_steps_are_kept_from_file_to_file(source: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    assert invoke("fuse", source, "--out", first).exit_code == 0
    words = (first, "--format", "safetensors", "--fold", "--out", second)
    assert invoke("export", *words).exit_code == 0
    text = (tmp_path / "b.md").read_text()
    assert re.search(r"^1\. 3 ASR gates fused", text, re.MULTILINE)
    assert re.search(r"^2\. 0 gates fused, \d+ batch norms folded", text, re.MULTILINE)
    assert row(text, "recipe") == "small"


def test_a_style_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = save_tiny(tmp_path, "bn+asr", 0)
    out = tmp_path / "fused.safetensors"
    assert invoke("fuse", source, "--out", out).exit_code == 0
    text = (tmp_path / "fused.md").read_text()
    assert "bn+asr fused" in text
    images, found = outputs(text, tmp_path, monkeypatch)
    assert found.shape == images.shape  # type: ignore[attr-defined]
    (line,) = blocks(text, "sh")
    picture(tmp_path / "PICTURE.png")
    words = [word.replace("PICTURE", "PICTURE.png") for word in shlex.split(line)[1:]]
    result = CliRunner().invoke(main, words, prog_name="robust")
    assert result.exit_code == 0, result.output
    assert list((tmp_path / "FOLDER").iterdir())


def test_a_trained_classifier_and_its_frozen_twin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch)
    forget_accelerator()
    load = asr_core.recipes.load_recipe
    known = {"tiny": tiny_recipe()}
    monkeypatch.setattr(asr_core.recipes, "load_recipe", lambda name: known.get(name) or load(name))
    monkeypatch.setitem(DATASETS._entries, "tiny", lambda source: tiny_data())
    words = ["train", "--recipe", "tiny", "--attention", "ie", "--mode", "both", "--device", "cpu"]
    result = CliRunner().invoke(main, [*words, "--out", str(tmp_path / "run")], prog_name="robust")
    assert result.exit_code == 0, result.output
    text = (tmp_path / "run" / "fused.md").read_text()
    assert row(text, "data") == "tiny"
    assert row(text, "epochs") == str(tiny_recipe().epochs)
    assert row(text, "test images") == str(len(tiny_data().test))
    assert "ASR gates fused; outputs agree" in text
    file = tmp_path / "run" / "fused.safetensors"
    assert row(text, "test top1") == f"{open_model(file).facts['made']['numbers']['test top1']:.4g}"
    _, found = outputs(text, tmp_path / "run", monkeypatch)
    assert found.shape == (2, len(tiny_data().classes))  # type: ignore[attr-defined]
    (line,) = blocks(text, "sh")
    result = CliRunner().invoke(main, shlex.split(line)[1:], prog_name="robust")
    assert result.exit_code == 0, result.output

    frozen = tmp_path / "frozen.safetensors"
    done = invoke("freeze", file, "--data", "tiny", "--out", frozen)
    assert done.exit_code == 0, done.output
    told = (tmp_path / "frozen.md").read_text()
    assert re.search(r"^1\. \d+ ASR gates fused", told, re.MULTILINE)
    assert re.search(r"^2\. \d+ gates frozen at their means", told, re.MULTILINE)
    outputs(told, tmp_path, monkeypatch)


@pytest.mark.slow
def test_a_trained_style_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_quick(monkeypatch)
    words = ["train", "style", "waves", "--steps", "1", "--size", "64", "--batch-size", "1"]
    words += ["--width", "2", "--loss-network", "embedded", "--device", "cpu", "--quiet"]
    out = tmp_path / "run"
    result = CliRunner().invoke(main, [*words, "--out", str(out)], prog_name="robust")
    assert result.exit_code == 0, result.output
    text = (out / "network.md").read_text()
    assert row(text, "steps") == "1"
    assert "held-out style loss" in text
    images, found = outputs(text, out, monkeypatch)
    assert found.shape == images.shape  # type: ignore[attr-defined]


# --- what it says ---------------------------------------------------------------------------------


def test_what_nobody_recorded_is_said_to_be_missing(tmp_path: Path) -> None:
    save_gated(tmp_path / "net.safetensors")
    written = write_card(tmp_path / "net.safetensors")
    assert written == tmp_path / "net.md"
    text = written.read_text()
    assert "not recorded" in text
    assert "--data FOLDER" in text
    assert RESNET18.name in text


def test_a_text_of_the_user_is_kept_and_a_card_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "net.safetensors"
    save_gated(file)
    (tmp_path / "net.md").write_text("My notes.\n")
    assert write_card(file) is None
    assert (tmp_path / "net.md").read_text() == "My notes.\n"
    (tmp_path / "net.md").unlink()
    first = write_card(file)
    assert first is not None
    (tmp_path / "net.md").write_text(first.read_text() + "old")
    assert write_card(file) == first
    assert not first.read_text().endswith("old")


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    path.write_bytes(b"no network")
    with pytest.raises(CheckpointError, match=re.escape(str(path))):
        write_card(path)
    assert list(tmp_path.iterdir()) == [path]


HOSTILE = "<script>alert(1)</script> | [a](b)\n# Head\n```\n`x`"


def test_hostile_text_stays_text() -> None:
    facts = {
        "kind": "asr-model", "stock": f"evil.module:{HOSTILE}", "arguments": {}, "mean": None,
        "input_shape": [3, 8, 8], "made": {"how": {HOSTILE: HOSTILE}, "steps": [HOSTILE]},
    }  # fmt: skip
    text = card(f"{HOSTILE}.safetensors", facts)
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    assert "alert" in prose
    assert "<script>" not in prose
    assert not re.search(r"^# Head", text, re.MULTILINE)
    assert text.count("\n```") == 4, "two blocks, opened and closed"
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        "## How it was made", "## Numbers", "## Licence", "## Use",
    ]  # fmt: skip


@pytest.mark.slow
def test_code_that_a_file_names_is_named_by_the_reader_too(tmp_path: Path) -> None:
    """A card for a model of the user's own code gives the name that ``open_model`` asks for."""
    (tmp_path / "own_nets.py").write_text(
        "from asr_core.models import build\ndef net(): return build('resnet11', 5)\n"
    )
    stock = StockModel("own_nets:net", {}, (3, 32, 32))
    save_model(tmp_path / "net.safetensors", build("resnet11", 5), stock)
    write_card(tmp_path / "net.safetensors")
    text = (tmp_path / "net.md").read_text()
    (code,) = blocks(text, "python")
    done = subprocess.run([sys.executable, "-c", f"{code}\nprint(tuple(outputs.shape))"],
                          cwd=tmp_path, capture_output=True, text=True, check=False)  # fmt: skip
    assert done.stdout == "(2, 5)\n", done.stderr
    (line,) = blocks(text, "sh")
    assert "--model own_nets:net" in line
