"""Training a style network: one loop for every norm variant, resumable at any step."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from asr_core.errors import CheckpointError, InputError
from asr_core.files import atomic_path
from styletransfer.crops import draw_crops
from styletransfer.losses.perceptual import PerceptualLoss
from styletransfer.network import StyleNetwork
from styletransfer.recipe import StyleRecipe

StepNoise = Callable[[nn.Module, int], contextlib.AbstractContextManager[object]]
"""``noise(network, step)``: a context in which that step's forward pass runs."""


class Step(NamedTuple):
    """What one training step did; losses are means over its batch."""

    step: int
    loss: float
    content: float
    style: float
    images: int


def new_network(recipe: StyleRecipe) -> StyleNetwork:
    """The untrained network of a recipe; its seed leaves torch's global random state alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        return StyleNetwork(
            recipe.norm, width=recipe.width, blocks=recipe.blocks, attention=recipe.attention
        )


def train_style(
    recipe: StyleRecipe,
    loss: PerceptualLoss,
    photographs: Sequence[Tensor],
    *,
    device: torch.device | str = "cpu",
    noise: StepNoise | None = None,
    resume: Path | None = None,
    save_every: int = 100,
    on_step: Callable[[Step], None] | None = None,
) -> StyleNetwork:
    """Train a network as ``recipe`` says and return it, in eval mode.

    Args:
        loss: towards the style image.
        photographs: training content, each (3, H, W) in [0, 1].
        noise: context for each step's forward pass (the train phase of an attack).
        resume: a file that holds the state of the run. Where it exists the run goes on from it, and
            ends with the same weights, bit for bit on a CPU, as one that was never interrupted.
        save_every: steps between two writes of ``resume``.
        on_step: called after each step.

    Raises:
        InputError: no photographs, or a loss that is no longer finite.
        CheckpointError: ``resume`` is of another recipe.
    """
    if not photographs:
        raise InputError("no photographs to train on")
    network = new_network(recipe).to(device).train()
    loss = loss.to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=recipe.lr)
    generator = torch.Generator().manual_seed(recipe.seed)
    first = 0
    if resume is not None and resume.exists():
        first = _restore(resume, recipe, network, optimizer, generator)
    for step in range(first, recipe.steps):
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate(step)
        size = recipe.crop_size(step)
        contents = draw_crops(photographs, recipe.batch_size, size, generator=generator).to(device)
        with noise(network, step) if noise else contextlib.nullcontext():
            terms = loss(network(contents), contents)
        content, style, variation = (term.mean() for term in terms)
        total = (
            recipe.content_weight * content
            + recipe.style_weight * style
            + recipe.tv_weight * variation
        )
        if not torch.isfinite(total):
            raise InputError(
                f"the loss is {total.item()} at step {step} (lr {recipe.learning_rate(step):.2g}); "
                "lower the learning rate or the noise"
            )
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(network.parameters(), recipe.clip)
        optimizer.step()
        if resume is not None and ((step + 1) % save_every == 0 or step + 1 == recipe.steps):
            _save(resume, step + 1, recipe, network, optimizer, generator)
        if on_step:
            on_step(Step(step, total.item(), content.item(), style.item(), len(contents)))
    return network.eval()


@torch.no_grad()
def evaluate(
    network: nn.Module, loss: PerceptualLoss, images: Iterable[Tensor]
) -> dict[str, float]:
    """Mean content and style loss over images (3, H, W), one at a time, in the mode it is in."""
    rows = []
    for image in images:
        terms = loss(network(image[None]), image[None])
        rows.append([terms.content.item(), terms.style.item()])
    if not rows:
        raise InputError("no images to evaluate on")
    content, style = torch.tensor(rows, dtype=torch.float64).mean(dim=0).tolist()
    return {"content": content, "style": style}


def _save(
    path: Path,
    step: int,
    recipe: StyleRecipe,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
) -> None:
    state = {
        "step": step,
        "recipe": recipe.as_dict(),
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "generator": generator.get_state(),
    }
    with atomic_path(path) as temporary:
        torch.save(state, temporary)


def _restore(
    path: Path,
    recipe: StyleRecipe,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
) -> int:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        saved = state["recipe"]
    except OSError:
        raise
    except Exception as error:
        raise CheckpointError(f"{path}: cannot resume from it ({error}); remove it") from None
    known = {field.name for field in dataclasses.fields(recipe)}
    differing = sorted(
        name for name in known | set(saved) if saved.get(name) != recipe.as_dict().get(name)
    )
    if differing:
        raise CheckpointError(
            f"{path}: the interrupted run had another recipe ({', '.join(differing)}); "
            "give the same options, or another --out"
        )
    network.load_state_dict(state["network"])
    optimizer.load_state_dict(state["optimizer"])
    generator.set_state(state["generator"])
    return int(state["step"])
