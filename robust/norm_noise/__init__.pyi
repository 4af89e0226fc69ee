from .choice import check_used, choose_severities
from .companions import deal, draw_companions
from .layers import norm_layers
from .noise import GRANULARITIES, Noise
from .run import GRANULARITY_OF_TESTS, run_under
from .severity import (
    NOISES,
    BatchNoise,
    ConstantNoise,
    RandomNoise,
    Severity,
    default_severities,
    parse_severity,
)
from .statistics import (
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
