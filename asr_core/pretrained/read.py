"""Tensors from published files: archives of packages, pickled arrays, torch's files.

Pickles are read by an unpickler that can reconstruct NumPy arrays and nothing else.
"""

from __future__ import annotations

import pickle
import shutil
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asr_core.errors import CheckpointError
from asr_core.saving.checkpoint import check_tensors, load_tensors

_ARRAYS = {("numpy", "ndarray"), ("numpy", "dtype")} | {
    (module, "_reconstruct")  # before NumPy 2, and since
    for module in ("numpy.core.multiarray", "numpy._core.multiarray")
}
_DEPTH = 16


def take_out(archive: Path, member: str, folder: Path, *, largest: int) -> Path:
    """Copy ``member`` of a .tar.gz, .zip or .whl into ``folder``; nothing else is unpacked.

    Raises:
        CheckpointError: no such archive, damaged, or without that member; or the member has more
            than ``largest`` bytes or is no plain file.
    """
    target = folder / Path(member).name
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as files:
                size = files.getinfo(member).file_size
                _check_size(archive, member, size, largest)
                with files.open(member) as source, target.open("wb") as out:
                    shutil.copyfileobj(source, out)
            return target
        with tarfile.open(archive) as files_in_tar:
            entry = files_in_tar.getmember(member)
            _check_size(archive, member, entry.size, largest)
            content = files_in_tar.extractfile(entry) if entry.isreg() else None
            if content is None:
                raise CheckpointError(f"{archive}: {member} is no plain file")
            with content, target.open("wb") as out:
                shutil.copyfileobj(content, out)
        return target
    except KeyError:
        raise CheckpointError(f"{archive}: has no {member}") from None
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise CheckpointError(f"{archive}: no whole archive ({error})") from None


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Named tensors of a .safetensors, .pth or .ckpt file; ``outer/inner`` in nested dicts.

    Raises:
        CheckpointError: missing, damaged, with anything but tensors or arrays, or as
            :func:`asr_core.saving.checkpoint.check_tensors`.
    """
    if path.suffix != ".ckpt":
        return load_tensors(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    try:
        with path.open("rb") as file:
            tree = _ArrayUnpickler(file).load()
    except OSError:
        raise
    except Exception as error:  # a damaged pickle raises errors of every kind
        raise CheckpointError(f"{path}: refused: {error}") from error
    tensors = {name: _tensor(path, name, leaf) for name, leaf in _leaves(path, tree)}
    check_tensors(path, tensors)
    return tensors


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ARRAYS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not run")
        if name == "_reconstruct":
            return np.empty(0).__reduce__()[0]
        return getattr(np, name)


def _leaves(path: Path, tree: Any, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    if depth > _DEPTH or not isinstance(tree, Mapping):
        raise CheckpointError(f"{path}: {prefix or 'it'} is no dict of arrays")
    for name, value in tree.items():
        full = f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from _leaves(path, value, f"{full}/", depth + 1)
        else:
            yield full, value


def _tensor(path: Path, name: str, leaf: Any) -> Tensor:
    if not isinstance(leaf, np.ndarray) or leaf.dtype != np.float32:
        raise CheckpointError(f"{path}: {name} is no float32 array")
    return torch.from_numpy(leaf)


def _check_size(archive: Path, member: str, size: int, largest: int) -> None:
    if size > largest:
        raise CheckpointError(f"{archive}: {member} has {size} bytes; at most {largest} are taken")
