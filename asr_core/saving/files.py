"""Atomic writes: a file is either the old one or the whole new one."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

_DRAFT, _DRAFT_FOLDER = ".draft-", ".parts"
_MOST_LETTERS = 24
"""Most letters, of up to four bytes, of a stem or a suffix in a temporary name."""


@contextlib.contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; renamed onto it on success, removed on any failure.

    The temporary name keeps the suffix, by which writers may choose a format, and as much of the
    stem as fits into the 255 bytes of a file system.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    suffix = path.suffix if len(path.suffix) <= _MOST_LETTERS else ""
    prefix = f".{path.stem[:_MOST_LETTERS]}{_DRAFT}"
    handle, name = tempfile.mkstemp(prefix=prefix, suffix=suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    umask = os.umask(0)
    os.umask(umask)
    temporary.chmod(0o666 & ~umask)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # which Python leaves out if the disk is full
        raise


@contextlib.contextmanager
def atomic_folder(path: Path | str) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``; its files move into ``path`` on success.

    They move in the order of their names, over files of equal names; other files stay. On any
    failure before that ``path`` is as it was.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{path.name[:_MOST_LETTERS]}{_DRAFT}"
    temporary = Path(tempfile.mkdtemp(_DRAFT_FOLDER, prefix, path.parent))
    try:
        yield temporary
        path.mkdir(exist_ok=True)
        for file in sorted(temporary.iterdir()):
            os.replace(file, path / file.name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def drafts(folder: Path | str) -> list[Path]:
    """What :func:`atomic_path` and :func:`atomic_folder` write now, or left behind by a kill."""
    found = Path(folder).glob(f".*{_DRAFT}*")
    return [path for path in found if not path.is_dir() or path.suffix == _DRAFT_FOLDER]


def remove_draft(draft: Path) -> None:
    """Remove one of :func:`drafts`, if it is still there."""
    if draft.is_dir() and not draft.is_symlink():
        shutil.rmtree(draft, ignore_errors=True)
    else:
        draft.unlink(missing_ok=True)


def in_utf8(name: Path | str) -> str:
    """A file's name as text for JSON, in which bytes that are not UTF-8 become ``\\xff``."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def write_text(path: Path | str, text: str) -> None:
    """Write ``text`` (UTF-8) atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path | str, value: Any) -> None:
    """Write ``value`` as indented JSON atomically; NaN and infinity raise ValueError."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_csv(path: Path | str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table as CSV atomically."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_text(path, text.getvalue())
