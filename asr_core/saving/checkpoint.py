"""Checkpoints: one safetensors file, whose header also describes the tensors.

Reading executes no code. The header has a hash of the tensors, so that damage shows before use.
Older versions wrote the facts to a JSON file beside the tensors, with the hash of the whole file;
these are still read.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from asr_core.errors import CheckpointError
from asr_core.modules.states import require_state
from asr_core.saving.files import atomic_path
from asr_core.saving.text_files import JSON_BYTES, parse_json, read_json

SCHEMA = 1
META = "robust-asr"
"""The key of our facts, as JSON, in the safetensors header's metadata."""
DTYPES = {
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
}
"""The dtypes that a model's state may have."""


def save_checkpoint(
    path: Path | str, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]
) -> None:
    """Write a state dict and JSON-able facts to ``path`` (.safetensors), atomically.

    ``schema`` and ``sha256`` are added to the facts. The JSON file of an older version is removed.

    Raises:
        CheckpointError: ``path`` does not end in .safetensors, or a tensor could not be read
            again (:func:`check_tensors`).
        OSError: the folder cannot be written, or the disk is full.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise CheckpointError(f"{path}: checkpoints end in .safetensors")
    dense = torch.strided
    kept = {n: t.detach().contiguous() if t.layout == dense else t for n, t in tensors.items()}
    check_tensors(path, kept)
    kept = {name: tensor.cpu() for name, tensor in kept.items()}
    header = {"schema": SCHEMA, "sha256": _digest(kept)}
    text = json.dumps({**header, **meta, **header}, allow_nan=False)
    # As bytes: safetensors' writer replaces the file by one that only the owner may read.
    data = save(kept, metadata={META: text})
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
    with contextlib.suppress(CheckpointError, OSError):
        _facts(path, read_json(_beside(path), error=CheckpointError))
        _beside(path).unlink()


def load_checkpoint(path: Path | str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a checkpoint and its facts: ``(tensors, meta)``.

    Raises:
        CheckpointError: the file is missing, damaged, unsafe (a pickle), of an unknown schema or
            another hash, or as :func:`check_tensors`.
    """
    path = Path(path)
    inside = _inside(path)
    meta = load_meta(path)
    tensors = load_tensors(path)
    if (digest := sha256(path) if inside is None else _digest(tensors)) != meta["sha256"]:
        raise CheckpointError(
            f"{path}: its SHA-256 is {digest[:12]}…, but should be {meta['sha256'][:12]}…; it was "
            "changed or damaged, or does not belong to its JSON file: copy it again"
        )
    return tensors, meta


def load_meta(path: Path | str) -> dict[str, Any]:
    """Read the facts of a checkpoint, checking its schema.

    Raises:
        CheckpointError: they are missing, damaged, or of an unknown schema.
    """
    path = Path(path)
    inside = _inside(path)
    if inside is not None:
        return _facts(path, inside)
    beside = _beside(path)
    if not beside.exists():
        raise CheckpointError(
            f"{path}: its header has no facts of ours, and there is no {beside.name} beside it"
        )
    return _facts(beside, read_json(beside, error=CheckpointError))


