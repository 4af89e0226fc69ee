"""``robust attack --task classify``: classifiers under noise, or trained under it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from asr_core.errors import InputError
from asr_core.registry import unknown_name
from robust.device import choose_device
from robust.norm_noise import (
    GRANULARITY_OF_TESTS,
    check_used,
    choose_severities,
    parse_statistics,
)
from robust.suites import SuiteOptions, make_suite
from robust.suites.job import SuiteJob
from robust.suites.subject import Subject, open_subjects, shared_data

PHASES = {"test": "norm-noise", "train": "norm-statistics"}
"""Which suite each phase runs."""


def classifier_job(
    *,
    phase: str,
    noise: str,
    severities: Sequence[str],
    models: Sequence[str],
    data: str | None,
    data_folder: str | None,
    split: str,
    seed: int,
    repeats: int | None,
    batch_size: int | None,
    granularity: str | None,
    statistics: str,
    precision: str,
    device: str,
    out: str | None,
    overwrite: bool,
    command: Sequence[str],
) -> SuiteJob:
    """The job of these options, all checked before anything is written.

    In phase "test" the models are attacked. In phase "train" models trained under noise, and
    clean-trained ones for comparison, are tested clean on running, batch and re-estimated
    statistics.

    Raises:
        InputError: an option cannot be used.
    """
    if phase not in PHASES:
        raise unknown_name("phase", phase, list(PHASES))
    if not models:
        raise InputError("no classifier ships with the package; name some that `robust train` made")
    severe = choose_severities(noise, severities)  # refuses unknown ones before files are read
    if phase == "test":
        check_used(severe, granularity=granularity, repeats=repeats)
    subjects = open_subjects(models)
    if phase == "train":
        if severities or granularity is not None:
            given = "severity" if severities else "granularity"
            raise InputError(
                f"{given} is an option of phase test; phase train takes what the training had"
            )
        _check_training(subjects, noise)
    images = shared_data(subjects, data, folder=None if data_folder is None else Path(data_folder))
    options = SuiteOptions(
        data=images,
        split=split,
        seed=seed,
        repeats=1 if repeats is None else repeats,
        noise=noise,
        severities=tuple(severities),
        granularity=granularity or GRANULARITY_OF_TESTS,
        statistics=(parse_statistics(statistics),),
    )
    return SuiteJob(
        subjects,
        images,
        make_suite(PHASES[phase], options),
        folder=Path(out or f"runs/attack-classify-{phase}-{noise}"),
        split=split,
        batch_size=256 if batch_size is None else batch_size,
        device=choose_device(device),
        precision=precision,
        overwrite=overwrite,
        command=command,
    )


def _check_training(subjects: Sequence[Subject], noise: str) -> None:
    """Refuse models trained under another noise than ``noise``, or all under none."""
    trained = [subject for subject in subjects if subject.trained_under]
    if not trained:
        raise InputError(
            f"{subjects[0].file} was not trained under noise, nor was any other model; phase train "
            "takes what `robust train` made under noise"
        )
    for subject in trained:
        if noise not in ("all", subject.trained_under.partition(" ")[0]):
            raise InputError(
                f"{subject.file} was trained under {subject.trained_under} noise, not {noise}; "
                "choose that noise, or 'all'"
            )
