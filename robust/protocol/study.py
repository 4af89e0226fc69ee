"""Runs the protocol: declares, trains what is missing, measures, and keeps it all in a folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import torch

from asr_core.data import ImageSet, open_data
from asr_core.data.source import DATASETS
from asr_core.saving.exclusive import exclusive
from asr_core.saving.files import write_json
from asr_core.saving.text_files import read_json
from asr_core.training import DataFacts
from robust.device import choose_device
from robust.models.files import open_model
from robust.models.freezing import freeze_classifier, require_classifier
from robust.protocol.declared import Declaration, Protocol, require_declared
from robust.protocol.scores import Findings, Score, StyleLoss
from robust.protocol.style import style_losses
from robust.protocol.verdicts import chosen_severity
from robust.suites import SUITES, SuiteOptions
from robust.suites.job import SuiteJob
from robust.suites.subject import open_subject
from robust.sweep.runs import Run, run_missing

DECLARED, VERDICTS = "declared.json", "verdicts.json"
SECONDS = 3600
"""Of a run, roughly, on one core."""
BATCH = 250
Say = Callable[[str], None]


@dataclass(frozen=True)
class Study:
    """A declared study in its folder.

    Attributes:
        folder: holds the declaration, a folder of each run, and what was measured.
        declaration: written before the first run.
        data: the data set.
        data_folder: where its files are.
    """

    folder: Path
    declaration: Declaration
    data: ImageSet
    data_folder: str | None = None

    @classmethod
    def begin(
        cls,
        protocol: Protocol,
        sha256: str,
        folder: Path,
        *,
        data: str | None = None,
        data_folder: str | None = None,
        seeds: int | None = None,
    ) -> Self:
        """Declare the study in ``folder``, or go on with the one that is declared there.

        Args:
            protocol: by :func:`robust.protocol.declared.read_protocol`.
            sha256: of its file.
            folder: of the study.
            data: a name or a folder of images; None for the protocol's.
            data_folder: where the files of a named set are.
            seeds: fewer than the protocol's; None for all of them, or for those declared. Another
                number may be declared until the verdicts have been seen.

        Raises:
            InputError: the folder's declaration differs, both values are named; or the data cannot
                be opened.
        """
        name = data or protocol.data
        if name not in DATASETS.names() and Path(name).is_dir():
            name, data_folder = "folder", name
        first = protocol.training_of("plain", 0, data=name, data_folder=data_folder).config
        images = open_data(
            name,
            folder=None if data_folder is None else Path(data_folder),
            image_size=first.recipe.image_size,
        )
        file = folder / DECLARED
        kept = Declaration.from_dict(read_json(file)) if file.exists() else None
        if seeds is None:
            seeds = protocol.seeds if kept is None else kept.seeds
        declaration = Declaration(
            protocol=protocol, sha256=sha256, data=DataFacts.of(images), seeds=seeds
        )
        unseen = not _seen(folder / VERDICTS)
        if kept is not None:
            held = replace(kept, seeds=seeds) if unseen else kept
            require_declared(str(file), flat(declaration.as_dict()), flat(held.as_dict()))
        if unseen:
            with exclusive(folder):
                write_json(file, declaration.as_dict())
        return cls(folder, declaration, images, data_folder)

    def runs(self) -> dict[tuple[str, int], Run]:
        """The run of each arm and seed, seed by seed: what is finished is a smaller study."""
        protocol, most = self.declaration.protocol, self.declaration.seeds
        where = {"data": self.data.name, "data_folder": self.data_folder}
        return {
            (arm, seed): Run(
                self.folder / "runs" / f"{arm}-{seed}", protocol.training_of(arm, seed, **where)
            )
            for seed in range(most)
            for arm in protocol.arms
            if seed < protocol.seeds_of(arm, most)
        }

    def train(self, *, workers: int = 1, device: str = "cpu", quiet: bool = False) -> list[str]:
        """Train the runs that are missing; returns a line about each that failed."""
        return run_missing(
            self.runs().values(),
            workers=workers,
            say="study paper",
            seconds=SECONDS,
            device=device,
            quiet=quiet,
        )

    def measure(self, *, device: str = "cpu", style: Path | None = None) -> Findings:
        """Test the networks that are trained; what was tested before is read.

        Args:
            device: where to compute.
            style: folder of an attack with batch noise on style networks; None to leave them out.

        Raises:
            InputError: a run was made with other options, or the attack lacks what is needed.
        """
        where, done = choose_device(device), {k: r for k, r in self.runs().items() if r.done}
        for run in done.values():
            run.check()
        scores = [
            Score(arm, seed, "clean", "", "test", run.result.test.top1, run.result.test.images)
            for (arm, seed), run in done.items()
        ]
        scores += self._noise(done, where) + self._freezing(done, where)
        losses: Sequence[StyleLoss] = () if style is None else style_losses(style)
        findings = Findings(scores, losses)
        findings.write(self.folder)
        return findings

    def _noise(self, done: Mapping[tuple[str, int], Run], device: torch.device) -> list[Score]:
        """The pilot on plain networks, and the arms under the severity that it sets."""
        endpoints = [e for e in self.declaration.protocol.endpoints if e.on == "noise"]
        pilots = {("plain", seed) for seed in range(self.declaration.pilot)}
        if not endpoints or not pilots <= set(done):
            return []
        plain = {key: run for key, run in done.items() if key in pilots}
        severities = self.declaration.protocol.noise.severities
        pilot = self._suite(plain, severities, "validation", "pilot", device)
        severity = chosen_severity(self.declaration, pilot)
        if severity is None:
            return pilot
        arms = {arm for endpoint in endpoints for arm in (endpoint.a, endpoint.b)}
        runs = {key: run for key, run in done.items() if key[0] in arms}
        return pilot + self._suite(runs, (severity,), "test", "noise", device)

    def _suite(
        self,
        runs: Mapping[tuple[str, int], Run],
        severities: Sequence[str],
        split: str,
        on: str,
        device: torch.device,
    ) -> list[Score]:
        rule, scores = self.declaration.protocol.noise, []
        suite = SUITES["norm-noise"](
            SuiteOptions(
                data=self.data,
                split=split,
                noise=rule.kind,
                severities=tuple(severities),
                repeats=rule.repeats,
            )
        )
        for (arm, seed), run in runs.items():
            job = SuiteJob(
                [open_subject(run.folder)], self.data, suite, folder=self.folder / on,
                split=split, batch_size=BATCH, device=device, precision="bf16",
            )  # fmt: skip
            (result,) = job.run()
            for condition in result.cells()[1:]:
                top1 = float(result.share_right(condition).mean())
                detail = str(condition.severity)
                scores.append(Score(arm, seed, on, detail, split, top1, result.n))
        return scores

    def _freezing(self, done: Mapping[tuple[str, int], Run], device: torch.device) -> list[Score]:
        arms = {e.a for e in self.declaration.protocol.endpoints if e.on == "freezing"}
        scores = []
        for (arm, seed), run in done.items():
            if arm not in arms:
                continue
            file = self.folder / "freezing" / f"{run.folder.name}.json"
            if not file.exists():
                live = require_classifier(open_model(run.folder / run.result.file)).model
                change = freeze_classifier(live.to(device), self.data.to(device)).accuracy
                kept = {"before": change.before, "after": change.after, "images": change.n}
                file.parent.mkdir(exist_ok=True)
                write_json(file, kept)
            kept = read_json(file)
            scores += [
                Score(arm, seed, "freezing", when, "test", kept[when], kept["images"])
                for when in ("before", "after")
            ]
        return scores


def _seen(verdicts: Path) -> bool:
    """Whether the verdicts tell of a difference between networks that the study trained."""
    told = read_json(verdicts)["endpoints"] if verdicts.exists() else []
    return any(each["interval"] and each["unit"] == "points" for each in told)


def flat(value: Any, name: str = "") -> dict[str, Any]:
    """Nested tables as one, by dotted names; a list of tables goes by their own names."""
    if isinstance(value, list) and value and all(isinstance(each, Mapping) for each in value):
        value = {each.get("name", str(place)): each for place, each in enumerate(value)}
    if not isinstance(value, Mapping):
        return {name: value}
    parts = [flat(each, f"{name}.{key}" if name else key) for key, each in value.items()]
    return {key: each for part in parts for key, each in part.items()}
