"""Robustness suites for classifiers: conditions, one runner, results as JSON.

::

    suite = make_suite("norm-noise", SuiteOptions(data=data, noise="constant"))
    result = run_suite(model, data.test, suite, batch_size=256)
    result.save(Path("resnet11-norm-noise.json"))
"""

from robust.suites.adapted import make_suite
from robust.suites.condition import CLEAN, Condition
from robust.suites.kinds import (
    adversarial,  # noqa: F401
    corruptions,  # noqa: F401
    norm_noise,  # noqa: F401
    norm_statistics,  # noqa: F401
)
from robust.suites.results import Outcome, SuiteResult, load_result
from robust.suites.runner import run_suite
from robust.suites.suite import SUITES, Answers, Samples, Suite, SuiteOptions

__all__ = [
    "CLEAN",
    "SUITES",
    "Answers",
    "Condition",
    "Outcome",
    "Samples",
    "Suite",
    "SuiteOptions",
    "SuiteResult",
    "load_result",
    "make_suite",
    "run_suite",
]
