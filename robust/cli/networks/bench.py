"""``robust bench``: what attention costs at inference, and that ASR costs nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from asr_core import limits
from robust.cli import names, options
from robust.cli.output import say, say_json
from robust.cli.values import Named, Whole
from robust.report.table import Table

if TYPE_CHECKING:
    from robust.bench.measure import Row

HEAD = ("", "parameters", "paper", "ms", "images/s", "speed", "paper", "lowest", "highest")


@click.command("bench")
@click.option(
    "--model", metavar="MODEL", default="resnet164", show_default=True, help="What to measure."
)
@click.option(
    "--data-shape",
    type=Named("data shape", names.SHAPES),
    help="Classes and image size.  [the first that the model takes]",
)
@options.batch_size(default=16)
@click.option(
    "--rounds",
    type=Whole(1, limits.ROUNDS),
    default=7,
    show_default=True,
    help="Times each is measured.",
)
@options.device()
@options.quiet()
@options.as_json()
def bench_model(
    model: str,
    data_shape: str | None,
    batch_size: int,
    rounds: int,
    device: str,
    quiet: bool,
    as_json: bool,
) -> None:
    """Parameters and inference speed: plain, with live attention, with ASR fused.

    MODEL is a backbone of the paper, a torchvision name, timm:NAME, or package.module:factory.
    The variants take turns; "speed" is the median over the rounds of the images a second relative
    to the plain model's in the same round, beside that of the paper's Table 1, which was measured
    on a GPU. "lowest" and "highest" are that ratio's in single rounds: far apart, other programs
    were in the way. The default takes half a minute on a CPU core that is free,
    `--data-shape stl10` ten times as long.
    """
    from dataclasses import asdict

    from robust.bench.measure import bench, subject, variants
    from robust.device import choose_device
    from robust.environment import environment
    from robust.report.progress import progress_bar

    target = choose_device(device)
    what = subject(model, data_shape)
    with progress_bar(quiet=quiet) as bar:
        task = bar.add_task(what.model, total=None, note="building")
        models, left_out = variants(what)
        bar.update(task, total=len(models) * (rounds + 1), note="")
        rows = bench(
            what,
            models,
            batch_size=batch_size,
            rounds=rounds,
            device=target,
            on_forward=lambda: bar.advance(task),
        )
    side = what.image_size
    if as_json:
        figures = {
            "model": what.model,
            "data": what.data,
            "num_classes": what.num_classes,
            "shape": [batch_size, 3, side, side],
            "rounds": rounds,
            "environment": environment(target),
            "left_out": left_out,
            "rows": [
                {**asdict(row), "paper": row.paper._asdict() if row.paper else None} for row in rows
            ],
        }
        say_json(figures)
        return
    classes = f", {what.num_classes} classes" if what.num_classes else ""
    say(
        f"{what.model}{classes}, batches of {batch_size} × 3 × {side} × {side}, "
        f"{rounds} rounds on {target}"
    )
    # Without the paper's columns where it has no such table.
    head = HEAD if rows[0].paper else [name for name in HEAD if name != "paper"]
    say(*Table(head, (_cells(row, batch_size) for row in rows)).plain())
    for label, reason in left_out.items():
        say(f"{label} left out: {reason}")


def _cells(row: Row, batch_size: int) -> tuple[str, ...]:
    return (
        row.label,
        f"{row.parameters:,}",
        *([f"{row.paper.parameters:.2f} M"] if row.paper else []),
        f"{row.seconds * 1000:.1f}",
        f"{batch_size / row.seconds:.1f}",
        f"{row.ratio:.2f}",
        *([f"{row.paper_ratio:.2f}"] if row.paper_ratio else []),
        f"{row.lowest:.2f}",
        f"{row.highest:.2f}",
    )
