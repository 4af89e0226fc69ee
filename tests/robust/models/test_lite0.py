"""EfficientNet-Lite0: the weights as they come, with the normalisation inside."""

from pathlib import Path

import pytest
import timm
import torch

from asr_core.errors import CheckpointError
from asr_core.pretrained import PRETRAINED, path_of
from asr_core.pretrained.checks import KIND
from asr_core.saving.checkpoint import save_checkpoint
from robust.models.lite0 import WEIGHTS, efficientnet_lite0


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROBUST_CACHE", str(tmp_path))


def test_it_normalises_what_timm_computes() -> None:
    with torch.random.fork_rng():
        stock = timm.create_model("tf_efficientnet_lite0").eval()
    save_checkpoint(path_of(WEIGHTS), stock.state_dict(), {"kind": KIND, "name": WEIGHTS})
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = stock((images * 255 - 127) / 128)
        assert torch.allclose(efficientnet_lite0()(images), expected, rtol=1e-4, atol=1e-4)


def test_weights_that_are_not_here_are_named() -> None:
    assert WEIGHTS in PRETRAINED
    with pytest.raises(CheckpointError, match=WEIGHTS):
        efficientnet_lite0()
