"""The verdicts in one screen: a table with a row an endpoint, and a forest plot."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from asr_core.errors import InputError
from robust.protocol.declared import Declaration
from robust.protocol.verdicts import Verdict
from robust.report import escape
from robust.report.table import Cell, Table
from robust.stats.answer import Answer
from robust.stats.power import seeds_for

HEAD = (
    "claim", "source", "published", "ours", "smallest visible", "Holm p", "verdict", "command",
)  # fmt: skip
ABOUT = """{title} The endpoints were declared before the runs, by a file with the SHA-256
`{sha}…`: {trained} on {data}, {seeds} training seeds an arm at most; {images} test images.
Intervals are 95 %, paired over training seeds, for these test images. *Smallest visible* is the
effect that four of five such studies see. p values allow for there being {count} endpoints (Holm).
*Equivalent* means that the 90 % interval is inside the margin, *contradicted* that the 95 %
interval excludes the published effect, *not tested* that there are too few seeds, or none. Of the
style networks only claim, contrast and margin are declared: their seeds, pictures and severities
are those of the attack that is given. Whatever is not in this table is exploratory.
"""


def table(verdicts: Sequence[Verdict], command: str) -> Table:
    """A row for each endpoint, with the ``command`` that makes it again."""
    rows: list[tuple[str | Cell, ...]] = []
    for each in verdicts:
        end = each.endpoint
        sign = "" if end.on == "style" else "+"
        published = "" if end.published is None else f"{end.published:{sign}.3g} {end.unit}"
        ours, *numbers = _numbers(each)
        note = each.note or f"{each.seeds} seeds"
        said = f"{ours}; {note}" if ours else note
        command_of = command + (" --style RUN" if end.on == "style" else "")
        answer = Cell(each.answer, "best")
        rows.append(
            (end.claim, end.source, published, said, *numbers, answer, Cell(command_of, "code"))
        )
    return Table(HEAD, rows, words=2)


def short_table(verdicts: Sequence[Verdict]) -> Table:
    """The same for a terminal: endpoints by their names."""
    rows = [(each.endpoint.name, *_numbers(each), each.answer) for each in verdicts]
    return Table(("endpoint", "ours", "visible", "Holm p", "verdict"), rows)


def _numbers(verdict: Verdict) -> tuple[str, str, str]:
    """The estimate, such as "+0.31 [-0.40, 1.02] points"; the smallest visible effect; p."""
    interval, unit = verdict.interval, verdict.endpoint.unit
    if interval is None:
        return "", "", ""
    sign, ends = "" if verdict.endpoint.on == "style" else "+", ""
    if interval.low is not None and interval.high is not None:
        ends = f" [{interval.low:.2f}, {interval.high:.2f}]"
    visible = interval.visible if verdict.seeds > 1 else None
    return (
        f"{interval.mean:{sign}.2f}{ends} {unit}",
        "" if visible is None else f"{visible:.2f} {unit}",
        "" if verdict.answer is Answer.NOT_TESTED else f"{verdict.p:.2g}",
    )


def changes(verdicts: Sequence[Verdict]) -> list[str]:
    """A line on each verdict that is open: what would decide it."""
    lines = []
    for each in verdicts:
        if each.answer not in (Answer.INCONCLUSIVE, Answer.NOT_TESTED):
            continue
        if each.spread is None:
            needs = each.note or "more training seeds"
            lines.append(f"- {each.endpoint.name}: {needs}.")
            continue
        margin = each.endpoint.margin
        try:
            seeds = seeds_for(margin, each.spread, paired=True)
        except InputError as error:
            lines.append(f"- {each.endpoint.name}: {error}.")
            continue
        lines.append(
            f"- {each.endpoint.name}: {seeds} seeds would see an effect of {margin:g} in points, "
            f"by the spread of these {each.seeds}."
        )
    return lines


def page(declaration: Declaration, verdicts: Sequence[Verdict], command: str, plot: str) -> str:
    """Markdown: the table, the plot, and what would change the verdicts."""
    protocol, data = declaration.protocol, declaration.data
    about = ABOUT.format(
        title=protocol.title,
        sha=declaration.sha256[:12],
        trained=f"`{protocol.training_of('plain', 0).config.recipe.backbone}`",
        data=escape.markdown(data.name),
        seeds=declaration.seeds,
        images=f"{data.sizes[2]:,}",
        count=len(verdicts),
    )
    about = "\n".join(textwrap.wrap(about, 100, break_on_hyphens=False)) + "\n"
    parts = [about, table(verdicts, command).markdown(), f"![Intervals and margins]({plot})\n"]
    parts.append(
        "What would change this: other data (`--data cifar100 --data-folder DIR`), a deeper "
        "network (a protocol of your own, `--protocol FILE`), and for what is open:\n"
    )
    return "\n".join([*parts, *changes(verdicts)]).rstrip() + "\n"


def forest(verdicts: Sequence[Verdict]) -> Figure:
    """The 95 % (thin) and 90 % (thick) interval of each endpoint, its margin shaded.

    The margin is around 0, or around the published effect where equality is claimed. Endpoints in
    points and those in % have a panel each.
    """
    units = list(dict.fromkeys(each.endpoint.unit for each in verdicts))
    groups = [[each for each in verdicts if each.endpoint.unit == unit] for unit in units]
    figure = Figure(figsize=(8.5, 1.3 + 0.55 * len(verdicts)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(
        len(groups), 1, squeeze=False, height_ratios=[len(group) + 0.6 for group in groups]
    )
    for axis, group, unit in zip(axes.flat, groups, units, strict=True):
        _panel(axis, group)
        axis.set_xlabel("difference of top-1, points" if unit == "points" else "share, %")
    handles = [handle for axis in axes.flat for handle in axis.get_legend_handles_labels()[0]]
    shade = Patch(color="0.88", label="margin")
    known = {handle.get_label(): handle for handle in [*handles, shade]}
    figure.legend(handles=list(known.values()), loc="outside lower center", ncols=4)
    return figure


def _panel(axis: Axes, group: Sequence[Verdict]) -> None:
    axis.use_sticky_edges = False  # shades end inside the panel
    for place, each in enumerate(group):
        end = each.endpoint
        middle = end.middle
        axis.barh(place, 2 * end.margin, left=middle - end.margin, height=0.8, color="0.88")
        if end.published is not None:
            axis.plot(
                end.published, place, "D", color="#D55E00", markersize=6, fillstyle="none",
                linestyle="none", label="published",
            )  # fmt: skip
        if each.interval is None:
            axis.annotate(
                "not measured", (middle, place), ha="center", va="center", color="0.4",
                bbox={"facecolor": "0.88", "edgecolor": "none", "pad": 1},
            )  # fmt: skip
            continue
        for interval, width in ((each.interval, 1.0), (each.narrow, 3.5)):
            if interval is not None and interval.low is not None and interval.high is not None:
                axis.plot([interval.low, interval.high], [place] * 2, color="k", linewidth=width)
        axis.plot(each.interval.mean, place, "ok", markersize=6, linestyle="none", label="ours")
    axis.axvline(0, color="0.4", linewidth=0.8)
    names = [f"{escape.picture(each.endpoint.name)}\n{each.answer}" for each in group]
    axis.set_yticks(range(len(group)), names, fontsize="small")
    axis.set_ylim(len(group) - 0.4, -0.6)
