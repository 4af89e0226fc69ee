"""Style networks on disk: those that ship with the package, users' own, and the public ones."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from asr_core.checkpoint import load_checkpoint, load_meta, load_tensors, save_checkpoint, sha256
from asr_core.errors import CheckpointError, InputError
from asr_core.registry import unknown_name
from styletransfer.network import StyleNetwork

WEIGHTS = Path(__file__).parent / "weights"
"""The folder of the shipped weights; ``scripts/make_style_weights.py`` makes them again."""

KIND = "style-network"
_PUBLIC_FIRST_LAYER = "conv1.conv2d.weight"


@dataclass(frozen=True)
class StyleCheckpoint:
    """A style network on disk: which style, norm variant and training seed, and where."""

    style: str
    norm: str
    seed: int
    path: Path
    sha256: str


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
    path: Path | str, network: StyleNetwork, *, style: str, seed: int, facts: Mapping[str, Any]
) -> None:
    """Write a style network: convolutions in half precision, vectors (norms, ψ) in full.

    Args:
        path: ends in .safetensors; the JSON is written beside it.
        style: name of the style it was trained for.
        seed: training seed.
        facts: JSON-able: recipe, loss network, final losses.

    Raises:
        CheckpointError: another suffix, or weights that are not finite (in half precision).
        OSError: the folder cannot be written, or the disk is full.
    """
    tensors = {
        name: tensor.half() if tensor.ndim > 1 and tensor.is_floating_point() else tensor
        for name, tensor in network.state_dict().items()
    }
    meta = {"kind": KIND, "style": style, "seed": seed, "model": network.config, **facts}
    save_checkpoint(path, tensors, meta)


def load_network(path: Path | str) -> tuple[StyleNetwork, dict[str, Any]]:
    """Read a style network, in float32 and eval mode, with the facts saved beside it.

    Takes what :func:`save_network` wrote (.safetensors, and its JSON), and the checkpoints of the
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
    if meta.get("kind") != KIND:
        raise CheckpointError(f"{path}: a checkpoint of kind {meta.get('kind')!r}, not {KIND!r}")
    try:
        network = _build(**meta["model"])
    except (KeyError, TypeError, InputError) as error:
        raise CheckpointError(f"{path}: its JSON describes no style network ({error})") from None
    _load_strictly(network, {name: _full(tensor) for name, tensor in tensors.items()}, path)
    return network.eval(), meta


def new_twin(network: StyleNetwork, *, norm: str) -> StyleNetwork:
    """An untrained network of the same shape with another norm variant, in eval mode."""
    return _build(**{**network.config, "norm": norm}).eval()


def describe(path: Path | str) -> StyleCheckpoint:
    """What a checkpoint file is, without reading its tensors.

    Raises:
        CheckpointError: no such file, or its JSON is missing, damaged or of another kind.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint")
    if not _is_ours(path):
        return StyleCheckpoint(path.stem, "in", 0, path, sha256(path))
    return _describe(path, load_meta(path))


def _is_ours(path: Path) -> bool:
    """By suffix, not by the JSON: without it our networks would pass for public ones."""
    return path.suffix == ".safetensors"


def _build(**config: Any) -> StyleNetwork:
    """An untrained network; torch's global random state stays as it is."""
    with torch.random.fork_rng(devices=[]):
        return StyleNetwork(**config)


def _describe(path: Path, meta: dict[str, Any]) -> StyleCheckpoint:
    if meta.get("kind") != KIND:
        raise CheckpointError(f"{path}: a checkpoint of kind {meta.get('kind')!r}, not {KIND!r}")
    try:
        return StyleCheckpoint(
            str(meta["style"]), str(meta["model"]["norm"]), int(meta["seed"]), path, meta["sha256"]
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: its JSON lacks {error}") from None


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
        name: _full(tensor)
        for name, tensor in tensors.items()
        if not re.search(r"\.running_(mean|var)$", name)
    }
    blocks = {match.group(1) for name in kept if (match := re.match(r"res(\d+)\.", name))}
    network = _build(norm="in", width=len(first), blocks=len(blocks), head="linear")
    _load_strictly(network, kept, path)
    return network.eval(), {"style": path.stem, "seed": 0, "model": network.config}


def _full(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _load_strictly(network: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    expected = network.state_dict()
    missing = sorted(set(expected) - set(tensors))
    unexpected = sorted(set(tensors) - set(expected))
    if missing or unexpected:
        raise CheckpointError(
            f"{path}: of another architecture: missing {missing[:3] or 'nothing'}, "
            f"unexpected {unexpected[:3] or 'nothing'}"
        )
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            raise CheckpointError(
                f"{path}: of another architecture: {name} is {tuple(tensor.shape)}, "
                f"expected {tuple(expected[name].shape)}"
            )
    network.load_state_dict(dict(tensors), strict=True)
