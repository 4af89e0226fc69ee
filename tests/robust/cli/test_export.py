"""``robust export``: files that hold no gate and give what the gated model gives."""

import json
import re
import sys
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
import torchvision
from click.testing import Result
from model_commands import failed, invoke
from safetensors.torch import load_file, save_file
from saved_models import gated, save_gated
from tiny_networks import save_tiny
from torch import Tensor, nn

from asr_core.fold import pairs
from asr_core.saving import export as exporting
from asr_core.saving.checkpoint import META, load_meta
from asr_core.saving.model_facts import StockModel
from asr_core.saving.saved_model import save_model
from robust.models.files import open_model
from styletransfer.zoo import load_network


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "gated.safetensors"
    save_gated(path)
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of three blocks, whose programs are soon made."""
    path = tmp_path_factory.mktemp("models") / "small.safetensors"
    stock = StockModel("asr:resnet11", {"num_classes": 10}, (3, 32, 32))
    save_model(path, gated(stock, "layer*.*.bn3"), stock)
    return path


@pytest.fixture(scope="module")
def folded(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("folded") / "folded.safetensors"
    result = export(small, "--format", "safetensors", "--fold", "--out", path)
    assert re.search(r"\d+ batch norms folded", result.stdout)
    return path


GATES = 3
SLOW_ONNX = pytest.param("onnx", marks=pytest.mark.slow)


def export(*arguments: object) -> Result:
    return invoke("export", *arguments)


def run(path: Path, x: Tensor) -> Tensor:
    """What the file alone computes."""
    if path.suffix == ".pt2":
        return torch.export.load(path).module()(x).detach()
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {"images": x.numpy()})[0])


def close(a: Tensor, b: Tensor) -> bool:
    return bool((a - b).abs().max() <= 1e-4 * b.abs().max())


# --- classification -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "fold"),
    [("pt2", []), pytest.param("onnx", [], marks=pytest.mark.slow), ("onnx", ["--fold"])],
    ids=["pt2", "onnx", "onnx-folded"],
)
def test_a_program_gives_what_the_gated_model_gives(
    small: Path, tmp_path: Path, suffix: str, fold: list[str]
) -> None:
    out = tmp_path / f"model.{suffix}"
    result = export(small, "--format", suffix, *fold, "--out", out, "--json")
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    assert figures["out"] == str(out)
    model = open_model(small).model
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert figures["gates"] == GATES
    assert figures["folded"] == (len(norms) if fold else 0)
    assert figures["parity"]["max_rel"] <= figures["parity"]["tolerance"] == exporting.TOLERANCE
    for n in (1, 6):
        x = torch.rand(n, 3, 32, 32)
        with torch.no_grad():
            assert close(run(out, x), model(x))
    assert {*tmp_path.iterdir()} == {out, Path(f"{out}.md")}
    if suffix == "pt2":
        names = set(torch.export.load(out).state_dict)
        left = any("bn1" in name for name in names)
    else:
        graph = onnx.load(out).graph
        names = {tensor.name for tensor in graph.initializer}
        left = any(node.op_type == "BatchNormalization" for node in graph.node)
        assert not any(node.op_type == "Sigmoid" for node in graph.node)
    assert names
    assert not any("asr" in name or "parametrizations" in name for name in names)
    assert not (fold and left)


def test_safetensors_load_into_the_stock_model(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "model.safetensors"
    result = export(checkpoint, "--format", "safetensors", "--out", out)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"{out}: 8 gates fused; outputs agree: max abs ")
    stock = torchvision.models.resnet18(num_classes=10)
    stock.load_state_dict(load_file(out), strict=True)
    x = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        assert close(stock.eval()(x), open_model(checkpoint).model(x))


def test_a_folded_file_rebuilds_itself_and_exports_again(
    small: Path, folded: Path, tmp_path: Path
) -> None:
    """It is a model file too: no gates, no norms, still a program, and nothing left to fold."""
    model = open_model(folded).model
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    out = tmp_path / "model.pt2"
    result = export(folded, "--format", "pt2", "--out", out)
    assert "0 gates fused" in result.stdout
    x = torch.rand(3, 3, 32, 32)
    with torch.no_grad():
        wanted = open_model(small).model(x)
        assert close(model(x), wanted)
    assert close(run(out, x), wanted)
    failed(
        export(folded, "--format", "pt2", "--fold", "--out", tmp_path / "two.pt2"),
        "there is nothing to fold",
    )


@pytest.mark.parametrize("suffix", ["safetensors", SLOW_ONNX])
def test_parallel_branches_become_one_convolution(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    (tmp_path / "own_repvgg.py").write_text(
        "from asr_core.models.networks.repvgg import RepVGG\n"
        "def make():\n"
        "    return RepVGG((1, 1, 1, 1, 1), (4, 4, 8, 8, 8), 5)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    stock = StockModel("own_repvgg:make", {}, (3, 16, 16))
    model = gated(stock, "blocks.*.bn?")
    save_model("own.safetensors", model, stock)
    out = tmp_path / f"plain.{suffix}"
    given = ["own.safetensors", "--model", stock.name, "--format", suffix, "--out", out]
    result = export(*given, "--fold")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"{out}: 11 gates fused, 5 blocks merged; outputs agree")
    x = torch.rand(3, 3, 16, 16)
    if suffix == "onnx":
        kinds = [node.op_type for node in onnx.load(out).graph.node]
        assert kinds.count("Conv") == kinds.count("Relu") == 5
        assert "BatchNormalization" not in kinds
        found = run(out, x)
    else:
        kernels = [tuple(value.shape[2:]) for value in load_file(out).values() if value.ndim == 4]
        assert kernels == [(3, 3)] * 5
        again = open_model(out, builder=stock.name)
        found = again.model(x).detach()
        failed(export(out, *given[1:-1], tmp_path / f"two.{suffix}", "--fold"), "nothing to fold")
    with torch.no_grad():
        assert close(found, model(x))
        assert not close(found, gated(stock, "blocks.*.bn1")(x))


# --- style networks -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("norm", "suffix", "fold"),
    [
        pytest.param("bn+asr", "onnx", [], marks=pytest.mark.slow),
        pytest.param("bn+asr", "pt2", ["--fold"], marks=pytest.mark.slow),
        pytest.param("in", "onnx", [], marks=pytest.mark.slow),
    ],
)
def test_a_style_network_takes_any_batch_and_size(
    tmp_path: Path, norm: str, suffix: str, fold: list[str]
) -> None:
    path, out = save_tiny(tmp_path, norm, 0), tmp_path / f"network.{suffix}"
    result = export(path, "--format", suffix, *fold, "--out", out)
    assert result.exit_code == 0, result.output
    network = load_network(path)[0]
    for shape in ((1, 3, 16, 16), (3, 3, 96, 20)):
        x = torch.rand(shape)
        with torch.no_grad():
            assert close(run(out, x), network(x))


def test_a_style_network_as_safetensors(tmp_path: Path) -> None:
    path, out = save_tiny(tmp_path, "bn+asr", 0), tmp_path / "plain.safetensors"
    assert export(path, "--format", "safetensors", "--out", out).exit_code == 0
    assert load_network(out)[0].config["norm"] == "bn"


def test_a_network_of_the_public_example(tmp_path: Path) -> None:
    path, out = tmp_path / "candy.pth", tmp_path / "candy.safetensors"
    network = load_network(save_tiny(tmp_path, "in", 0))[0]
    torch.save(network.state_dict(), path)
    result = export(path, "--format", "safetensors", "--out", out)
    assert result.exit_code == 0, result.output
    again, meta = load_network(out)
    assert (again.config["norm"], again.config["head"]) == ("in", "linear")
    assert meta["style"] == "candy"
    x = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(again(x), load_network(path)[0](x))


def test_what_cannot_be_folded(tmp_path: Path) -> None:
    out = tmp_path / "out"
    instance, batch = (save_tiny(tmp_path, norm, 0) for norm in ("in", "bn+asr"))
    result = export(instance, "--format", "pt2", "--fold", "--out", f"{out}.pt2")
    failed(result, "nothing to fold")
    result = export(batch, "--format", "safetensors", "--fold", "--out", f"{out}.safetensors")
    failed(result, "export it as pt2 or onnx")
    assert not [file for file in tmp_path.iterdir() if file.stem == "out"]


@pytest.mark.parametrize("suffix", ["safetensors", "pt2", SLOW_ONNX])
@pytest.mark.parametrize("rest", [False, True])
def test_what_may_not_be_folded_stays_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, rest: bool
) -> None:
    """Equal widths, other axes: the channels of the norm are the positions of the linear layer."""
    (tmp_path / "own_axes.py").write_text(
        "from torch import nn\n"
        "def make(fold=False):\n"
        "    rest = [nn.Flatten(), nn.Linear(64, 4), nn.BatchNorm1d(4)] if fold else []\n"
        "    return nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), *rest)\n"
    )
    monkeypatch.chdir(tmp_path)
    stock = StockModel("own_axes:make", {"fold": rest}, (8, 8))
    save_model("own.safetensors", gated(stock, "1"), stock)
    out = Path(f"plain.{suffix}")
    given = ["own.safetensors", "--model", stock.name, "--fold", "--format", suffix, "--out", out]
    result = export(*given)
    assert result.exit_code == 0, result.output
    said = result.output.splitlines()[-1]
    assert "1 left in place: '1': its channels are axis 1, those of the Linear" in said
    assert ("1 batch norms folded" in result.output) == rest
    x = torch.rand(3, 8, 8)
    with torch.no_grad():
        wanted = open_model("own.safetensors", builder=stock.name).model(x)
        if suffix == "safetensors":
            again = open_model(out, builder=stock.name).model(x)
            told = export(*given, "--overwrite", "--json").output
            assert list(json.loads(told)["left"]) == ["1"]
        else:
            again = run(out, x)
    assert close(again, wanted)


# --- when outputs differ, or something is missing -------------------------------------------------


def test_nothing_is_written_when_folding_changes_the_outputs(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = pairs.fold_pairs

    def wrong(model: nn.Module, found: list[tuple[str, str]]) -> nn.Module:
        folded = right(model, found)
        with torch.no_grad():
            folded.layer2[1].conv1.bias.add_(0.1)  # type: ignore[index,union-attr]
        return folded

    monkeypatch.setattr(pairs, "fold_pairs", wrong)
    result = export(checkpoint, "--format", "onnx", "--fold", "--out", tmp_path / "model.onnx")
    failed(result, "outputs differ", "first part at 'layer2.1.bn1'", code=1)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_when_the_file_gives_something_else(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = onnxruntime.InferenceSession.run

    def wrong(self: object, *arguments: object) -> list[object]:
        return [output + 1 for output in right(self, *arguments)]

    monkeypatch.setattr(onnxruntime.InferenceSession, "run", wrong)
    result = export(small, "--format", "onnx", "--out", tmp_path / "model.onnx")
    words = ["the file and the model part at inputs (1, 3, 32, 32)", "first part at 'bn1'"]
    failed(result, *words, code=1)
    assert list(tmp_path.iterdir()) == []


def test_onnx_that_is_not_installed(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    result = export(checkpoint, "--format", "onnx", "--out", tmp_path / "model.onnx")
    failed(result, "onnxruntime", "pip install 'robust-asr[export]'")


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--format", "onnx", "--out", "model.pt2"], ["--out model.pt2 must end in .onnx"]),
        (["--format", "pt2", "--out", "taken.pt2"], ["taken.pt2 exists already", "--overwrite"]),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("taken.pt2").write_text("old")
    Path("model.safetensors").write_text("never read")
    failed(export("model.safetensors", *arguments), *words)
    assert {file.name for file in tmp_path.iterdir()} == {"taken.pt2", "model.safetensors"}
    assert Path("taken.pt2").read_text() == "old"


def test_weights_that_are_not_finite(checkpoint: Path, tmp_path: Path) -> None:
    """The file cannot be made by save_model, so it is made behind its back."""
    path = tmp_path / "nan.safetensors"
    tensors = load_file(checkpoint)
    tensors["fc.bias"][3] = torch.nan
    save_file(tensors, path, metadata={META: json.dumps(load_meta(checkpoint))})
    result = export(path, "--format", "pt2", "--out", tmp_path / "model.pt2")
    failed(result, "fc.bias holds NaN")


def test_a_network_that_cannot_be_traced_is_exported_unfolded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_branching.py").write_text(
        "from torch import nn\n"
        "class Branching(nn.Sequential):\n"
        "    def forward(self, x):\n"
        "        if type(x).__name__ == 'Proxy':\n"
        "            raise TypeError('not with me')\n"
        "        return super().forward(x)\n"
        "def make():\n"
        "    return Branching(nn.Conv2d(3, 16, 1), nn.BatchNorm2d(16))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    stock = StockModel("own_branching:make", {}, (3, 8, 8))
    save_model("own.safetensors", gated(stock, "1"), stock)
    given = ["own.safetensors", "--model", stock.name, "--format", "pt2", "--out", "own.pt2"]
    failed(export(*given, "--fold"), "Branching cannot be traced", "not with me")
    assert export(*given).exit_code == 0
