"""Style networks on disk: those that ship with the package, users' own, and the public ones."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from asr_core import limits
from asr_core.errors import CheckpointError, InputError
from asr_core.registry import unknown_name
from asr_core.saving.checkpoint import (
    load_checkpoint,
    load_meta,
    load_strictly,
    load_tensors,
    save_checkpoint,
    sha256,
)
from asr_core.saving.schema import Name, Number, Seed, Text, parse, record
from asr_core.saving.sized import no_larger_than
from styletransfer.network import Head, StyleNetwork, Upsample

WEIGHTS = Path(__file__).parent / "weights"
"""The folder of the shipped weights; ``scripts/weights/style_networks.py`` makes them again."""

KIND = "style-network"
_SCALE = ".scale"
"""What is added to the name of an 8-bit weight, for that of its scale."""
_PUBLIC_FIRST_LAYER = "conv1.conv2d.weight"


@dataclass(frozen=True)
class StyleCheckpoint:
    """A style network on disk: which style (its picture's size, too), norm and seed, and where."""

    style: str
    norm: str
    seed: int
    path: Path
    sha256: str
    stroke_size: float = 1.0


@record
@dataclass(frozen=True)
class NetworkConfig:
    """The arguments of :class:`StyleNetwork`."""

    norm: Name
    width: Annotated[int, Field(ge=1, le=limits.WIDTH)]
    blocks: Annotated[int, Field(ge=0, le=limits.BLOCKS)]
    head: Head
    attention: Name
    upsample: Upsample = "nearest"  # networks from before there was a choice don't name it


@record
@dataclass(frozen=True, kw_only=True)
class NetworkFacts:
    """What the header of a style network's file holds, or the JSON beside an old one.

    Attributes:
        schema: of the checkpoint, as is ``sha256``.
        kind: of checkpoint.
        style: name of the style it was trained for.
        seed: training seed.
        model: what to build.
        recipe: the :class:`styletransfer.recipe.StyleRecipe`. This and the rest are for people.
        noise: of the training.
        images: the training images.
        style_image: name of the style's picture in the same folder.
        stroke_size: of the style's picture (:func:`styletransfer.images.styles.style_side`).
        loss_network: name of the loss network of the training.
        training_loss: at the end.
        validation: content and style loss on the pictures on which the recipe was chosen.
        held_out: the same on pictures on which nothing was.
        held_out_statistics: the statistics that its norms used for them.
        torch: version that trained it.
        machine: that trained it.
        fused_from: the norm variant whose gates were folded away.
    """

    schema: int
    sha256: Text
    kind: Literal["style-network"]
    style: Name
    seed: Seed
    model: NetworkConfig
    recipe: dict[str, Any] | None = None
    noise: dict[str, Text] | None = None
    images: Text | None = None
    style_image: Text | None = None
    stroke_size: Number | None = None
    loss_network: Text | None = None
    training_loss: Number | None = None
    validation: dict[str, Number] | None = None
    held_out: dict[str, Number] | None = None
    held_out_statistics: Text | None = None
    torch: Text | None = None
    machine: Text | None = None
    fused_from: Text | None = None


def shipped(folder: Path = WEIGHTS) -> list[StyleCheckpoint]:
    """The networks that ship with the package, ordered by style, norm and seed."""
    found = []
    for path in sorted(folder.glob("*.safetensors")):
        meta = load_meta(path)
        if meta.get("kind") == KIND:
            found.append(_describe(path, meta))
    return sorted(found, key=lambda network: (network.style, network.norm, network.seed))


def select(
    networks: Sequence[StyleCheckpoint],
    *,
    style: str | None = None,
    norm: str | None = None,
    seed: int | None = None,
) -> list[StyleCheckpoint]:
    """Those of ``networks`` with the given style, norm and training seed; None takes all.

    Raises:
        InputError: none has them; the message lists the known ones.
    """
    wanted = {"style": style, "norm": norm, "seed": seed}
    for field, value in wanted.items():
        if value is None:
            continue
        known = sorted({str(getattr(network, field)) for network in networks})
        networks = [network for network in networks if getattr(network, field) == value]
        if not networks:
            raise unknown_name(f"{field} of the networks at hand", str(value), known)
    return list(networks)


def save_network(
    path: Path | str,
    network: StyleNetwork,
    *,
    style: str,
    seed: int,
    facts: Mapping[str, Any],
    bits: Literal[8, 16] = 16,
) -> None:
    """Write a style network: convolutions and ψ in half precision, vectors (norms) in full.

    Args:
        path: ends in .safetensors.
        style: name of the style it was trained for.
        seed: training seed.
        facts: of :class:`NetworkFacts`, as JSON-able data: recipe, loss network, final losses.
        bits: of a weight of the convolutions. 8 halves the file, as those that ship are: whole
            numbers up to 127, times a scale for each output channel.

    Raises:
        InputError: other facts than those.
        CheckpointError: another suffix, or weights that are not finite (in half precision).
        OSError: the folder cannot be written, or the disk is full.
    """
    tensors = {
        name: tensor.half() if tensor.ndim > 1 and tensor.is_floating_point() else tensor
        for name, tensor in network.state_dict().items()
    }
    if bits == 8:
        tensors |= _eight_bits(network.state_dict())
    meta = {"kind": KIND, "style": style, "seed": seed, "model": network.config, **facts}
    parse(NetworkFacts, {"schema": 0, "sha256": "", **meta})
    save_checkpoint(path, tensors, meta)


def load_network(path: Path | str) -> tuple[StyleNetwork, dict[str, Any]]:
    """Read a style network, in float32 and eval mode, with the facts saved in it.

    Takes what :func:`save_network` wrote (.safetensors), and the checkpoints of the
    public ``fast_neural_style`` example (.pth and every other suffix: instance norm, [0, 255]).

    Raises:
        CheckpointError: missing, damaged, unsafe, with NaN weights, or of another architecture.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint")
    if not _is_ours(path):
        return _load_public(path)
    tensors, meta = load_checkpoint(path)
    tensors = _from_eight_bits(tensors, path)
    facts = _facts(path, meta)
    network = _build(path, tensors, **asdict(facts.model))
    return _filled(network, tensors, path), meta


def _eight_bits(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The kernels of a state as int8 (O, I, h, w), and their scales (O, 1, 1, 1) beside.

    ψ, (δ, C, 1, 1), is none: one scale for all its channels would round the small ones away.
    """
    found = {}
    for name, tensor in state.items():
        if tensor.ndim == 4 and tensor.shape[-1] > 1:
            scale = tensor.abs().amax(dim=(1, 2, 3), keepdim=True) / 127
            scale = scale.clamp(min=torch.finfo(torch.float32).tiny)
            found[name] = (tensor / scale).round().to(torch.int8)
            found[name + _SCALE] = scale
    return found


def _from_eight_bits(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    found = {name: tensor for name, tensor in tensors.items() if not name.endswith(_SCALE)}
    for name, tensor in found.items():
        if tensor.dtype == torch.int8:
            scale = tensors.get(name + _SCALE)
            if scale is None or scale.shape != (len(tensor), *[1] * (tensor.ndim - 1)):
                raise CheckpointError(f"{path}: no scale for each output channel of {name}")
            found[name] = tensor.float() * scale.float()
    return found


def new_twin(network: StyleNetwork, *, norm: str) -> StyleNetwork:
    """An untrained network of the same shape with another norm variant, in eval mode."""
    with torch.random.fork_rng(devices=[]):
        return StyleNetwork(**{**network.config, "norm": norm}).eval()


def describe(path: Path | str) -> StyleCheckpoint:
    """What a checkpoint file is. Of our own only the header is read.

    Raises:
        CheckpointError: no such file, or its facts are missing, damaged or of another kind.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint")
    if not _is_ours(path):
        load_tensors(path)  # before it is hashed: it may be anything, of any size
        return StyleCheckpoint(path.stem, "in", 0, path, sha256(path))
    return _describe(path, load_meta(path))


def _is_ours(path: Path) -> bool:
    """By suffix, not by the JSON: our networks must not pass for public ones without it."""
    return path.suffix == ".safetensors"


def _build(path: Path, tensors: Mapping[str, Tensor], **config: Any) -> StyleNetwork:
    """The untrained network that a file describes; torch's global random state stays as it is."""
    try:
        with torch.random.fork_rng(devices=[]), no_larger_than(tensors, str(path)):
            return StyleNetwork(**config)
    except CheckpointError:
        raise
    except InputError as error:
        raise CheckpointError(f"{path}: it describes no style network ({error})") from None


def _facts(path: Path, meta: Mapping[str, Any]) -> NetworkFacts:
    if meta.get("kind") != KIND:
        raise CheckpointError(f"{path}: a checkpoint of kind {meta.get('kind')!r}, not {KIND!r}")
    return parse(NetworkFacts, meta, where=str(path), error=CheckpointError)


def _describe(path: Path, meta: Mapping[str, Any]) -> StyleCheckpoint:
    facts = _facts(path, meta)
    stroke_size = 1.0 if facts.stroke_size is None else facts.stroke_size
    return StyleCheckpoint(
        facts.style, facts.model.norm, facts.seed, path, sha256(path), stroke_size
    )


def _load_public(path: Path) -> tuple[StyleNetwork, dict[str, Any]]:
    tensors = load_tensors(path)
    first = tensors.get(_PUBLIC_FIRST_LAYER)
    if first is None or first.ndim != 4 or not len(first):
        raise CheckpointError(
            f"{path}: not a style network of the public example: it has no {_PUBLIC_FIRST_LAYER}"
        )
    # PyTorch 0.3 kept running statistics in instance norms and never used them. With a
    # num_batches_tracked beside them they are a batch norm's, or in use, and the load fails.
    kept = {
        name: tensor
        for name, tensor in tensors.items()
        if not re.search(r"\.running_(mean|var)$", name)
    }
    blocks = {match.group(1) for name in kept if (match := re.match(r"res(\d+)\.", name))}
    config = {"norm": "in", "width": len(first), "blocks": len(blocks), "head": "linear"}
    network = _build(path, kept, **config)
    return _filled(network, kept, path), {"style": path.stem, "seed": 0, "model": network.config}


def _filled(network: StyleNetwork, tensors: Mapping[str, Tensor], path: Path) -> StyleNetwork:
    """With ``tensors``, in full precision and in eval mode."""
    full = {n: t.float() if t.is_floating_point() else t for n, t in tensors.items()}
    load_strictly(network, full, f"{path}: of another architecture")
    return network.eval()
