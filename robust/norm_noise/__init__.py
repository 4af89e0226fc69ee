"""Noise on normalisation layers: batch, constant and random, one definition for every task."""

from robust.norm_noise.attack import GRANULARITIES, Attack, attack
from robust.norm_noise.batch import companions, run_in_batch, run_under
from robust.norm_noise.layers import norm_layers
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
    "NOISES",
    "REESTIMATED",
    "RUNNING",
    "Attack",
    "BatchNoise",
    "ConstantNoise",
    "RandomNoise",
    "Severity",
    "attack",
    "batch_name",
    "batch_statistics",
    "companions",
    "default_severities",
    "norm_layers",
    "parse_severity",
    "reestimated_statistics",
    "run_in_batch",
    "run_under",
]
