"""Short names for files, unique among themselves, fit to name output files."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

_MOST_BYTES = 245
"""Of a name: with a suffix and a number behind it, it stays within the 255 of a file system."""


def unique_names(paths: Sequence[Path]) -> list[str]:
    """A name for each of ``paths``: its stem, with more of its folders in front until it is unique.

    Two files that differ in the suffix only have it in their names: ``a.png`` and ``a.jpg`` become
    ``a-png`` and ``a-jpg``. Names that differ in case only count as equal, as on some disks.
    """
    parts = [_parts(path) for path in paths]
    same = Counter(tuple(map(_key, each)) for each in parts)
    for each, path in zip(parts, paths, strict=True):
        if same[tuple(map(_key, each))] > 1:
            each[-1] += "-" + path.suffix.lstrip(".")
    depths = [1] * len(parts)
    while True:
        names = ["-".join(each[-depth:]) for each, depth in zip(parts, depths, strict=True)]
        counts = Counter(map(_key, names))
        deeper = [
            i
            for i, name in enumerate(names)
            if counts[_key(name)] > 1 and depths[i] < len(parts[i])
        ]
        if not deeper:
            return _numbered(names)
        for i in deeper:
            depths[i] += 1


def _parts(path: Path) -> list[str]:
    """The folders from the root on, then the stem."""
    whole = Path(os.path.abspath(path))
    return [*whole.parts[1:-1], whole.stem]


def _key(name: str) -> str:
    return name.casefold()


def _numbered(names: list[str]) -> list[str]:
    """Short enough for a file; what is equal (``b/a``, and ``b-a`` in the root) gets numbers."""
    taken: set[str] = set()
    result = []
    for name in map(_short, names):
        free, number = name, 2
        while _key(free) in taken:
            free, number = f"{name}-{number}", number + 1
        taken.add(_key(free))
        result.append(free)
    return result


def _short(name: str) -> str:
    """``name``, its middle left out where a file system would not take it with a suffix."""
    while len(os.fsencode(name)) > _MOST_BYTES:
        middle = len(name) // 2
        name = name[: middle - 1] + "…" + name[middle + 2 :]
    return name
