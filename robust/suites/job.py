"""Suites on several classifiers, into one folder; earlier results are reused."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from asr_core import limits
from asr_core.data import ImageSet
from asr_core.data.split import Split
from asr_core.errors import InputError
from asr_core.registry import unknown_name
from asr_core.saving.exclusive import exclusive
from asr_core.saving.files import in_utf8
from asr_core.saving.run_folder import require_same
from asr_core.training.config import DataFacts
from asr_core.training.evaluate import Evaluation, evaluate
from robust.suites.condition import Condition
from robust.suites.results import SuiteResult, load_result
from robust.suites.runner import run_suite
from robust.suites.subject import Subject
from robust.suites.suite import SPLITS, Suite

PRECISIONS = ("no", "bf16")


@dataclass(frozen=True)
class SuiteJob:
    """One suite on several classifiers and one data set.

    Attributes:
        subjects: the classifiers.
        data: the data set.
        suite: made for that data set.
        folder: where results go; None to write nothing.
        split: "test", "validation" or "train".
        batch_size: images at a time.
        device: where to compute.
        precision: "no", or "bf16" for a faster forward in bfloat16.
        overwrite: replace results of other models or settings.
        command: the command line, for the record.

    Raises:
        InputError: an unknown split or precision, or a batch size below 1.
    """

    subjects: Sequence[Subject]
    data: ImageSet
    suite: Suite
    folder: Path | None = None
    split: str = "test"
    batch_size: int = 256
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    precision: str = "no"
    overwrite: bool = False
    command: Sequence[str] = ()

    def __post_init__(self) -> None:
        check_pass(self.split, self.batch_size, self.precision)

    @property
    def announcement(self) -> str:
        """The job in one line."""
        passes = 1 + len(self.suite.conditions())
        count = len(self.subjects)
        return (
            f"{self.suite.name}: {count} model{'s' if count > 1 else ''} × {passes} passes over "
            f"{len(self._samples)} {self.split} images of {self.data.name}"
        )

    @property
    def total(self) -> int:
        """Passes over the split of all models, for progress."""
        return len(self.subjects) * (1 + len(self.suite.conditions()))

    def run(
        self, *, on_condition: Callable[[Subject, Condition], None] | None = None
    ) -> list[SuiteResult]:
        """Run and write what is missing; returns all results, in the subjects' order.

        ``on_condition`` is called with each pass, once its first batch is done.

        Raises:
            InputError: a file in the folder holds the result of another model or other settings, or
                another process holds the folder.
            OSError: the folder cannot be made.
        """
        results = []
        with self.held():
            kept = [self._kept(subject) for subject in self.subjects]  # refusals come first
            for subject, result in zip(self.subjects, kept, strict=True):
                if result is None:
                    result = self._run(subject, on_condition)
                elif on_condition:
                    for outcome in result.outcomes:
                        on_condition(subject, outcome.condition)
                results.append(result)
        return results

    def held(self) -> AbstractContextManager[None]:
        """Lock the folder: before hours of work, not after.

        Raises:
            InputError: another process holds it.
        """
        return contextlib.nullcontext() if self.folder is None else exclusive(self.folder)

    def file(self, subject: Subject) -> Path | None:
        """Where the subject's result goes."""
        if self.folder is None:
            return None
        name = f"{subject.name}-{self.suite.name}.json"
        if len(os.fsencode(name)) > 255:  # refused before hours of work
            raise InputError(f"{subject.file}: {name!r} is too long a name for a file; rename it")
        return self.folder / name

    @property
    def _samples(self) -> Split:
        split: Split = getattr(self.data, self.split)
        return split

    def _meta(self, subject: Subject) -> dict[str, Any]:
        facts = DataFacts.of(self.data)
        return {
            **subject.meta,
            "data": {
                "name": facts.name,
                "split": self.split,
                "images": len(self._samples),
                "image_size": facts.image_size,
                "labels": facts.labels,
            },
            "precision": self.precision,
            "command": list(map(in_utf8, self.command)),
        }

    def _kept(self, subject: Subject) -> SuiteResult | None:
        """The subject's earlier result, if there is one."""
        file = self.file(subject)
        if file is None or self.overwrite or not file.exists():
            return None
        kept, meta = load_result(file), self._meta(subject)
        require_same(
            _identity(kept.meta, kept.settings, [each.condition for each in kept.outcomes[1:]]),
            _identity(meta, self.suite.settings(), self.suite.conditions()),
            file,
        )
        return kept

    def _run(
        self, subject: Subject, on_condition: Callable[[Subject, Condition], None] | None
    ) -> SuiteResult:
        before: list[Condition] = []

        def report(condition: Condition, count: int) -> None:
            if on_condition and before[-1:] != [condition]:
                before.append(condition)
                on_condition(subject, condition)

        with _placed(subject, self.device, self.precision):
            result = run_suite(
                subject.model,
                self._samples.to(self.device),
                self.suite,
                batch_size=self.batch_size,
                meta=self._meta(subject),
                on_batch=report,
            )
        file = self.file(subject)
        if file is not None:
            result.save(file)
        return result


def _identity(
    meta: Mapping[str, Any], settings: Mapping[str, Any], conditions: Sequence[Condition]
) -> dict[str, Any]:
    """What an earlier result and the wanted one must have in common."""
    same = {name: meta.get(name) for name in ("sha256", "data", "precision")}
    return {**same, "settings": settings, "conditions": list(conditions)}


def evaluate_clean(
    subject: Subject,
    data: ImageSet,
    *,
    split: str = "test",
    batch_size: int = 256,
    device: torch.device,
    precision: str = "no",
) -> Evaluation:
    """The clean pass alone, as ``robust evaluate`` reports it.

    Raises:
        InputError: as :class:`SuiteJob`.
    """
    check_pass(split, batch_size, precision)
    samples: Split = getattr(data, split)
    with _placed(subject, device, precision):
        return evaluate(subject.model, samples.to(device), batch_size=batch_size)


def check_pass(split: str, batch_size: int, precision: str) -> None:
    """Refuse an unknown split or precision, or a batch size out of range.

    Raises:
        InputError: naming it.
    """
    for kind, name, known in (("split", split, SPLITS), ("precision", precision, PRECISIONS)):
        if name not in known:
            raise unknown_name(kind, name, list(known))
    limits.whole("batch size", batch_size, 1, limits.BATCH)


@contextlib.contextmanager
def _placed(subject: Subject, device: torch.device, precision: str) -> Iterator[None]:
    """The model on ``device``, with forwards in ``precision``; on the CPU after.

    It is in channels-last memory, which is faster.
    """
    subject.model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    lower: AbstractContextManager[object] = contextlib.nullcontext()
    if precision == "bf16":
        lower = torch.autocast(device.type, dtype=torch.bfloat16)
    try:
        with lower:
            yield
    finally:
        subject.model.cpu()
