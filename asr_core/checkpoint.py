"""Checkpoints: tensors as safetensors, everything else as JSON beside them.

Nothing that is read here can execute code. The JSON names the SHA-256 of the tensor file, so that
a truncated or swapped file is found before it is used.
"""

from __future__ import annotations

import hashlib
import io
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from asr_core.errors import CheckpointError
from asr_core.files import atomic_path, write_json

SCHEMA = 1


def save_checkpoint(
    path: Path | str, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]
) -> None:
    """Write ``path`` (.safetensors) and the JSON beside it, each atomically.

    Args:
        tensors: a state dict.
        meta: JSON-able facts; ``schema`` and ``sha256`` are put in, whatever it says of them.

    Raises:
        CheckpointError: ``path`` does not end in .safetensors, or a tensor holds NaN or infinite
            values: such a file could not be read again.
        OSError: the folder cannot be written, or the disk is full.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise CheckpointError(f"{path}: checkpoints end in .safetensors")
    _refuse_non_finite(path, tensors)
    # As bytes: safetensors' own writer replaces the file by one that only the owner may read.
    data = save({name: tensor.detach().contiguous() for name, tensor in tensors.items()})
    header = {"schema": SCHEMA, "sha256": hashlib.sha256(data).hexdigest()}
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
        write_json(path.with_suffix(".json"), {**header, **meta, **header})


def load_checkpoint(path: Path | str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a checkpoint and its JSON: ``(tensors, meta)``.

    Raises:
        CheckpointError: a file is missing, damaged, unsafe (a pickle), of an unknown schema, of
            another hash than its JSON says, or holds NaN or infinite values.
    """
    path = Path(path)
    meta = load_meta(path)
    tensors = load_tensors(path)
    if (digest := sha256(path)) != meta["sha256"]:
        raise CheckpointError(
            f"{path}: the file's SHA-256 is {digest[:12]}…, its JSON says {meta['sha256'][:12]}…; "
            "one of the two was changed or cut off: copy both again"
        )
    return tensors, meta


def load_meta(path: Path | str) -> dict[str, Any]:
    """Read the JSON beside a checkpoint, checking its schema.

    Raises:
        CheckpointError: the JSON is missing, damaged, or of an unknown schema.
    """
    beside = Path(path).with_suffix(".json")
    try:
        meta = json.loads(beside.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{beside}: not found; it belongs beside {path}") from None
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, or nested without end
        raise CheckpointError(f"{beside}: not JSON ({error})") from None
    found = meta.get("schema") if isinstance(meta, dict) else None
    if found != SCHEMA:
        raise CheckpointError(f"{beside}: schema {found!r}; this version reads schema {SCHEMA}")
    if not isinstance(meta.get("sha256"), str):
        raise CheckpointError(f"{beside}: names no SHA-256 of {Path(path).name}")
    return meta


def load_tensors(path: Path | str) -> dict[str, Tensor]:
    """Read named tensors from .safetensors, or from a torch file that holds tensors alone.

    Raises:
        CheckpointError: missing, damaged, a pickle with code, no state dict, or NaN or infinite
            values.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint")
    tensors = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    _refuse_non_finite(path, tensors)
    return tensors


def load_torch(path: Path | str) -> Any:
    """Read what ``torch.save`` wrote, as long as it is tensors and plain containers of them.

    Raises:
        CheckpointError: damaged, or a pickle with code, which is not executed.
        OSError: the file cannot be read.
    """
    with Path(path).open("rb"):  # that it can be read is not torch's to say
        pass
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on what is about to be refused
            return torch.load(path, map_location="cpu", weights_only=True)
    # torch raises many kinds (a file cut short is an OSError), and proposes to run the code
    except Exception as error:
        raise CheckpointError(
            f"{path}: refused: it is damaged, or a pickle that could run code"
        ) from error


def save_torch(path: Path | str, value: Any) -> None:
    """Write tensors in plain containers atomically, for :func:`load_torch`.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    data = io.BytesIO()  # torch's own file writer hides that a disk is full
    torch.save(value, data)
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.getbuffer())


def sha256(path: Path | str) -> str:
    """The SHA-256 of a file, as hexadecimal text."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a whole safetensors file ({error})") from None


def _read_torch(path: Path) -> dict[str, Tensor]:
    loaded = load_torch(path)
    state = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else None
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        raise CheckpointError(
            f"{path}: holds no state dict (names with tensors); "
            "write one with torch.save(model.state_dict(), file)"
        )
    return state


def _refuse_non_finite(path: Path, tensors: Mapping[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise CheckpointError(f"{path}: {name} holds NaN or infinite values")
