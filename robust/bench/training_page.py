"""docs/BENCHMARKS.md: tables of what was counted and timed, beside the plain network."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence

from robust.bench.step_counts import plane
from robust.bench.training_cost import AGAIN, GATES, INFERENCE, TRAINING, Point
from robust.bench.training_measure import Measurements
from robust.report.table import Table

BOUNDS = {
    (TRAINING, "ASR"): "≤ 1.02",
    (INFERENCE, "ASR, fused"): "1.00 ± 0.01",
    (INFERENCE, "ASR, folded"): "≤ 0.9",
}


def timed_table(what: str, rounds: Sequence[Mapping[str, float]]) -> str:
    """Seconds, with the median of the ratios to plain and the ratio of the minima."""
    body = []
    for name in rounds[0]:
        values = [seconds[name] for seconds in rounds]
        ratios = [seconds[name] / seconds["plain"] for seconds in rounds]
        fastest = min(values) / min(seconds["plain"] for seconds in rounds)
        cells = [f"{statistics.median(values):.3f}", f"{min(values):.3f}"]
        cells += [f"{statistics.median(ratios):.3f}", f"{fastest:.3f}"]
        body.append([name, *cells, BOUNDS.get((what, name), "")])
    head = (what, "median s", "fastest s", "ratio, median", "ratio, fastest", "bound")
    return Table(head, body).markdown()


def by_variant(counts: Mapping[str, int], what: str, at: Point) -> dict[str, int]:
    """The counts of ``what`` at a point, by variant."""
    named = {}
    for key, number in counts.items():
        of, name, *there = key.split(" / ")
        if of == what and there == [str(number) for number in at]:
            named[name] = number
    return named


def counted_table(what: str, measurements: Measurements, at: Point) -> str:
    """Operators, bytes, and their ratios to plain."""
    of, size = (
        by_variant(measurements.counts[name][0], what, at) for name in ("operators", "bytes")
    )
    body = []
    for name in size:
        cells = [f"{of[name]}", f"{of[name] / of['plain']:.3f}"]
        cells += [f"{size[name] / 1e6:.1f}", f"{size[name] / size['plain']:.4f}"]
        body.append([name, *cells])
    return Table((what, "operators", "ratio", "MB", "ratio"), body).markdown()


def fits(
    measurements: Measurements, what: str, points: Sequence[Point]
) -> dict[str, Callable[..., float]]:
    """(blocks in each stage, batch) -> instructions, of each variant."""
    counts = {at: by_variant(measurements.counts["instructions"][0], what, at) for at in points}
    return {
        name: plane({(blocks(depth), size): counts[depth, size][name] for depth, size in points})
        for name in counts[points[0]]
    }


def blocks(depth: int) -> int:
    """Number of blocks in a stage of ResNet(depth)."""
    return (depth - 2) // 9


def instruction_table(
    what: str, measurements: Measurements, points: Sequence[Point], to: Point
) -> str:
    """Millions of instructions at ``points`` (ratio to plain), and the fit's figures for ``to``."""
    n, batch = blocks(to[0]), to[1]
    fitted = fits(measurements, what, points)
    counts = [by_variant(measurements.counts["instructions"][0], what, at) for at in points]
    body = []
    for name, fit in fitted.items():
        cells = [f"{of[name] / 1e6:.1f} ({of[name] / of['plain']:.4f})" for of in counts]
        cells += [f"{fit(n, 0) / 1e6:.0f}", f"{(fit(n, 1) - fit(n, 0)) / 1e6:.1f}"]
        ratio = fit(n, batch) / fitted["plain"](n, batch)
        body.append([name, *cells, f"{ratio:.4f}", BOUNDS.get((what, name), "")])
    head = [f"ResNet{depth}, batch {size}" for depth, size in points]
    model = [f"ResNet{to[0]}: fixed", "per image", f"ratio at batch {batch}"]
    return Table((what, *head, *model, "bound"), body).markdown()


