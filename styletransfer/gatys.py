"""A picture optimised towards a style, without any network that stylises: the anchor of all others.

Gatys et al. 2016, "Image Style Transfer Using Convolutional Neural Networks": the pixels themselves
are what is learned. Johnson et al. 2016 compare their networks with it by the same loss.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from asr_core.errors import InputError
from styletransfer.losses.perceptual import LossTerms, PerceptualLoss
from styletransfer.recipe import StyleRecipe

_HISTORY = 20
"""Pairs of steps and gradients that L-BFGS keeps: each costs the memory of two pictures."""


class Optimised(NamedTuple):
    """A picture after some iterations.

    Attributes:
        iterations: how many.
        picture: (3, H, W) in [0, 1].
        total: its loss, in the weights of the recipe.
        terms: its losses, each (1,).
    """

    iterations: int
    picture: Tensor
    total: float
    terms: LossTerms


def optimise_picture(
    content: Tensor, loss: PerceptualLoss, recipe: StyleRecipe, *, iterations: int = 100
) -> tuple[Tensor, list[float]]:
    """Change a photograph until its loss is small; see :func:`optimised_pictures`.

    Returns:
        the picture, (3, H, W) in [0, 1], and the loss after 0, 1, … ``iterations`` iterations.

    Raises:
        InputError: as :func:`optimised_pictures`.
    """
    totals = []
    for step in optimised_pictures(content, loss, recipe, iterations=iterations):
        totals.append(step.total)
    return step.picture, totals


def optimised_pictures(
    content: Tensor, loss: PerceptualLoss, recipe: StyleRecipe, *, iterations: int = 100
) -> Iterator[Optimised]:
    """The pictures after 0, 1, … ``iterations`` iterations of L-BFGS on the loss.

    It starts from the photograph, not from noise: the content loss is then 0 at first, the result
    needs no seed, and fewer iterations are wasted, which makes the anchor the harder one to reach.
    The picture that is judged is clamped to [0, 1]. An iteration is one forward and one backward of
    the loss: steps have length one, without a line search, as Johnson et al. had them.

    Args:
        content: the photograph, (3, H, W) in [0, 1].
        loss: towards the style, on the photograph's device.
        recipe: the weights of the losses, and the precision of the loss network.
        iterations: how many; 0 gives the photograph alone.

    Raises:
        InputError: another shape, or a loss that is no longer finite.
    """
    if content.ndim != 3 or content.shape[0] != 3:
        raise InputError(f"content must be (3, H, W), got {tuple(content.shape)}")
    lower = torch.autocast(
        content.device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"
    )
    pixels = content[None].clone().requires_grad_()
    with lower:
        wanted = loss.content_features(content[None])
    optimizer = torch.optim.LBFGS(
        [pixels], max_iter=1, history_size=_HISTORY, tolerance_grad=0, tolerance_change=0
    )

    done = 0
    now: Optimised

    def judge() -> tuple[Tensor, Optimised]:
        picture = pixels.clamp(0, 1)
        with lower:
            terms = loss.compare(picture, wanted)
        total = recipe.total(terms).sum()
        if not torch.isfinite(total):
            raise InputError(f"after {done} iterations the loss is {total.item():.4g}")
        detached = LossTerms(*(term.detach() for term in terms))
        return total, Optimised(done, picture.detach()[0], total.item(), detached)

    def down() -> Tensor:
        nonlocal now
        optimizer.zero_grad()
        total, now = judge()
        total.backward()
        return total

    while done < iterations:
        with torch.enable_grad():
            optimizer.step(down)
        yield now
        done += 1
    with torch.no_grad():
        yield judge()[1]
