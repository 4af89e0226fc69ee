"""The page of suites on classifiers, from the summaries in their folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from robust.report.page.made import made, networks
from robust.report.page.read import read_run
from robust.report.page.values import (
    Answered,
    Block,
    Curves,
    Dots,
    Page,
    Panel,
    Point,
    Section,
    Series,
    Shown,
    Text,
)
from robust.report.table import Table
from robust.stats.answer import Answer

PATTERN = "*.summary.json"
_ACCURACY = (
    "top-1",
    "share of test images whose greatest logit is their class; mean over training seeds and draws",
    "robust: robust.suites.",
)
_COMPARISON = (
    "difference",
    "paired over training seeds and test images: seeds by t, images by bootstrap",
    "robust: robust.stats.compare.",
)
_VISIBLE = (
    "smallest visible effect",
    "what such a 95 % interval tells from nothing with 80 % power",
    "robust: robust.stats.power.",
)


def suite_page(folder: Path) -> Page:
    """The page of the suites whose summaries are in ``folder``."""
    suites = [read_run(path) for path in sorted(folder.glob(PATTERN))]
    sections: list[Section] = []
    answers: list[Answered] = []
    lead: list[Block] = []
    for suite in suites:
        name = str(suite["suite"])
        title = f": {name}" if len(suites) > 1 else ""
        attacked = [a for a in suite["answers"] if not a["situation"].startswith("clean")]
        shown = attacked or suite["answers"]
        answers.append(_answer(name, shown, suite))
        if shown:
            lead.append(_differences(shown))
        curves: list[Block] = [_curves(suite)]
        sections.append(Section(f"curves-{name}", f"Curves{title}", curves))
        sections.append(Section(f"tables-{name}", f"Tables{title}", list(_tables(suite))))
    facts = [
        block for suite in suites for block in (made(_facts(suite), *networks(suite["models"])),)
    ]
    names = ", ".join(str(suite["suite"]) for suite in suites)
    return Page(
        f"classifiers: {names}",
        answers,
        lead,
        [*sections, Section("made", "How it was made", facts)],
    )


def _answer(name: str, found: list[dict[str, Any]], suite: dict[str, Any]) -> Answered:
    """All verdicts in a sentence: which variants hold better, and how many are open."""
    question = f"Which network holds under {name}?"
    if not found:
        rows = suite["table"]["rows"]
        return Answered(question, f"One network alone: {len(rows)} conditions, nothing to compare.")
    sure = [a for a in found if a["answer"] in (Answer.SUPPORTED, Answer.CONTRADICTED)]
    if not sure:
        visible = max((a["visible"] for a in found if a["visible"] is not None), default=None)
        note = "" if visible is None else f"smallest visible effect: {visible:.1f} points at most"
        count = len(found)
        return Answered(
            question,
            f"None is seen to hold better than another: {count} comparison{'s' * (count != 1)}.",
            found[0]["answer"] if len({a["answer"] for a in found}) == 1 else Answer.INCONCLUSIVE,
            note,
        )
    strongest = max(sure, key=lambda a: abs(a["mean"]))
    rest = len(found) - 1
    more = f" (the largest of {rest + 1} comparisons)" if rest else ""
    low, high = strongest["low"], strongest["high"]
    better, worse = strongest["a"], strongest["b"]
    if strongest["mean"] < 0:
        low, high, better, worse = -high, -low, worse, better
    ends = f"{abs(strongest['mean']):.1f} points [{low:.1f}, {high:.1f}]"
    where = strongest["situation"].replace(", attacked", "")
    return Answered(
        question,
        f"Under {where}, {better} holds better than {worse}: by {ends}{more}.",
        "",
        f"{len(sure)} of {len(found)} comparisons are told apart",
    )


def _differences(found: list[dict[str, Any]]) -> Dots:
    """Each comparison as a point and an interval around 0."""
    labels = list(dict.fromkeys(a["a"] for a in found))
    rows = [
        (
            f"{a['a']} − {a['b']}, {a['situation'].replace(', attacked', '')}"
            + (f", trained under {a['trained_under']}" if a["trained_under"] else ""),
            labels.index(a["a"]) % 6,
            [Point(a["mean"], a["low"], a["high"])],
            (f"{a['mean']:+.1f} {ends(a)}", str(a["answer"])),
        )
        for a in found
    ]
    return Dots(
        "Difference of top-1 accuracy, points; above 0 the first holds better",
        rows,
        caption="95 % intervals, paired over training seeds and test images; the word at the end "
        "answers the claim that the first is more accurate.",
        zero=True,
    )


def ends(interval: dict[str, Any], decimals: int = 1) -> str:
    """Such as "[-0.2, 1.3]"; empty where there is no interval."""
    low, high = interval["low"], interval["high"]
    return "" if low is None or high is None else f"[{low:+.{decimals}f}, {high:+.{decimals}f}]"


def _curves(suite: dict[str, Any]) -> Curves:
    panels = []
    for panel in suite["panels"]:
        series = [
            Series(
                each["label"],
                each["colour"] % 6,
                {
                    place: Point(**point, style="noise" if place else "clean")
                    for place, point in enumerate(each["points"])
                },
                each["joined"],
            )
            for each in panel["series"]
        ]
        panels.append(Panel(f"{panel['title']}, top-1 in %", panel["places"], series))
    return Curves(
        panels,
        "Clean at the left; bands and bars are 95 % intervals over training seeds and test images. "
        "Severities without an order are not joined by lines.",
    )


def _tables(suite: dict[str, Any]) -> Iterator[Block]:
    if found := suite["answers"]:
        rows = [
            (
                a["a"], a["b"], a["situation"], a["trained_under"] or "no noise", str(a["answer"]),
                f"{a['mean']:+.2f}", ends(a, 2),
                f"{a['visible']:.2f}"
                if a["answer"] == Answer.INCONCLUSIVE and a["visible"] is not None
                else "",
            )
            for a in found
        ]  # fmt: skip
        head = (
            "variant", "against", "situation", "trained under", "more accurate", "points",
            "95 % interval", "smallest visible",
        )  # fmt: skip
        table = Table(head, rows, words=4, caption="difference of top-1 accuracy, in points")
        yield Shown(table, "Comparisons", [_ACCURACY, _COMPARISON, _VISIBLE])
    yield Shown(Table(**suite["table"]), "Accuracy under each condition", [_ACCURACY])
    if suite["notes"]:
        yield Text(suite["notes"])


def _facts(suite: dict[str, Any]) -> dict[str, Any]:
    first = suite["models"][0]
    return {
        "command": first.get("command"),
        "suite": suite["suite"],
        **{name: value for name, value in suite["settings"].items() if value not in (None, "", [])},
        "data": first.get("data"),
        "precision": first.get("precision"),
    }
