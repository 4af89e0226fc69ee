"""The page of an attack on style networks, from the files of its folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from robust.report.page.made import made, networks
from robust.report.page.read import read_run
from robust.report.page.style_pictures import compare_of, index_of, strips_of
from robust.report.page.style_plots import CLEAN, colour_of, curves_of, point_of, title_of
from robust.report.page.style_tables import note_of, tables_of
from robust.report.page.values import Answered, Block, Dots, Page, Section
from robust.style.changes import percent
from robust.style.names import OURS, PRIMARY
from robust.style.situations import ATTACKED


def style_page(folder: Path) -> Page:
    """The page of the run in ``folder``, as `robust attack` left it.

    Raises:
        InputError: a file is missing, or a picture has a name that no run gives.
    """
    summary, facts = read_run(folder / "summary.json"), read_run(folder / "run.json")
    return _page(folder, summary, facts)


def _page(folder: Path, summary: dict[str, Any], facts: dict[str, Any]) -> Page:
    index = index_of(folder)
    noises = list(dict.fromkeys(c["noise"] for c in summary["cells"] if c["noise"] != CLEAN))
    sections = []
    if compare := compare_of(folder, summary, index):
        sections.append(Section("compare", "Compare", [compare]))
    sections += [
        Section("curves", "Curves", [c for noise in noises for c in curves_of(summary, noise)]),
        Section("tables", "Tables", list(tables_of(summary))),
        Section("made", "How it was made", [made(_facts(facts), *networks(facts["networks"]))]),
    ]
    style = facts["networks"][0]["style"]
    return Page(
        f"{style}: {', '.join(noises)} noise",
        list(_answers(summary)),
        [*_lead(summary), *strips_of(folder, summary, index)],
        sections,
    )


def _answers(summary: dict[str, Any]) -> Iterator[Answered]:
    for sentence in summary.get("holds", ()):
        yield Answered("Which variant holds?", sentence)
    shares = {
        share["situation"]: share
        for share in summary["shares"]
        if (share["variant"], share["against"], share["metric"]) == (OURS, None, PRIMARY)
    }
    attacked = [share for name, share in shares.items() if name.endswith(ATTACKED)]
    found = attacked or [share for name, share in shares.items() if name == CLEAN]
    for number, sentence in enumerate(summary["headlines"]):
        share = found[number] if number < len(found) else None
        verdict = "" if share is None else str(share["answer"])
        yield Answered(
            summary["question"], sentence, verdict, "" if share is None else note_of(share)
        )


def _lead(summary: dict[str, Any]) -> Iterator[Block]:
    """For each noise the loss of every variant, clean and attacked, and its change."""
    changes = [c for c in summary.get("changes", ()) if c["metric"] == PRIMARY]
    for situation in dict.fromkeys(c["situation"] for c in changes):
        if not situation.endswith(ATTACKED):
            continue
        noise = situation.split(",")[0]
        rows = []
        for change in changes:
            if change["situation"] == situation:
                norm, clean = change["variant"], change["clean"]["mean"]
                points = [point_of(change["clean"], "clean"), point_of(change["attacked"])]
                moved = _relative(change["change"], clean)
                words = (f"{clean:.3f} → {change['attacked']['mean']:.3f}", moved)
                rows.append((title_of(norm), colour_of(norm), points, words))
        seeds, images = len(summary["seeds"]), len(summary["images"])
        yield Dots(
            "Loss, less is better",
            rows,
            ("clean", f"under {noise} noise"),
            f"Means and 95 % intervals over {seeds} training seed{'s' * (seeds != 1)} and {images} "
            f"photograph{'s' * (images != 1)}, over all severities. The change is paired, so it is "
            "known better than the two means.",
        )


def _relative(change: dict[str, Any], clean: float) -> str:
    text = f"{percent(change['mean'], clean):+.1f} %"
    if change["low"] is None:
        return text
    low, high = (percent(change[end], clean) for end in ("low", "high"))
    return f"{text} [{low:+.1f}, {high:+.1f}]"


def _facts(facts: dict[str, Any]) -> dict[str, Any]:
    """Draws belong to the noise; which images there were, the page shows."""
    return {**facts, "seed": f"{facts['seed']} (of the noise)"} if "seed" in facts else facts
