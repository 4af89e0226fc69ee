"""The curves of an attack, and how its variants are named and coloured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from robust.norm_noise.severity import BatchNoise, parse_severity
from robust.report.page.values import Curves, Panel, Point, Series
from robust.style.names import COLOURED, NORM_TITLES, OTHER_SEED, SHARED, TITLES

CLEAN = "clean"


def title_of(norm: str) -> str:
    """A norm variant as tables name it."""
    return "IN, other seed" if norm == OTHER_SEED else NORM_TITLES.get(norm, norm)


def colour_of(norm: str) -> int:
    """The number of a variant's colour."""
    return COLOURED.index(norm) if norm in COLOURED else len(COLOURED)


def point_of(interval: dict[str, Any], style: str = "noise") -> Point:
    """An interval of a summary; ``style`` is "clean" or "noise"."""
    return Point(interval["mean"], interval["low"], interval["high"], style)


def curves_of(summary: dict[str, Any], noise: str) -> Iterator[Curves]:
    """The change from clean, and the level, of each metric: clean, then the severities.

    Severities with an order are joined, from clean on.
    """
    cells = summary["cells"]
    texts = dict.fromkeys(c["severity"] for c in cells if c["noise"] == noise)
    severities = [parse_severity(noise, text) for text in texts]
    ordered = [s for s in severities if s.is_ordered]
    ordered.sort(key=lambda s: s.size if isinstance(s, BatchNoise) else s.strength)  # type: ignore[attr-defined]
    if noise == BatchNoise.noise:
        ordered.reverse()  # a smaller batch is further from clean
    shown = ordered + [s for s in severities if not s.is_ordered]
    # "own" is a word that fits under a narrow plot
    places = [CLEAN, *(s.label.replace(" (control)", ", own") for s in shown)]
    joined = range(1 + len(ordered)) if ordered else range(0)
    norms = list(dict.fromkeys(c["norm"] for c in cells if c["norm"] != OTHER_SEED))
    place_of = {"": 0, **{s.text: place for place, s in enumerate(shown, 1)}}
    levels = {
        (c["norm"], metric, place_of[c["severity"]]): mean
        for c in cells
        if c["noise"] in (CLEAN, noise)
        for metric, mean in c["metrics"].items()
        if mean["mean"] is not None
    }
    situations = {f"{noise}, {s.label}": place for place, s in enumerate(shown, 1)}
    changes = {
        (c["variant"], c["metric"], situations[c["situation"]]): c["change"]
        for c in summary.get("changes", ())
        if c["situation"] in situations
    }

    def panels(found: Mapping[tuple[str, str, int], dict[str, Any]], title: str) -> list[Panel]:
        made = []
        used = [place for place in range(len(places)) if any(key[2] == place for key in found)]
        for metric in SHARED:
            series = [
                Series(
                    title_of(norm),
                    colour_of(norm),
                    points := {
                        at: point_of(found[norm, metric, place], "noise" if place else "clean")
                        for at, place in enumerate(used)
                        if (norm, metric, place) in found
                    },
                    [at for at in points if used[at] in joined],
                )
                for norm in norms
            ]
            if any(each.points for each in series):
                names = [places[place] for place in used]
                made.append(Panel(title.format(TITLES[metric]), names, series))
        return made

    order = ""
    if len(shown) > len(ordered):
        order = " Severities without an order are not joined by lines."
    if changes:
        nothing = {"mean": 0.0, "low": 0.0, "high": 0.0}
        clean = {(norm, metric, 0): nothing for norm, metric, _ in changes}
        yield Curves(
            panels({**clean, **changes}, "change of {}"),
            f"Change from clean under {noise} noise, above 0 is worse; bands and bars are "
            f"95 % intervals, paired over training seeds and photographs.{order}",
        )
    yield Curves(
        panels(levels, "{}"),
        f"Means under {noise} noise, less is better; bands and bars are 95 % intervals "
        f"for other training seeds and other photographs.{order}",
    )
