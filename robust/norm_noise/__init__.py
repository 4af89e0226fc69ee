"""Noise on normalisation layers: batch, constant and random, one definition for every task."""

from robust.norm_noise.choice import check_used, choose_severities
from robust.norm_noise.companions import deal, draw_companions
from robust.norm_noise.layers import norm_layers
from robust.norm_noise.noise import GRANULARITIES, Noise
from robust.norm_noise.run import GRANULARITY_OF_TESTS, run_under
from robust.norm_noise.severity import (
    NOISES,
    BatchNoise,
    ConstantNoise,
    RandomNoise,
    Severity,
    default_severities,
    parse_severity,
)
from robust.norm_noise.statistics import (
    REESTIMATED,
    RUNNING,
    batch_name,
    batch_statistics,
    reestimated_statistics,
)

__all__ = [
    "GRANULARITIES",
    "GRANULARITY_OF_TESTS",
    "NOISES",
    "REESTIMATED",
    "RUNNING",
    "BatchNoise",
    "ConstantNoise",
    "Noise",
    "RandomNoise",
    "Severity",
    "batch_name",
    "batch_statistics",
    "check_used",
    "choose_severities",
    "deal",
    "default_severities",
    "draw_companions",
    "norm_layers",
    "parse_severity",
    "reestimated_statistics",
    "run_under",
]
