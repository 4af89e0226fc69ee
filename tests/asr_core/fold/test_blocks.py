"""asr_core.fold.branches: blocks that are used in ways that merging them would change."""

import pytest
import torch
from layer_cases import randomise
from torch import nn

from asr_core import fold_report, merge_branches
from asr_core.errors import InputError
from asr_core.fold.branches import branched, find_blocks
from asr_core.models.networks.repvgg import RepVGG, RepVGGBlock

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")


def network():
    return RepVGG((1, 2, 1, 1, 1), (4, 4, 8, 8, 8), 5)


def weight_normed():
    model = network()
    nn.utils.weight_norm(model.blocks[1].conv1)
    return model


def hooked(model, name):
    module = model.get_submodule(name)
    module.register_forward_hook(lambda m, args, output: output * 2)
    return model


class Outside(nn.Module):
    """Uses what is inside a block."""

    def __init__(self, what):
        super().__init__()
        self.block, self.what = RepVGGBlock(4, 4), what

    def forward(self, x):
        y = self.block(x)
        if self.what == "layer":
            return y + self.block.conv1(x)
        if self.what == "class":
            return y if isinstance(self.block, RepVGGBlock) else 2 * y
        return y * self.block.bn3.running_var.mean()


STAYING = {
    "hook on the block": (lambda: hooked(network(), "blocks.1"), "has hooks"),
    "hook on a layer": (lambda: hooked(network(), "blocks.1.bn3"), "BatchNorm2d in it"),
    "weight_norm": (weight_normed, "Conv2d in it has hooks"),
    "layer": (lambda: Outside("layer"), "what is inside is used outside"),
    "statistics": (lambda: Outside("statistics"), "what is inside is used outside"),
}


@pytest.mark.parametrize("case", STAYING)
@torch.no_grad()
def test_blocks_that_stay(case):
    make, reason = STAYING[case]
    torch.manual_seed(0)
    model = make()
    randomise(model, std=0.3)
    model.double().eval()
    name = next(name for name in ("block", "blocks.1") if name in branched(model))
    x = torch.rand(2, 4 if name == "block" else 3, 16, 16, dtype=torch.float64)
    names, (left,) = find_blocks(model)
    assert (left.name, name in names) == (name, False)
    assert reason in left.reason
    with pytest.raises(InputError, match=f"cannot merge '{name}': .*{reason}"):
        merge_branches(model)
    report = fold_report(model)
    assert report.merged == names
    assert left in report.left
    wanted = model(x)
    assert wanted.std() > 0
    assert (report.model(x) - wanted).abs().max() <= 1e-10 * wanted.abs().max()


def test_a_forward_that_asks_what_its_block_is():
    with pytest.raises(InputError, match="cannot merge 'block': the forward of Outside inspects"):
        merge_branches(Outside("class"))
