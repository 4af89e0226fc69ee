"""Settings for the whole suite: equal results in every run, one thread a worker, no display."""

import os

import hypothesis
import torch

os.environ.setdefault("MPLBACKEND", "Agg")
torch.set_num_threads(1)  # the suite is spread over processes; threads would fight for the cores

hypothesis.settings.register_profile(
    "suite",
    deadline=None,
    derandomize=True,
    # A busy machine makes any test slow; that says nothing about the code.
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("suite")
