"""Tables 5 and 6 of the paper's supplementary on the embedded patches.

Trains what is missing, and writes the section "sweeps" of docs/RESULTS.md. With the default seeds
and epochs it is 84 runs; the time is told before the first.

    python scripts/study_sweeps.py [--runs runs/sweeps] [--seeds 3] [--epochs 4] [--workers 2]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from paper_page import Line, put_lines
from results_page import put_section

from robust.sweep import Outcome, load_sweep, run_sweep
from robust.sweep.claims import CANNOT_TELL, CONTRADICTED, NO_DIFFERENCE, SEEN

SWEEPS = {
    "init": "Table 5: what ψ starts from (appendix C)",
    "delta": "Table 6: gates a position (appendix D)",
}
SAID = {SEEN: "yes", CONTRADICTED: "the contrary", NO_DIFFERENCE: "no", CANNOT_TELL: "cannot tell"}
ABOUT = """## Sweeps: the start of ψ, and gates a position

Made by `python scripts/study_sweeps.py {arguments}`, which is `robust sweep init` and `robust sweep
delta` with `--recipe {recipe} --epochs {epochs} --seeds {seeds} --precision bf16 --channels-last`.
Network and data are far smaller than the paper's, and the epochs far fewer: levels are not to be
compared with the paper's, only the order within a row. An answer is "seen" only if the paired
differences over seeds leave 0 out, all comparisons of a claim together at 95 %; with {seeds} seeds
that takes a large or a very steady difference."""


def page(outcomes: Sequence[Outcome], arguments: str) -> str:
    config = outcomes[0].results.runs[0].config
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


def lines(outcomes: Sequence[Outcome]) -> list[Line]:
    """Each claim over all rows: was it seen?"""
    return [
        Line(
            SWEEPS[outcome.results.sweep.name].partition(":")[0],
            answer.claim.say,
            f"robust sweep {outcome.results.sweep.name}",
            SAID[answer.answer],
            answer.sentence,
        )
        for outcome in outcomes
        for answer in outcome.answers
        if answer.where == "all rows"
    ]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("runs/sweeps"))
    parser.add_argument("--docs", type=Path, default=Path("docs"))
    parser.add_argument("--recipe", default="resnet11-embedded")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args(arguments)
    outcomes = []
    for name in SWEEPS:
        sweep = load_sweep(name).override(
            recipe=options.recipe,
            epochs=options.epochs,
            seeds=options.seeds,
            precision="bf16",
            channels_last=True,
        )
        outcome = run_sweep(
            sweep,
            options.runs / name,
            workers=options.workers,
            device="cpu",
            tell=lambda line: print(line, file=sys.stderr),
        )
        if outcome.failures:
            sys.exit("\n".join(outcome.failures))
        outcomes.append(outcome)
    given = f"--epochs {options.epochs} --seeds {options.seeds}"
    put_section(options.docs / "RESULTS.md", "sweeps", page(outcomes, given))
    put_lines(options.docs, "sweeps", lines(outcomes))


if __name__ == "__main__":
    main()
