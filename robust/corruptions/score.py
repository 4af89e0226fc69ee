"""One figure for all corruptions: the mean error, or the mean corruption error (mCE).

Errors are shares of images that are wrong, in [0, 1]: for each kind, one for each severity.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from asr_core.errors import InputError

Errors = Mapping[str, Sequence[float]]

ALEXNET: dict[str, float] = {
    "gaussian_noise": 0.886428,
    "shot_noise": 0.894468,
    "impulse_noise": 0.922640,
    "defocus_blur": 0.819880,
    "glass_blur": 0.826268,
    "motion_blur": 0.785948,
    "zoom_blur": 0.798360,
    "snow": 0.866816,
    "frost": 0.826572,
    "fog": 0.819324,
    "brightness": 0.564592,
    "contrast": 0.853204,
    "elastic_transform": 0.646056,
    "pixelate": 0.717840,
    "jpeg_compression": 0.606500,
}
"""AlexNet's published error on ImageNet-C, the mean over the five severities (arXiv 1903.12261)."""


def mean_error(errors: Errors) -> float:
    """The mean over kinds of the mean over severities, in [0, 1].

    Raises:
        InputError: no kinds, or a kind without severities.
    """
    return mean([mean(row) for row in errors.values()])


def corruption_errors(errors: Errors, reference: Errors) -> dict[str, float]:
    """CE of each kind: the sum of its errors over that of ``reference``.

    The reference is the model's plain twin, or AlexNet (:func:`alexnet`).

    Raises:
        InputError: the two differ in kinds or severities, or the reference makes no error.
    """
    if {k: len(row) for k, row in errors.items()} != {k: len(row) for k, row in reference.items()}:
        raise InputError(
            f"errors of {', '.join(errors)} cannot be compared with errors of "
            f"{', '.join(reference)}: run both on the same kinds and severities"
        )
    for kind, row in reference.items():
        if not sum(row) > 0:
            raise InputError(f"the reference makes no error under {kind}: nothing to compare with")
    return {kind: sum(row) / sum(reference[kind]) for kind, row in errors.items()}


def mean_corruption_error(errors: Errors, reference: Errors) -> float:
    """mCE: the mean of :func:`corruption_errors` over kinds; 1 for a model like the reference.

    Published figures are relative to AlexNet, in percent. (The "relative mCE" of the paper is
    another figure, of the increase over the clean error.)
    """
    return mean(list(corruption_errors(errors, reference).values()))


def alexnet(errors: Errors) -> dict[str, list[float]]:
    """AlexNet's errors as a reference for ``errors`` on ImageNet.

    Raises:
        InputError: not all 15 kinds at five severities, for which alone figures are published.
    """
    if set(errors) != set(ALEXNET) or any(len(row) != 5 for row in errors.values()):
        raise InputError(
            "AlexNet's published errors are for all 15 corruptions at severities 1 to 5; run all, "
            "or compare with the plain twin"
        )
    return {kind: [ALEXNET[kind]] * 5 for kind in errors}


def mean(values: Sequence[float]) -> float:
    """The mean of ``values``.

    Raises:
        InputError: there are none.
    """
    if not values:
        raise InputError("there are no errors to take the mean of")
    return sum(values) / len(values)
