"""Trainings side by side: each is that of its run, and kept."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_run import make_quick

from asr_core.errors import InputError
from robust.studies.style_runs import Training, _train, train_networks
from styletransfer.images.drawn import draw_style
from styletransfer.images.embedded import held_out
from styletransfer.losses.embedded import EmbeddedLossNetwork
from styletransfer.losses.perceptual import PerceptualLoss
from styletransfer.zoo import load_network

FIELDS = {
    "style": "waves", "norm": "bn+asr", "seed": 2, "steps": 1, "width": 4, "blocks": 1,
    "size": 64, "loss_network": "embedded",
}  # fmt: skip


@pytest.mark.slow
def test_the_packed_network_is_that_of_the_run_and_says_its_own_losses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_quick(monkeypatch)
    training = Training(tmp_path / "run", FIELDS, tmp_path / "small.safetensors")
    assert _train(training, "cpu") == training.packed
    network = tmp_path / "run" / "network.safetensors"
    before = network.read_bytes()
    whole, facts = load_network(network)
    small, packed = load_network(tmp_path / "small.safetensors")
    for name, tensor in whole.state_dict().items():
        scale = tensor.float().abs().max().item() / 127
        torch.testing.assert_close(small.state_dict()[name], tensor, rtol=0, atol=scale)
    assert packed["recipe"] == facts["recipe"]
    loss = PerceptualLoss(EmbeddedLossNetwork(), draw_style("waves"))
    cat = held_out("cat", size=64)[None]
    with torch.no_grad():
        for model, said in ((whole, facts), (small, packed)):
            assert said["validation"]["style"] == pytest.approx(loss(model(cat), cat).style.item())
    assert packed["validation"] != facts["validation"]
    _train(training, "cpu")  # finds the run finished
    assert network.read_bytes() == before


def test_fields_that_no_run_can_have_are_refused_before_any_training(tmp_path: Path) -> None:
    wrong = Training(tmp_path / "wrong", {**FIELDS, "norm": "ln"})
    with pytest.raises(InputError, match="ln"):
        next(train_networks([Training(tmp_path / "right", FIELDS), wrong]))
    assert not list(tmp_path.iterdir())
