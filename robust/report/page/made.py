"""How a run was made: the last section of every page."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from robust.report.page.values import Facts

_TITLES = {
    "started": "Started",
    "seconds": "Took",
    "interrupted": "Interrupted",
    "seed": "Seed of the noise",
    "draws": "Draws",
    "size": "Size",
    "granularity": "Granularity",
    "statistics": "Statistics of BN",
    "loss_network": "Loss network",
    "loss_precision": "Precision of the loss",
    "lpips": "LPIPS",
}


def made(facts: Mapping[str, Any], *more: tuple[str, str | Sequence[str]]) -> Facts:
    """What a run wrote of itself: command, seed, statistics, versions and hardware.

    Args:
        facts: as in ``run.json``; what is not there is left out.
        more: rows of this kind of run, such as the hashes of its networks.
    """
    rows: list[tuple[str, str | Sequence[str]]] = []
    if command := facts.get("command"):
        rows.append(("Command", shlex.join(map(str, command))))
    for name, title in _TITLES.items():
        if name in facts and facts[name] is not None:
            rows.append((title, _words(name, facts[name])))
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


def _words(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name == "seconds":
        return f"{value} s"
    return f"{value} pixels" if name == "size" else str(value)