def load_tensors(path: Path | str) -> dict[str, Tensor]:
    """Read named tensors from .safetensors, or from a torch file with nothing but tensors.

    Raises:
        CheckpointError: missing, damaged, a pickle with code, no state dict, or as
            :func:`check_tensors`.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint")
    tensors = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    check_tensors(path, tensors)
    return tensors


def check_tensors(path: Path | str, tensors: Mapping[str, Tensor]) -> None:
    """Refuse tensors that no model of ours can have.

    Raises:
        CheckpointError: naming the first one that is sparse, nested, quantised, without data, of a
            dtype not in ``DTYPES``, larger than its storage, or with NaN or infinite values.
    """
    for name, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.is_nested or tensor.is_meta:
            raise CheckpointError(f"{path}: {name} is no dense tensor ({tensor.layout})")
        if tensor.dtype not in DTYPES:
            raise CheckpointError(f"{path}: {name} is of type {tensor.dtype}, which no layer takes")
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            shape = tuple(tensor.shape)
            raise CheckpointError(f"{path}: {name} is {shape}, of fewer numbers repeated")
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise CheckpointError(f"{path}: {name} holds NaN or infinite values")


def load_strictly(module: nn.Module, tensors: Mapping[str, Tensor], message: str) -> None:
    """Load ``tensors`` into a module whose state dict has the same names, shapes and types.

    Raises:
        CheckpointError: ``message``, and the first names that differ.
    """
    require_state(module.state_dict(), tensors, message)
    module.load_state_dict(dict(tensors))


def load_torch(path: Path | str) -> Any:
    """Read tensors in plain containers that ``torch.save`` wrote.

    Raises:
        CheckpointError: no regular file, damaged, compressed (a few bytes could fill the memory),
            or a pickle with code, which is not executed.
        OSError: the file cannot be read.
    """
    path = Path(path)
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise CheckpointError(f"{path}: no regular file")
    with path.open("rb") as file:  # raises OSError, unlike torch, if it cannot be read
        if zipfile.is_zipfile(file) and _is_compressed(file):
            raise CheckpointError(f"{path}: refused: it is compressed, which torch.save never does")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds, and proposes to run the code
        raise CheckpointError(
            f"{path}: refused: it is damaged, or a pickle that could run code"
        ) from error


def save_torch(path: Path | str, value: Any) -> None:
    """Write tensors in plain containers atomically, for :func:`load_torch`.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    data = io.BytesIO()  # torch's file writer hides that a disk is full
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


def _is_compressed(file: BinaryIO) -> bool:
    try:
        with zipfile.ZipFile(file) as archive:
            return any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist())
    except Exception:  # damaged, so torch will refuse it
        return False


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """The SHA-256 of names, types, shapes and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _beside(path: Path) -> Path:
    return path.with_suffix(".json")


def _facts(file: Path, meta: Any) -> dict[str, Any]:
    schema = meta.get("schema") if isinstance(meta, dict) else None
    if type(schema) is not int or schema != SCHEMA:
        raise CheckpointError(f"{file}: schema {schema!r}; this version reads schema {SCHEMA}")
    if not isinstance(meta.get("sha256"), str):
        raise CheckpointError(f"{file}: has no SHA-256 of the tensors")
    return dict(meta)


def _inside(path: Path) -> Any:
    """Our facts in the header of a safetensors file, or None."""
    said = _header(path).get("__metadata__")
    facts = said.get(META) if isinstance(said, dict) else None
    return parse_json(facts, str(path), error=CheckpointError) if isinstance(facts, str) else None


def _header(path: Path) -> dict[str, Any]:
    """The header of a safetensors file, after a check of the file's size.

    Raises:
        CheckpointError: no such file, no header, or a file of another size.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint")
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        text = file.read(min(length, JSON_BYTES)).decode("utf-8", "replace")
    try:
        header = json.loads(text)  # not by parse_json: a tensor may be called anything
        tensors = [header[name] for name in header if name != "__metadata__"]
        size = 8 + length + max((tensor["data_offsets"][1] for tensor in tensors), default=0)
    except (ValueError, RecursionError, LookupError, TypeError) as error:
        raise CheckpointError(f"{path}: not a whole safetensors file ({error})") from None
    if (actual := path.stat().st_size) != size:
        raise CheckpointError(
            f"{path}: not a whole safetensors file: it has {actual} bytes of {size}; copy it again"
        )
    return dict(header)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    _header(path)
    try:
        return load(path.read_bytes())  # as bytes: paths must be UTF-8
    except OSError:
        raise
    except Exception as error:  # safetensors' kind, and Python's for unknown types
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
