"""Tables 5 and 6 of the paper's supplementary: what is trained, and the section "sweeps"."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from asr_core.errors import InputError
from robust.studies.paper import Line, put_lines
from robust.studies.sections import put_section
from robust.sweep import SweepOutcome, load_sweep, run_sweep

SWEEPS = {
    "init": "Table 5: what ψ starts from (appendix C)",
    "delta": "Table 6: gates a position (appendix D)",
}
ABOUT = """## Sweeps: the start of ψ, and gates a position

Made by `python scripts/studies/sweeps.py {arguments}`, which is `robust sweep init` and `robust
sweep delta` with `--recipe {recipe} --epochs {epochs} --seeds {seeds} --precision bf16
--channels-last`. Network and data are far smaller than the paper's, and the epochs far fewer:
levels are not to be compared with the paper's, only the order within a row. A claim that a value is
the best is supported only if all its paired differences over seeds are above 0, each by its own
95 % interval, and contradicted only by one below 0 that allows for their number (Bonferroni); with
{seeds} seeds that takes a large or a very steady difference. "Visible from" is what 80 % of such
studies would have seen."""


def page(outcomes: Sequence[SweepOutcome], arguments: str) -> str:
    """The section; ``arguments`` are those of the script."""
    config = next(iter(outcomes[0].results.runs.values())).training.config
    about = ABOUT.format(
        arguments=arguments,
        recipe=config.recipe.name,
        epochs=config.recipe.epochs,
        seeds=outcomes[0].results.sweep.seeds,
    )
    parts = [about]
    for outcome in outcomes:
        parts += [f"### {SWEEPS[outcome.results.sweep.name]}", outcome.page()]
    return "\n\n".join(parts)


def lines(outcomes: Sequence[SweepOutcome]) -> list[Line]:
    """Each claim over all rows: the answer to it."""
    return [
        Line(
            SWEEPS[outcome.results.sweep.name].partition(":")[0],
            answer.claim.say,
            f"robust sweep {outcome.results.sweep.name}",
            answer.answer,
            answer.sentence,
        )
        for outcome in outcomes
        for answer in outcome.answers
        if answer.where == "all rows"
    ]


def study(
    runs: Path, docs: Path, *, recipe: str, epochs: int, seeds: int, workers: int = 1
) -> None:
    """Train what is missing, and write the section.

    Raises:
        InputError: a run failed.
    """
    outcomes = []
    for name in SWEEPS:
        sweep = load_sweep(name).override(
            recipe=recipe, epochs=epochs, seeds=seeds, precision="bf16", channels_last=True
        )
        outcome = run_sweep(
            sweep,
            runs / name,
            workers=workers,
            device="cpu",
            tell=lambda line: print(line, file=sys.stderr),
        )
        if outcome.failures:
            raise InputError("; ".join(outcome.failures))
        outcomes.append(outcome)
    text = page(outcomes, f"--epochs {epochs} --seeds {seeds}")
    put_section(docs, "sweeps", text)
    put_lines(docs, "sweeps", lines(outcomes))
