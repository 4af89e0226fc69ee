"""asr_core.verify.export_divergence: the module is named that was made to differ, and no other."""

from pathlib import Path

import pytest
import torch
from layer_cases import randomise
from representative import some_of
from small_net import images
from torch import Tensor, nn
from torchvision.models import ShuffleNetV2, VisionTransformer

from asr_core.errors import ParityError
from asr_core.models import Normalized, build
from asr_core.saving.export import export_onnx, export_pt2
from asr_core.verify.export_divergence import module_ends, program_divergence, pt2_values

WRITERS = {"pt2": export_pt2, "onnx": export_onnx}
FORMATS = pytest.mark.parametrize("suffix", WRITERS)


class Shifted(nn.Module):
    """Its layer's output and a shift, which is another one in exported programs."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + (0.25 if torch.compiler.is_compiling() else 0.5)


def network() -> nn.Module:
    torch.manual_seed(0)
    block = nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), block)
    return net.append(nn.Flatten()).append(nn.Linear(64, 5)).eval()


@FORMATS
@pytest.mark.parametrize("name", some_of(["3.1", "5"], ["3.1"]))
def test_the_layer_that_differs_is_named(tmp_path: Path, suffix: str, name: str) -> None:
    model = network()
    parent, _, child = name.rpartition(".")
    wrong = Shifted(model.get_submodule(name))
    setattr(model.get_submodule(parent), child, wrong)
    with pytest.raises(ParityError, match=rf"outputs first part at '{name}'$"):
        WRITERS[suffix](tmp_path / f"model.{suffix}", model, images(2))
    assert list(tmp_path.iterdir()) == []


@FORMATS
def test_a_difference_in_no_module_is_in_none(tmp_path: Path, suffix: str) -> None:
    model = Shifted(network())
    words = r"outputs first part at no single layer, only in the model as a whole$"
    with pytest.raises(ParityError, match=words):
        WRITERS[suffix](tmp_path / f"model.{suffix}", model, images(2))


def test_a_layer_that_is_called_twice_is_left_out(tmp_path: Path) -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.first, self.again, self.last = (nn.Linear(3, 3) for _ in range(3))
            self.again = Shifted(self.again)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.again(self.again(self.first(x))))

    with pytest.raises(ParityError, match=r"outputs first part at 'last'$"):
        export_pt2(tmp_path / "model.pt2", Twice().eval(), torch.rand(2, 3))


NETWORKS = {
    "live": lambda: Normalized(build("resnet11", 4, mode="live"), [0.5] * 3, [0.2] * 3),
    "mobilenet": lambda: build("mobilenet_v1", 4),
    "shufflenet": lambda: ShuffleNetV2([1, 1, 1], [8, 8, 8, 8, 16], 4),
    "vit": lambda: VisionTransformer(32, 16, 2, 2, 16, 32, num_classes=4),
    "in place": network,
}


@pytest.mark.parametrize("name", some_of(NETWORKS, ["in place", "vit"]))
def test_a_right_program_differs_nowhere(name: str) -> None:
    torch.manual_seed(0)
    model = NETWORKS[name]()
    for module in model.children():
        randomise(module, std=0.3)
    model.eval()
    x = images(2) if name == "in place" else torch.rand(2, 3, 32, 32)
    run = torch.export.export(model, (x,)).module()
    values = list(pt2_values(run, x))
    assert len(values) > 8
    assert program_divergence(model, x, values, tolerance=1e-5) is None
    # One value changed, and it is found.
    module, value = values[0]
    values[0] = module, value + 1
    assert program_divergence(model, x, values, tolerance=1e-5) == module


def test_modules_inside_come_before_those_around_them() -> None:
    run = torch.export.export(network(), (images(2),)).module()
    names = [name for name, _ in module_ends(run.graph)]
    assert names == ["0", "1", "2", "3.0", "3.1", "3.2", "3", "4", "5"]
