"""Training a style network: one loop for every norm variant, resumable at any step."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from asr_core import limits
from asr_core.errors import CheckpointError, InputError
from asr_core.saving.checkpoint import check_tensors, load_strictly, save_torch
from asr_core.saving.interrupt import Interrupted, Interrupts, postponed_interrupt
from asr_core.saving.optimizer_state import load_optimizer
from asr_core.saving.run_folder import read_state, require_same
from asr_core.saving.schema import parse_fields, record
from styletransfer.crops import draw_crops
from styletransfer.losses.perceptual import LossTerms, PerceptualLoss
from styletransfer.network import StyleNetwork
from styletransfer.recipe import StyleRecipe
from styletransfer.recorded import Recorded

StepNoise = Callable[[nn.Module, int], contextlib.AbstractContextManager[object]]
"""``noise(network, step)``: a context in which that step's forward pass runs."""


class StyleStep(NamedTuple):
    """What one training step did; losses are means over its batch."""

    step: int
    loss: float
    content: float
    style: float
    images: int


@record
@dataclass(frozen=True, kw_only=True)
class _State:
    """The state of an unfinished run; ``recipe`` is all that decides it."""

    step: Annotated[int, Field(ge=0, le=limits.STEPS)]
    recipe: dict[str, Any]
    network: dict[str, Tensor]
    optimizer: dict[str, Any]
    generator: Tensor


