"""styletransfer.gatys: a picture goes down the loss, from the photograph on."""

import statistics

import pytest
import torch
from tiny_training import QuickLossNetwork
from torch import Tensor
from torch.nn import functional as F

from asr_core.errors import InputError
from styletransfer.gatys import optimise_picture, optimised_pictures
from styletransfer.losses.embedded import EmbeddedLossNetwork
from styletransfer.losses.perceptual import PerceptualLoss
from styletransfer.recipe import StyleRecipe

RECIPE = StyleRecipe(content_weight=0.7, style_weight=4.0, tv_weight=0.05)


def blocks(seed: int, side: int = 32) -> Tensor:
    small = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(0.1 + 0.8 * small, size=(side, side), mode="bilinear")[0]


@pytest.fixture(scope="module")
def loss() -> PerceptualLoss:
    return PerceptualLoss(EmbeddedLossNetwork(), blocks(1, 48))


def by_hand(loss: PerceptualLoss, picture: Tensor, content: Tensor) -> Tensor:
    terms = loss(picture[None], content[None])
    return (0.7 * terms.content + 4 * terms.style + 0.05 * terms.total_variation)[0]


def test_the_loss_falls_and_belongs_to_the_pictures(loss: PerceptualLoss) -> None:
    content = blocks(2)
    states = list(optimised_pictures(content, loss, RECIPE, iterations=30))
    assert [state.iterations for state in states] == list(range(31))
    assert torch.equal(states[0].picture, content), "it starts from the photograph"
    assert states[0].terms.content.item() == 0
    for state in states[::10]:
        assert state.picture.shape == content.shape
        assert 0 <= state.picture.min() < state.picture.max() <= 1
        assert state.total == pytest.approx(by_hand(loss, state.picture, content).item(), rel=1e-5)
    totals = [state.total for state in states]
    assert totals[30] < totals[20] < totals[10] < 0.9 * totals[0]
    picture, again = optimise_picture(content, loss, RECIPE, iterations=30)
    assert again == totals
    assert torch.equal(picture, states[-1].picture)
    assert not picture.requires_grad


def test_the_first_step_goes_down_the_gradient() -> None:
    """By central differences in float64: the step is -g / ‖g‖₁."""
    loss = PerceptualLoss(EmbeddedLossNetwork().double(), blocks(1, 48).double())
    content = blocks(3).double()
    start, after = optimised_pictures(content, loss, RECIPE, iterations=1)
    step = after.picture - start.picture
    assert step.abs().sum().item() == pytest.approx(1)
    flat, slopes = content.flatten(), {}
    chosen = torch.randperm(len(flat), generator=torch.Generator().manual_seed(0))[:12].tolist()
    for index in chosen:
        moved = []
        for change in (1e-6, -1e-6):
            other = flat.clone()
            other[index] += change
            moved.append(by_hand(loss, other.view_as(content), content).item())
        slopes[index] = (moved[0] - moved[1]) / 2e-6
    ratios = [-step.flatten()[index].item() / slope for index, slope in slopes.items()]
    assert min(map(abs, slopes.values())) > 0
    factor = statistics.median(ratios)
    assert factor > 0
    assert ratios == pytest.approx([factor] * len(ratios), rel=0.02)
    near = [ratio for ratio in ratios if ratio == pytest.approx(factor, rel=1e-5)]
    assert len(near) >= 10, "a slope or two may stand at the kink of a ReLU"


def test_pixels_are_judged_within_the_range() -> None:
    loss = PerceptualLoss(QuickLossNetwork(), torch.rand(3, 64, 64).round())
    picture, _ = optimise_picture(blocks(4), loss, RECIPE, iterations=40)
    assert picture.min() == 0 or picture.max() == 1, "the case reaches a bound"
    assert 0 <= picture.min() <= picture.max() <= 1


def test_no_iteration_gives_the_photograph(loss: PerceptualLoss) -> None:
    picture, totals = optimise_picture(blocks(2), loss, RECIPE, iterations=0)
    assert torch.equal(picture, blocks(2))
    assert len(totals) == 1


def test_lower_precision_comes_to_the_same(loss: PerceptualLoss) -> None:
    lower = StyleRecipe(content_weight=0.7, style_weight=4.0, tv_weight=0.05, precision="bfloat16")
    totals = [optimise_picture(blocks(2), loss, r, iterations=20)[1] for r in (RECIPE, lower)]
    assert totals[0] != totals[1]
    assert totals[0][-1] == pytest.approx(totals[1][-1], rel=0.03)


def test_what_cannot_be_optimised_is_refused(loss: PerceptualLoss) -> None:
    with pytest.raises(InputError, match=r"\(1, 3, 32, 32\)"):
        optimise_picture(blocks(2)[None], loss, RECIPE)
    with pytest.raises(InputError, match="after 0 iterations the loss is nan"):
        optimise_picture(torch.full((3, 32, 32), torch.nan), loss, RECIPE)
