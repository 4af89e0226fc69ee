"""asr_core.models.networks.group_norm: the network that has no batch noise."""

import pytest
import torch
from torch import nn

from asr_core import fuse_asr
from asr_core.models import build
from robust.norm_noise import batch_statistics

X = torch.rand(4, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("mode", ["plain", "live", "asr"])
def test_an_image_does_not_see_the_others_in_its_batch(mode: str) -> None:
    for name, expected in (("resnet11_gn", True), ("resnet11", False)):
        torch.manual_seed(0)
        model = build(name, 5, mode=mode).double().train()
        alone = torch.cat([model(x[None]) for x in X])
        assert torch.allclose(model(X), alone, rtol=1e-10) == expected, name
        with batch_statistics(model.eval(), 2):
            assert torch.allclose(model(X), alone, rtol=1e-10) == expected, name


def test_norms_have_the_names_and_parameters_of_those_they_replace() -> None:
    torch.manual_seed(0)
    ours = build("resnet29_gn", 5)
    torch.manual_seed(0)
    theirs = build("resnet29", 5)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in ours.modules())
    norms = {n: m for n, m in ours.named_modules() if isinstance(m, nn.GroupNorm)}
    assert [*norms] == [n for n, m in theirs.named_modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(m.num_channels == 16 * m.num_groups for m in norms.values())
    own = dict(theirs.named_parameters())
    assert all(torch.equal(p, own[name]) for name, p in ours.named_parameters())
    assert dict(ours.named_parameters()).keys() == own.keys()


def test_a_gate_on_group_norm_is_fused() -> None:
    torch.manual_seed(0)
    model = build("resnet11_gn", 5, mode="frozen").double().eval()
    fused = fuse_asr(model, example=X)
    assert fused.state_dict().keys() == build("resnet11_gn", 5).state_dict().keys()
    assert (fused(X) - model(X)).abs().max() <= 1e-10 * model(X).abs().max()
