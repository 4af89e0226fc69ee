"""How a run was made: the last section of every page."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from robust.report.page.values import Facts

Row = tuple[str, str | Sequence[str]]
_TITLES = {
    "seed": "Seed",
    "seconds": "Took, seconds",
    "lpips": "LPIPS",
    "statistics": "Statistics of BN",
    "size": "Size, pixels",
}
_ELSEWHERE = (
    "command",
    "environment",
    "skipped",
    "images",
    "networks",
    "norm_modes",
    "loss",
    "noises",
)


def made(facts: Mapping[str, Any], *more: Row) -> Facts:
    """What a run wrote of itself: command, seed, statistics, versions and hardware.

    Args:
        facts: by name, as in ``run.json``; what is None is left out, and nested facts become one
            line.
        more: rows of this kind of run, such as the hashes of its networks.
    """
    rows: list[Row] = []
    if command := facts.get("command"):
        rows.append(("Command", shlex.join(map(str, command))))
    for name, value in facts.items():
        if name not in _ELSEWHERE and value is not None and value != {} and value != []:
            title = _TITLES.get(name, name.replace("_", " ").capitalize())
            rows.append((title, in_words(value)))
    if skipped := facts.get("skipped"):
        rows.append(("Skipped files", [f"{name}: {why}" for name, why in skipped.items()]))
    place = facts.get("environment") or {}
    if versions := place.get("versions"):
        known = [f"{name} {version}" for name, version in versions.items() if version]
        rows.append(("Versions", ", ".join([f"Python {place.get('python')}", *known])))
    if place:
        hardware = [place.get(name) for name in ("device", "processor", "platform")]
        threads = f"threads: {place['threads']}" if "threads" in place else ""
        rows.append(("Hardware", ", ".join(str(each) for each in [*hardware, threads] if each)))
    return Facts([*rows, *(row for row in more if row[1])])


def networks(found: Iterable[Mapping[str, Any]]) -> list[Row]:
    """A row with the file and the hash of each network."""
    lines = [
        "  ".join(
            str(each[name]) if name != "sha256" else f"sha256 {each[name]}"
            for name in ("name", "file", "sha256")
            if each.get(name)
        )
        for each in found
    ]
    return [("Networks", lines)]


def hashed(folder: Path, *names: str) -> list[Row]:
    """A row with the SHA-256 of the files that are in ``folder``."""
    lines = []
    for name in names:
        path = folder / name
        if path.is_file():
            with path.open("rb") as file:
                lines.append(f"{name}  sha256 {hashlib.file_digest(file, 'sha256').hexdigest()}")
    return [("Files", lines)]


def in_words(value: Any) -> str:
    """A fact on one line."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(
            f"{str(name).replace('_', ' ')} "
            + (f"({in_words(each)})" if isinstance(each, Mapping) else in_words(each))
            for name, each in value.items()
        )
    if isinstance(value, list | tuple):
        return ", ".join(map(in_words, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
