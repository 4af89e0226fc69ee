"""Recorded steps on a CUDA device give what the same steps give one by one."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from styletransfer import train as module
from styletransfer.losses.embedded import EmbeddedLossNetwork
from styletransfer.losses.perceptual import PerceptualLoss
from styletransfer.network import NORMS
from styletransfer.recipe import StyleRecipe
from styletransfer.recorded import Recorded

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def test_another_shape_is_recorded_again() -> None:
    norm = torch.nn.BatchNorm2d(3).cuda()
    recorded = Recorded(lambda x: norm(x).square().mean(dim=(0, 2, 3)), norm)
    fresh = torch.nn.BatchNorm2d(3).cuda()
    for size in (8, 8, 16, 8):
        x = torch.randn(2, 3, size, size, device="cuda")
        expected = fresh(x).square().mean(dim=(0, 2, 3))
        torch.testing.assert_close(recorded(x), expected)
    torch.testing.assert_close(norm.running_var, fresh.running_var)
    assert norm.num_batches_tracked.item() == 4


@pytest.mark.parametrize("norm", NORMS.names())
def test_training_is_that_of_single_steps(norm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = StyleRecipe(norm=norm, steps=6, size=64, coarse_size=64, width=4, blocks=1, lr=1e-3)
    recipe = dataclasses.replace(recipe, size=96)  # two shapes
    loss = PerceptualLoss(EmbeddedLossNetwork(), torch.rand(3, 64, 64))
    photographs = [torch.rand(3, 80, 100)]

    def trained() -> tuple[list[float], dict[str, torch.Tensor]]:
        losses: list[float] = []
        network = module.train_style(
            recipe, loss, photographs, device="cuda", on_step=lambda s: losses.append(s.loss)
        )
        return losses, network.state_dict()

    found, state = trained()
    monkeypatch.setattr(module, "Recorded", lambda function, network: function)
    expected, wanted = trained()
    assert expected[0] != expected[-1]
    torch.testing.assert_close(found, expected, rtol=2e-3, atol=1e-4)
    for name, tensor in wanted.items():
        torch.testing.assert_close(state[name], tensor, rtol=5e-2, atol=5e-3, msg=name)
