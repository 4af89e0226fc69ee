"""Runs suites and shows their results, for ``robust evaluate`` and ``robust attack``."""

from __future__ import annotations

import math
from collections.abc import Sequence

from asr_core.training.evaluate import Evaluation
from robust.cli.output import leave_busy_cores, say, say_json
from robust.cli.runs.report import finish
from robust.norm_noise import RUNNING
from robust.report.progress import progress_bar
from robust.report.table import Table
from robust.suites.cohort import cohorts
from robust.suites.condition import Condition
from robust.suites.job import SuiteJob
from robust.suites.report import shown, write_report
from robust.suites.subject import Subject
from robust.suites.tables import unproved


def show_clean(
    subjects: Sequence[Subject], evaluations: Sequence[Evaluation], *, as_json: bool
) -> None:
    """One row a model: statistics, top-1, top-5, loss, images a second."""
    if as_json:
        figures = [
            {
                **subject.meta,
                "statistics": RUNNING,
                # JSON knows no NaN and no infinity
                **{k: v if math.isfinite(v) else None for k, v in each.figures().items()},
                "images": each.n,
                "images_per_second": each.images_per_second,
            }
            for subject, each in zip(subjects, evaluations, strict=True)
        ]
        say_json(figures)
        return
    rows = [
        [
            subject.name,
            RUNNING,
            f"{each.top1:.2%}",
            f"{each.top5:.2%}",
            f"{each.loss:.4f}",
            str(each.n),
            f"{each.images_per_second:.0f}",
        ]
        for subject, each in zip(subjects, evaluations, strict=True)
    ]
    head = ("model", "statistics", "top-1", "top-5", "loss", "images", "images/s")
    say(*Table(head, rows, words=2).plain())


def run_and_show(job: SuiteJob, *, no_report: bool, as_json: bool, quiet: bool) -> None:
    """Run ``job``, write its folder, and print the table and the answer."""
    say(job.announcement, err=True)
    leave_busy_cores()
    with job.held(), progress_bar(quiet=quiet) as bar:
        task = bar.add_task("testing", total=job.total, note="")

        def tell(subject: Subject, condition: Condition) -> None:
            note = f"{subject.name}: {condition.kind} {condition.label}".rstrip()
            bar.update(task, advance=1, note=note)

        results = job.run(on_condition=tell)
        written = [] if job.folder is None else write_report(job.folder, results, job.suite)
        if job.folder is not None:
            finish(job.folder, no_report=no_report, quiet=quiet or as_json)
    if as_json:
        say(*(f"robust: {line}" for line in unproved(cohorts(results))), err=True)
        say_json([result.as_dict() for result in results])
        return
    table, below = shown(results, job.suite)
    say(*table.plain())
    say("", *below)
    if written:
        names = ", ".join(path.name for path in written)
        say("", f"{job.folder}: {names}, and a JSON a model")
