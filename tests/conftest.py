"""Settings for the whole suite: equal results in every run, one thread a worker, no display."""

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
import torch

from asr_core.pretrained import cached

os.environ.setdefault("MPLBACKEND", "Agg")
# Equal results whether or not weights have been fetched: no test sees them but by `fetched`.
os.environ.setdefault("ROBUST_FETCHED", os.environ.get("ROBUST_CACHE", ""))
os.environ["ROBUST_CACHE"] = os.environ["TORCH_HOME"] = str(Path(__file__).parent / "never-made")
os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(1)  # the suite is spread over processes; threads would fight for the cores

hypothesis.settings.register_profile(
    "suite",
    deadline=None,
    derandomize=True,
    # A busy machine makes any test slow; that says nothing about the code.
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("suite")


def pytest_collection_finish() -> None:
    """Hide what was collected from Python's collector, which would walk it again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def fetched() -> Callable[[str], Path]:
    """The file of weights that were fetched on this machine, by name; skips where they were not."""

    def file(name: str) -> Path:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ROBUST_CACHE", os.environ["ROBUST_FETCHED"])
            path = cached(name)
        if path is None:
            pytest.skip(f"{name} has not been fetched (`robust weights get {name}`)")
        return path

    return file


@pytest.fixture
def forgetful() -> Iterator[None]:
    """Afterwards the process is as one that never ran Accelerate."""
    yield
    from tiny_classifier import forget_accelerator  # Accelerate takes a second to import

    forget_accelerator()
