"""asr_core.saving.export: files that other tools run, read back here by those tools alone."""

import resource
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest
import torch
from small_net import assert_unchanged, images, net, snapshot
from torch import Tensor, nn
from torch.nn import functional as F

from asr_core import fuse_asr, insert_asr
from asr_core.errors import InputError, ParityError
from asr_core.saving import export
from asr_core.saving.export import export_onnx, export_pt2

WRITERS = {"pt2": export_pt2, "onnx": export_onnx}
FORMATS = pytest.mark.parametrize("suffix", WRITERS)
EITHER = pytest.mark.parametrize("suffix", ["pt2", pytest.param("onnx", marks=pytest.mark.slow)])
"""For what is the same code for both; the quicker one stands for both by default."""


class AnySize(nn.Module):
    """Halves, doubles and gives its input's shape back: sides are multiples of 2."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.down = nn.Conv2d(3, 4, 3, stride=2, padding=1, padding_mode="reflect")
        self.norm = nn.InstanceNorm2d(4, affine=True)
        self.up = nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(F.interpolate(self.norm(self.down(x)).relu(), scale_factor=2.0))


def fused() -> nn.Module:
    model = net()
    insert_asr(model, targets=["1", "6"])
    nn.init.normal_(model[1].asr.psi)  # type: ignore[index]
    return fuse_asr(model).eval()


def run(path: Path, x: Tensor) -> Tensor:
    if path.suffix == ".pt2":
        return torch.export.load(path).module()(x)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {"images": x.numpy()})[0])


@FORMATS
def test_any_batch_gives_what_the_model_gives(tmp_path: Path, suffix: str) -> None:
    model, path = fused(), tmp_path / f"model.{suffix}"
    report = WRITERS[suffix](path, model, images(2))
    assert report.ok
    assert report.tolerance == export.TOLERANCE
    for n in (1, 4, 17):
        x = 10 * torch.rand(n, 3, 8, 8)
        with torch.no_grad():
            expected = model(x)
        assert torch.allclose(run(path, x), expected, rtol=1e-4, atol=1e-5)
        assert expected.std() > 0
    assert list(tmp_path.iterdir()) == [path]


@FORMATS
def test_any_size_gives_what_the_model_gives(tmp_path: Path, suffix: str) -> None:
    model, path = AnySize().eval(), tmp_path / f"model.{suffix}"
    WRITERS[suffix](path, model, torch.rand(2, 3, 32, 32), size_step=2)
    for shape in ((1, 3, 16, 16), (3, 3, 34, 60), (2, 3, 128, 18)):
        x = torch.rand(shape)
        with torch.no_grad():
            assert torch.allclose(run(path, x), model(x), rtol=1e-3, atol=1e-5)


@EITHER
def test_one_size_is_not_made_to_be_any(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"model.{suffix}"
    WRITERS[suffix](path, AnySize().eval(), torch.rand(2, 3, 32, 32))
    with pytest.raises(Exception, match="32"):
        run(path, torch.rand(2, 3, 64, 64))


def test_onnx_names_its_axes(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    export_onnx(path, AnySize().eval(), torch.rand(2, 3, 32, 32), size_step=2)
    graph = onnx.load(path).graph
    axes = [d.dim_param or d.dim_value for d in graph.input[0].type.tensor_type.shape.dim]
    assert axes == ["batch", 3, "2*height_over_2", "2*width_over_2"]
    assert [graph.input[0].name, graph.output[0].name] == ["images", "outputs"]
    onnx.checker.check_model(str(path), full_check=True)


def test_the_files_hold_the_stock_parameters_and_no_gate(tmp_path: Path) -> None:
    model = fused()
    export_pt2(tmp_path / "model.pt2", model, images(2))
    program = torch.export.load(tmp_path / "model.pt2")
    assert set(program.state_dict) == set(net().state_dict())
    export_onnx(tmp_path / "model.onnx", model, images(2))
    graph = onnx.load(tmp_path / "model.onnx").graph
    operations = {node.op_type for node in graph.node}
    assert "Sigmoid" not in operations, "a gate ends in one"
    assert {"Conv", "Gemm"} <= operations
    assert not [tensor.name for tensor in graph.initializer if "asr" in tensor.name]


@EITHER
def test_the_model_is_left_as_it_was_and_exported_in_eval_mode(tmp_path: Path, suffix: str) -> None:
    model, path = fused().train(), tmp_path / f"model.{suffix}"
    before = snapshot(model)
    WRITERS[suffix](path, model, images(2))
    assert_unchanged(model, before)
    x = images(3)
    with torch.no_grad():
        assert torch.allclose(run(path, x), model.eval()(x), rtol=1e-4, atol=1e-5)
        assert not torch.allclose(model.train()(x), model.eval()(x), rtol=0.1)


# --- what is refused ------------------------------------------------------------------------------


@FORMATS
def test_a_model_with_gates_is_refused(tmp_path: Path, suffix: str) -> None:
    model = net()
    insert_asr(model, targets="1")
    with pytest.raises(InputError, match=r"'1' has a gate.*fuse_asr"):
        WRITERS[suffix](tmp_path / f"model.{suffix}", model, images(2))
    assert list(tmp_path.iterdir()) == []


@EITHER
def test_a_file_that_computes_something_else_is_not_put_in_place(
    tmp_path: Path, suffix: str
) -> None:
    """The forward forgets that batches differ: right for the example, wrong for another."""

    class Remembers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            noise = 0.0 if torch.compiler.is_compiling() else 0.01
            return self.layer(x) + noise

    path = tmp_path / f"model.{suffix}"
    path.write_text("the old file")
    with pytest.raises(ParityError, match=r"part at inputs \(1, 3\): outputs differ: max abs 0.01"):
        WRITERS[suffix](path, Remembers(), torch.rand(2, 3))
    assert path.read_text() == "the old file"
    assert list(tmp_path.iterdir()) == [path]


@FORMATS
def test_a_batch_that_cannot_be_dynamic(tmp_path: Path, suffix: str) -> None:
    class OnlyTwo(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.reshape(2, 3) * x.sum()

    with pytest.raises(
        InputError, match=r"^OnlyTwo cannot be exported with a dynamic batch \(.+\): \w"
    ):
        WRITERS[suffix](tmp_path / f"model.{suffix}", OnlyTwo(), torch.rand(2, 3))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_onnx_without_its_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(InputError, match=rf"needs {package}: pip install 'robust-asr\[export\]'"):
        export_onnx(tmp_path / "model.onnx", fused(), images(2))
    assert list(tmp_path.iterdir()) == []


@EITHER
def test_a_disk_that_is_full_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    path = tmp_path / f"model.{suffix}"
    path.write_text("the old file")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        WRITERS[suffix](path, nn.Linear(3, 3), torch.rand(2, 3))
    assert path.read_text() == "the old file"
    assert list(tmp_path.iterdir()) == [path]


@EITHER
def test_a_write_that_the_system_cuts_short_is_an_error(tmp_path: Path, suffix: str) -> None:
    """Not the end of the process, as of torch's own writer: the limit is the system's."""
    path = tmp_path / f"model.{suffix}"
    path.write_text("the old file")
    model, before = nn.Linear(300, 300), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            WRITERS[suffix](path, model, torch.rand(2, 300))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.filename == str(path)
    assert path.read_text() == "the old file"
    assert list(tmp_path.iterdir()) == [path]
    WRITERS[suffix](path, model, torch.rand(2, 300))
    assert path.stat().st_size > 100_000, "the limit was below the file's size"


@pytest.mark.parametrize(("dtype", "mixed"), [(torch.float16, False), (torch.bfloat16, True)])
def test_half_precision_is_no_onnx_file(tmp_path: Path, dtype: torch.dtype, mixed: bool) -> None:
    model = fused().to(dtype)
    if mixed:
        model[1].float()  # type: ignore[index]
    with pytest.raises(InputError, match=rf"'0.weight' is of type {dtype}.*model.float\(\)"):
        export_onnx(tmp_path / "model.onnx", model, images(2).to(dtype))
    assert list(tmp_path.iterdir()) == []
    export_pt2(tmp_path / "model.pt2", model, images(2).to(dtype))
    with torch.no_grad():
        assert torch.equal(
            run(tmp_path / "model.pt2", images(4).to(dtype)), model(images(4).to(dtype))
        )


def test_double_precision_is_a_right_onnx_file_or_an_error(tmp_path: Path) -> None:
    path, linear = tmp_path / "model.onnx", nn.Linear(3, 4).double().eval()
    export_onnx(path, linear, torch.rand(2, 3).double())
    x = torch.rand(5, 3).double()
    with torch.no_grad():
        assert torch.allclose(run(path, x), linear(x), rtol=1e-12)
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"cannot be exported .*\(onnxruntime\): .*Conv"):
        export_onnx(path, fused().double(), images(2).double())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@FORMATS
def test_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str], suffix: str) -> None:
    WRITERS[suffix](tmp_path / f"model.{suffix}", nn.Linear(3, 3), torch.rand(2, 3))
    assert capfd.readouterr().out == ""
