"""How a variant's measurements change from clean to attacked, and which variants hold."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from robust.stats.intervals import mean_interval
from robust.style.names import NORM_TITLES, OURS, PRIMARY, SHARED
from robust.style.results import CLEAN, Results
from robust.style.situations import ATTACKED, mean_of, paired, situations, tables_of


def changes_of(results: Results) -> Iterator[dict[str, Any]]:
    """From clean to each attack, and to all attacks of a noise together, metric by metric."""
    norms = dict.fromkeys(cell.norm for cell in results.cells())
    for situation, keys in situations(results.cells()).items():
        for metric in SHARED if keys != [(CLEAN, "")] else ():
            for norm in norms:
                tables = {
                    "clean": tables_of(results, norm, metric, [(CLEAN, "")]),
                    "attacked": tables_of(results, norm, metric, keys),
                }
                if (found := paired(tables, tables)) is not None:
                    clean, attacked = found
                    change = mean_interval(attacked - clean)
                    yield {
                        "situation": situation,
                        "metric": metric,
                        "variant": norm,
                        "clean": mean_of(clean),
                        "attacked": mean_of(attacked),
                        "change": asdict(change),
                        "visible": change.visible,
                    }


def holds(changes: list[dict[str, Any]]) -> Iterator[str]:
    """For each noise, a sentence that says which variants hold, and by how much, in the loss.

    A variant holds if its loss is not seen to rise. Beside those that hold stands the smallest rise
    that would be seen in any of them.
    """
    attacked = [c for c in changes if c["metric"] == PRIMARY and c["situation"].endswith(ATTACKED)]
    for situation in dict.fromkeys(change["situation"] for change in attacked):
        found = [change for change in attacked if change["situation"] == situation]
        found.sort(key=lambda change: change["change"]["mean"])
        where = f"Under {situation.split(',')[0]} noise"
        lost = [change for change in found if (change["change"]["low"] or 0) > 0]
        held = [change for change in found if change not in lost]
        best, worst = found[0], found[-1]
        if any(change["change"]["low"] is None for change in found):
            yield (
                f"{where} the loss of {_title(best)} changes by {_rise(best)}, that of "
                f"{_title(worst)} by {_rise(worst)}; one seed and one picture give no interval."
            )
        elif not lost:
            yield f"{where} every variant holds: no loss is seen to rise. {_seen(held)}"
        else:
            first = " and ".join(map(_title, held)) + f" hold{'s' * (len(held) == 1)}"
            if not held:
                first = f"{_title(best)} holds best: its loss rises by {_rise(best)}"
            rest = [c for c in lost if c is worst or (c["variant"] == OURS and c is not best)]
            said = [f"{_title(change)}'s by {_rise(change)}" for change in rest]
            said[0] = said[0].replace(" by ", " loss rises by ", 1) if held else said[0]
            yield f"{where} {first}; {', '.join(said)}." + (f" {_seen(held)}" if held else "")


def _seen(held: list[dict[str, Any]]) -> str:
    """What would have been seen; empty where nothing is uncertain, as under no change at all."""
    risen = [percent(c["visible"], c["clean"]["mean"]) for c in held if c["visible"]]
    return f"A rise by {max(risen):.0f} % would have been seen (80 % power)." if risen else ""


def percent(part: float, clean: float) -> float:
    """``part`` in percent of the clean value; NaN where that is 0."""
    return 100 * part / clean if clean else math.nan


def _title(change: dict[str, Any]) -> str:
    return NORM_TITLES.get(change["variant"], change["variant"])


def _rise(change: dict[str, Any]) -> str:
    """Such as "22 % [18, 25]", of the clean loss."""
    clean, found = change["clean"]["mean"], change["change"]
    ends = [found[name] for name in ("low", "high") if found[name] is not None]
    inside = ", ".join(f"{percent(end, clean):.0f}" for end in ends)
    return f"{percent(found['mean'], clean):.0f} %" + (f" [{inside}]" if ends else "")
