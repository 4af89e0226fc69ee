from .adaptation import REESTIMATED, RUNNING, Statistics, batch_name, parse_statistics
from .choice import check_used, choose_severities
from .companions import deal, draw_companions
from .layers import norm_layers
from .noise import GRANULARITIES, Noise
from .run import GRANULARITY_OF_TESTS, run_under
from .severity import (
    BURST,
    NOISES,
    ORDERS,
    BatchNoise,
    ConstantNoise,
    RandomNoise,
    Severity,
    default_severities,
    parse_severity,
)
from .statistics import batch_statistics, blended_statistics, reestimated_statistics

__all__ = [
    "BURST",
    "GRANULARITIES",
    "GRANULARITY_OF_TESTS",
    "NOISES",
    "ORDERS",
    "REESTIMATED",
    "RUNNING",
    "BatchNoise",
    "ConstantNoise",
    "Noise",
    "RandomNoise",
    "Severity",
    "Statistics",
    "batch_name",
    "batch_statistics",
    "blended_statistics",
    "check_used",
    "choose_severities",
    "deal",
    "default_severities",
    "draw_companions",
    "norm_layers",
    "parse_severity",
    "parse_statistics",
    "reestimated_statistics",
    "run_under",
]
