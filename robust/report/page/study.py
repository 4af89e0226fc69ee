"""The page of a study with declared endpoints: the verdicts, and the forest plot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from robust.report.page.made import made
from robust.report.page.read import read_run
from robust.report.page.suite import ends
from robust.report.page.values import Answered, Dots, Page, Point, Section, Shown
from robust.report.table import Cell, Table
from robust.stats.answer import Answer

_TERMS = [
    (
        "verdict",
        "equivalent: the 90 % interval is inside the margin; contradicted: the 95 % interval "
        "excludes the published effect; inconclusive: neither; not tested: too few seeds",
        "Schuirmann 1987; robust: robust.stats.answer.",
    ),
    ("p", "allows for the number of endpoints", "Holm 1979."),
    (
        "smallest visible effect",
        "what four of five such studies see",
        "robust: robust.stats.power.",
    ),
]


def study_page(folder: Path) -> Page:
    """The page of the study whose ``verdicts.json`` is in ``folder``."""
    whole = read_run(folder / "verdicts.json")
    declared = whole["declaration"]
    protocol, data = declared["protocol"], declared["data"]
    said = {each["name"]: each for each in protocol["endpoints"]}
    found = [(said[each["endpoint"]], each) for each in whole["endpoints"]]
    words: dict[str, list[str]] = {}
    for end, each in found:
        words.setdefault(str(each["answer"]), []).append(str(end["name"]))
    counts = "; ".join(f"{answer}: {', '.join(names)}" for answer, names in words.items())
    units = dict.fromkeys(each["unit"] for _, each in found)
    rows = []
    for end, each in found:
        interval = each["interval"]
        visible = each["smallest_visible"]
        rows.append(
            (
                end["claim"], end["source"], Cell(str(each["answer"]), "best"),
                _number(each["published"], each["unit"]),
                "" if interval is None else f"{_shown(interval)} {each['unit']}",
                f"± {each['margin']:g}", _number(visible, each["unit"]),
                "" if interval is None or each["p"] is None else f"{each['p']:.2g}",
                str(each["seeds"]), each["note"],
            )
        )  # fmt: skip
    head = (
        "claim", "source", "verdict", "published", "ours", "margin", "smallest visible", "Holm p",
        "seeds", "note",
    )  # fmt: skip
    facts = {
        "declaration": f"sha256 {declared['sha256']}",
        "training": protocol["training"],
        "arms": protocol["arms"],
        "noise": protocol.get("noise"),
        "seeds_an_arm": declared["seeds"],
        "data": {name: data[name] for name in ("name", "image_size", "sizes", "labels")},
    }
    return Page(
        f"study on {data['name']}",
        [Answered(str(protocol["title"]), f"{counts[0].upper()}{counts[1:]}.")],
        [_forest([(e, v) for e, v in found if v["unit"] == unit], unit) for unit in units],
        [
            Section("tables", "Tables", [Shown(Table(head, rows, words=3), "Endpoints", _TERMS)]),
            Section("made", "How it was made", [made(facts)]),
        ],
    )


def _forest(found: list[tuple[dict[str, Any], dict[str, Any]]], unit: str) -> Dots:
    rows = []
    for end, each in found:
        points = []
        if each["published"] is not None:
            points.append(Point(each["published"], style="clean"))
        if (interval := each["interval"]) is not None:
            points.append(Point(interval["mean"], interval["low"], interval["high"]))
        shown = "not measured" if interval is None else _shown(interval)
        said = str(each["answer"])
        if said == Answer.INCONCLUSIVE and each["smallest_visible"] is not None:
            said += f", sees {_number(each['smallest_visible'], unit)}"
        rows.append((end["name"], 0, points, (shown, said)))
    title = "Difference of top-1, points" if unit == "points" else f"Share, {unit}"
    caption = "95 % intervals; the claims stand in the table."
    return Dots(title, rows, ("published", "ours"), caption, zero=True)


def _shown(interval: dict[str, Any]) -> str:
    return f"{interval['mean']:+.2f} {ends(interval, 2)}".rstrip()


def _number(value: float | None, unit: str) -> str:
    return "" if value is None else f"{value:.3g} {unit}"