def new_network(recipe: StyleRecipe) -> StyleNetwork:
    """The untrained network of a recipe; its seed leaves torch's global random state alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        return StyleNetwork(
            recipe.norm,
            width=recipe.width,
            blocks=recipe.blocks,
            upsample=recipe.upsample,
            attention=recipe.attention,
        )


def train_style(
    recipe: StyleRecipe,
    loss: PerceptualLoss,
    photographs: Sequence[Tensor],
    *,
    device: torch.device | str = "cpu",
    noise: StepNoise | None = None,
    resume: Path | None = None,
    setting: Mapping[str, Any] | None = None,
    save_every: int = 100,
    on_step: Callable[[StyleStep], None] | None = None,
    on_save: Callable[[], None] | None = None,
) -> StyleNetwork:
    """Train a network as ``recipe`` says and return it, in eval mode.

    Args:
        loss: towards the style image.
        photographs: training content, each (3, H, W) in [0, 1].
        noise: context for each step's forward pass (the train phase of an attack).
        resume: the file of the run's state. Where it exists the run resumes, and ends with the same
            weights, bit for bit on a CPU, as an uninterrupted one. Ctrl-C, SIGTERM and SIGHUP then
            write it at the end of the current step; a second one ends at once.
        setting: what else decides the run, as plain values by name (style, noise, photographs).
        save_every: steps between two writes of ``resume``.
        on_step: called after each step.
        on_save: called before each write of ``resume``.

    Raises:
        InputError: no photographs, or a loss or gradient that is no longer finite.
        CheckpointError: ``resume`` is damaged, or of another recipe or setting.
        Interrupted: a KeyboardInterrupt, after the state was written.
    """
    if not photographs:
        raise InputError("no photographs to train on")
    # Convolutions on CPUs and GPUs alike are fastest with channels last.
    network = new_network(recipe).to(device).to(memory_format=torch.channels_last).train()
    loss = loss.to(device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), lr=recipe.lr)
    if isinstance(photographs, list):  # what is in memory already
        photographs = [photograph.to(device) for photograph in photographs]
    generator = torch.Generator().manual_seed(recipe.seed)
    identity = {**recipe.as_dict(), **(setting or {})}
    first = 0
    if resume is not None and resume.exists():
        first = _restore(resume, identity, network, optimizer, generator)
    # Without a file to write to, Ctrl-C stays the caller's.
    postponed = contextlib.nullcontext(Interrupts()) if resume is None else postponed_interrupt()
    descend = _descent(recipe, network, loss)
    if torch.device(device).type == "cuda" and noise is None:  # which may draw on the host
        descend = Recorded(descend, network)
    with postponed as interrupted:
        for step in range(first, recipe.steps):
            size = recipe.crop_size(step)
            contents = draw_crops(photographs, recipe.batch_size, size, generator=generator)
            contents = contents.to(device)
            with noise(network, step) if noise else contextlib.nullcontext():
                found = descend(contents).tolist()
            figures = _checked(recipe, step, *found)
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate(step)
            optimizer.step()
            if on_step:
                on_step(StyleStep(step, *figures, len(contents)))
            done = step + 1
            if resume is not None and (
                interrupted() or done == recipe.steps or done % save_every == 0
            ):
                if on_save:
                    on_save()
                _save(resume, done, identity, network, optimizer, generator)
            if interrupted():
                raise Interrupted(
                    f"the same command goes on from here; the state is {resume}", interrupted.signum
                )
    return network.to(memory_format=torch.contiguous_format).eval()


def _descent(
    recipe: StyleRecipe, network: nn.Module, loss: PerceptualLoss
) -> Callable[[Tensor], Tensor]:
    """The clipped gradients of a step, as a function of its content pictures.

    It returns the means of total, content and style loss over the batch, and the gradient's norm
    before it was clipped, (4,).
    """

    def descend(contents: Tensor) -> Tensor:
        with torch.autocast(
            contents.device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"
        ):
            terms = loss(network(contents), contents)
        means = LossTerms(*map(torch.mean, terms))
        total = recipe.total(means)
        network.zero_grad(set_to_none=True)
        total.backward()
        norm = nn.utils.clip_grad_norm_(network.parameters(), recipe.clip)
        return torch.stack([total, means.content, means.style, norm]).detach()

    return descend


def _checked(
    recipe: StyleRecipe, step: int, total: float, content: float, style: float, norm: float
) -> tuple[float, float, float]:
    if not (math.isfinite(total) and math.isfinite(norm)):
        raise InputError(
            f"at step {step} the loss is {total:.4g} and its gradient {norm:.4g} "
            f"(lr {recipe.learning_rate(step):.2g}); lower the learning rate or the noise"
        )
    return total, content, style


@torch.no_grad()
def evaluate(
    network: nn.Module, loss: PerceptualLoss, images: Iterable[Tensor]
) -> dict[str, float]:
    """Mean content and style loss over images (3, H, W), one at a time.

    Args:
        network: in the mode that is to be measured; for batch norm, train mode would take each
            image's own statistics and change the running ones.
        loss: on the network's device.

    Raises:
        InputError: no images.
    """
    rows = []
    device = next(network.parameters()).device
    for image in images:
        content = image[None].to(device)
        terms = loss(network(content), content)
        rows.append([terms.content.item(), terms.style.item()])
    if not rows:
        raise InputError("no images to evaluate on")
    content, style = torch.tensor(rows, dtype=torch.float64).mean(dim=0).tolist()
    return {"content": content, "style": style}


def _save(
    path: Path,
    step: int,
    identity: Mapping[str, Any],
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
) -> None:
    state = {
        "step": step,
        "recipe": dict(identity),
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "generator": generator.get_state(),
    }
    save_torch(path, state)


def _restore(
    path: Path,
    identity: Mapping[str, Any],
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
) -> int:
    """Put the saved state in place; returns the number of steps that it has done."""
    fields = read_state(path, "recipe")
    state = parse_fields(_State, fields, where=str(path), error=CheckpointError)
    # Runs from before there was a choice were like this.
    before = {"upsample": "nearest", "precision": "float32"}
    require_same({**before, **state.recipe}, identity, path)
    check_tensors(path, state.network)
    load_strictly(network, state.network, f"{path}: not the tensors of its own run")
    load_optimizer(optimizer, state.optimizer, str(path))
    try:
        generator.set_state(state.generator)
    except (RuntimeError, TypeError) as error:
        raise CheckpointError(f"{path}: no state of a generator ({error})") from None
    return state.step