def repeats(measurements: Measurements, name: str) -> float:
    """The largest relative difference between the two counts of a unit's ratio to plain."""
    worst = 0.0
    for key in measurements.counts[name][0]:
        what, _, *at = key.split(" / ")
        plain = " / ".join((what, "plain", *at))
        first, second = (counts[key] / counts[plain] for counts in measurements.counts[name])
        worst = max(worst, abs(second / first - 1))
    return worst


def misfit(measurements: Measurements, what: str, points: Sequence[Point]) -> float:
    """The largest relative distance of a count from the fit."""
    fitted, worst = fits(measurements, what, points), 0.0
    for at in points:
        for name, number in by_variant(measurements.counts["instructions"][0], what, at).items():
            worst = max(worst, abs(fitted[name](blocks(at[0]), at[1]) / number - 1))
    return worst


def counted_page(measurements: Measurements, to: Point, points: Sequence[Point]) -> list[str]:
    """The half of the page on counts."""
    depth, batch = to
    page = [
        "## Counted",
        f"ResNet{depth}, batch {batch}: operators dispatched, and bytes taken from torch's "
        "allocator, freed again or not. Counted twice: the ratios differ by at most "
        f"{repeats(measurements, 'operators'):.3%} and {repeats(measurements, 'bytes'):.3%}.",
        *(counted_table(what, measurements, to) for what in (TRAINING, INFERENCE)),
    ]
    if not measurements.counts["instructions"][0]:
        return [*page, "Instructions were not counted."]
    fitted, n = fits(measurements, TRAINING, points), blocks(depth)
    asr, plain = fitted["ASR"], fitted["plain"]
    # What vectors of twice the width could save at most: half of all that grows with the batch.
    halved = asr(n, batch / 2) / plain(n, batch / 2)
    fixed = 1 + (asr(n, 0) - plain(n, 0)) / plain(n, batch)
    again = repeats(measurements, "instructions")
    off = max(misfit(measurements, what, points) for what in (TRAINING, INFERENCE))
    return [
        *page,
        "Millions of instructions (ratio to plain), counted by callgrind in two processes, the "
        f"second in reverse order; the ratios differ by at most {again:.3%}. On a small batch the "
        "fixed cost of gates weighs more than in "
        "training, so what a step, a block, an image, and a block for each image cost is fitted"
        f" to the {len(points)} counts of a row, none of which is further than {off:.2%} from "
        f"the fit. The columns of ResNet{depth} are extrapolated from that: a model, not a "
        "count. A small error of a count is a large one there: gates do no work for each image "
        f"(a test counts it), and the fixed cost alone makes ASR's ratio {fixed:.4f}. Callgrind "
        "runs code for AVX2; with half the instructions for an image, which wider vectors may "
        f"save, the ratio by the fit would be {halved:.4f}.",
        *(instruction_table(what, measurements, points, to) for what in (TRAINING, INFERENCE)),
    ]


def timed_page(measurements: Measurements, to: Point, rounds: int) -> list[str]:
    """The half on times: :data:`TRAINING` in ``rounds``, the rest in three times as many."""
    alone = statistics.median(seconds[GATES] for seconds in measurements.seconds[GATES])
    plain = statistics.median(seconds["plain"] for seconds in measurements.seconds[TRAINING])
    return [
        "## Timed",
        f"ResNet{to[0]}, batch {to[1]}; CPU seconds of one step, {rounds} "
        f"rounds in turns ({3 * rounds} of inference). A median ratio is over the rounds, "
        f'each against plain in the same round; "{AGAIN}" is the noise of the measurement. The '
        f"load of the machine was {statistics.median(measurements.loads):.1f} in the median round, "
        "of which 1.0 is this measurement.",
        timed_table(TRAINING, measurements.seconds[TRAINING]),
        "The gates alone, with their gradients and update, one pixel at a time: "
        f"{1000 * alone:.1f} ms, {alone / plain:.2%} of the plain step.",
        timed_table(INFERENCE, measurements.seconds[INFERENCE]),
    ]
