"""How near are style networks to optimising each picture by itself? The section "gatys"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from statistics import fmean
from typing import Any

from asr_core.saving.files import write_csv
from asr_core.saving.schema import parse
from robust.report.table import Table
from robust.studies.gatys.measure import WEIGHTS, Bench, Kept, Measured, Setting
from robust.studies.sections import put_section
from robust.style.names import NORM_TITLES
from styletransfer.zoo import describe, shipped

ANCHOR = 100
"""Iterations that a network is held to: Johnson et al. 2016 found theirs as good as 50 to 100."""

ABOUT = """## Style networks beside Gatys' optimisation

Made by `python scripts/studies/gatys.py --photographs {photographs} --iterations {iterations}`.

A network stylises a photograph in one pass; Gatys et al. 2016 optimise each picture by itself. Here
that is L-BFGS from the photograph on, by the very loss that the networks of each style were trained
by ({network}, {size} px). "As good as" is the first iteration with a loss not above the network's:
of the mean over {photographs} test photographs and for single photographs and training seeds; 0 is
a network that does not come below the loss of the photograph itself. Losses are relative (0 is
perfect), LPIPS is to the photograph, seconds are of one core.

The iterations ran in {precision}; all numbers of the table are measured in float32, and no total
differs from the one that the iterations saw by more than {error:.2g} %.
"""
HEAD = (
    "", "content", "style", "total", "LPIPS", "seconds", "as good as", "single photographs",
    "total / that of {anchor}",
)  # fmt: skip


def as_good_as(total: float, totals: Sequence[float]) -> int | None:
    """The first iteration whose loss is not above ``total``; None where there is none."""
    return next((index for index, each in enumerate(totals) if each <= total), None)


def table(curves: Mapping[str, Kept], networks: Iterable[tuple[str, Measured]]) -> Table:
    """Networks by norm variant, then the optimisation: means over photographs and seeds.

    Args:
        curves: the optimisation, by photograph.
        networks: photograph and measurement of each.
    """
    networks = list(networks)
    mean_curve = [fmean(at) for at in zip(*(c.totals for c in curves.values()), strict=True)]
    last = len(mean_curve) - 1
    marks = [row.iterations for row in next(iter(curves.values())).pictures]
    optimised = {
        mark: [row for kept in curves.values() for row in kept.pictures if row.iterations == mark]
        for mark in marks
    }
    anchor = ANCHOR if ANCHOR in marks else last
    reference = fmean(row.total for row in optimised[anchor])
    rows = []
    for norm in dict.fromkeys(row.norm for _, row in networks):
        own = [(name, row) for name, row in networks if row.norm == norm]
        single = [as_good_as(row.judged, curves[name].totals) for name, row in own]
        together = as_good_as(fmean(row.judged for _, row in own), mean_curve)
        seeds = len({row.seed for _, row in own})
        title = f"{NORM_TITLES.get(norm, norm)} ({seeds} seed{'s' * (seeds > 1)})"
        said = (_iterations([together], last), _iterations(single, last))
        rows.append((title, *_means([row for _, row in own], reference, said)))
    rows += [
        (f"{mark} iterations" if mark else "the photograph", *_means(found, reference, ("", "")))
        for mark, found in optimised.items()
    ]
    head = tuple(title.format(anchor=anchor) for title in HEAD)
    return Table(head, rows, rules=[len(rows) - len(marks)])


def _means(rows: Sequence[Measured], reference: float, said: tuple[str, str]) -> tuple[str, ...]:
    lpips = [row.lpips for row in rows if row.lpips is not None]
    total = fmean(row.total for row in rows)
    return (
        f"{fmean(row.content for row in rows):.3f}",
        f"{fmean(row.style for row in rows):.3f}",
        f"{total:.3f}",
        f"{fmean(lpips):.3f}" if len(lpips) == len(rows) else "",
        f"{fmean(row.seconds for row in rows):.3g}",
        *said,
        f"{total / reference:.2f}",
    )


def _iterations(found: Sequence[int | None], last: int) -> str:
    """One number, or the range; more than there were is "over LAST"."""
    ordered = sorted(last + 1 if each is None else each for each in found)
    texts = [f"over {last}" if each > last else str(each) for each in ordered]
    return texts[0] if texts[0] == texts[-1] else f"{texts[0]} to {texts[-1]}"


def study(
    docs: Path,
    *,
    runs: Path,
    networks: Sequence[Path] = (),
    style: str | None = None,
    **setting: Any,
) -> None:
    """Measure what is missing of each style and photograph, and write the section.

    Args:
        docs: folder of the pages.
        runs: folder of the measurements: a JSON file a photograph, and gatys.csv.
        networks: files of style networks; none for those that ship.
        style: style image of networks that have none beside them.
        setting: fields of :class:`Setting`.
    """
    chosen = parse(Setting, setting)
    found = [describe(path) for path in networks] or shipped()
    parts, cells, errors = [], [], [0.0]
    for name in dict.fromkeys(each.style for each in found):
        bench = Bench(chosen, [each for each in found if each.style == name], style, runs)
        curves = {photograph: bench.optimised(photograph) for photograph in chosen.names}
        measured = [
            (photograph, row)
            for network in bench.networks
            for photograph in chosen.names
            for row in bench.stylised(photograph, network).pictures
        ]
        formula = " + ".join(
            f"{getattr(bench.recipe, weight):g} · {term}" for weight, term in WEIGHTS.items()
        )
        parts.append(f"### {name}\n\nTotal = {formula}.\n\n{table(curves, measured).markdown()}")
        every = [*measured, *((p, row) for p, kept in curves.items() for row in kept.pictures)]
        errors += [abs(row.judged / row.total - 1) for _, row in every]
        cells += [(name, photograph, *asdict(row).values()) for photograph, row in every]
    columns = ("style_name", "photograph", *(each.name for each in fields(Measured)))
    write_csv(runs / "gatys.csv", columns, cells)
    about = ABOUT.format(
        network=bench.loss.network.name,
        size=chosen.size,
        precision=chosen.precision,
        photographs=len(chosen.names),
        iterations=chosen.iterations,
        error=100 * max(errors),
    )
    put_section(docs, "gatys", "\n".join([about, *parts]))
