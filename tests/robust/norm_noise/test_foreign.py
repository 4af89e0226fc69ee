"""robust.norm_noise.foreign: foreign images reach a batch's statistics, and not its loss."""

from pathlib import Path

import pytest
import torch
from tiny_classifier import net, run, tiny_config, tiny_data, weights
from tiny_runs import make_known
from torch import Tensor, nn

from asr_core.errors import InputError
from robust.norm_noise import BatchNoise, RandomNoise
from robust.norm_noise.companions import joined
from robust.norm_noise.foreign import ForeignImages
from robust.norm_noise.training import NO_NOISE, TrainNoise, parse_train_noise
from robust.suites.subject import open_subject


def images(count: int = 4, seed: int = 0) -> Tensor:
    return torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


def small() -> nn.Module:
    torch.manual_seed(0)
    return net("bn", 6).train()


def test_outputs_are_those_of_the_whole_batch_cut_to_its_own_images() -> None:
    foreign = images(3, seed=1) * 0.1
    model, twin = small(), small()
    with joined(model, lambda own: (torch.cat([own, foreign]), slice(4))):
        found = model(images())
    expected = twin(torch.cat([images(), foreign]))[:4]
    assert torch.equal(found, expected)
    assert torch.equal(model.norm.running_mean, twin.norm.running_mean)
    assert not torch.allclose(found, small()(images()), atol=1e-2)


def test_no_loss_is_taken_of_foreign_images() -> None:
    """A gradient comes back only to the batch's own: each foreign logit has none."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2))  # without statistics in common
    with joined(model, lambda own: (torch.cat([own, images(5, seed=1)]), slice(4))):
        model(images()).sum().backward()
    gradient = model[1].weight.grad
    model.zero_grad()
    model(images()).sum().backward()
    assert torch.allclose(gradient, model[1].weight.grad)


def test_afterwards_the_model_is_its_own_again_also_after_an_exception() -> None:
    model = small()
    with pytest.raises(KeyboardInterrupt), joined(model, lambda own: (own, slice(None))):
        raise KeyboardInterrupt
    assert not model._forward_hooks
    assert not model._forward_pre_hooks


def test_noise_follows_seed_and_step() -> None:
    foreign = ForeignImages("noise", seed=0)
    first = foreign.draw(images(), step=3)
    assert first.shape == images().shape
    assert torch.equal(first, ForeignImages("noise", seed=0).draw(images(), step=3))
    assert not torch.equal(first, foreign.draw(images(), step=4))
    assert not torch.equal(first, ForeignImages("noise", seed=1).draw(images(), step=3))
    assert 0 <= first.min() < 0.1 < 0.9 < first.max() <= 1


def test_another_sets_training_images(monkeypatch: pytest.MonkeyPatch) -> None:
    make_known(monkeypatch)
    train = tiny_data().train
    pool = train.test_batch(torch.arange(len(train)))
    found = ForeignImages("tiny", seed=0).draw(images(30), step=0)
    assert found.shape == (30, 3, 8, 8)
    for picture in found:
        assert (pool == picture).flatten(1).all(1).any()
    assert len(found.unique(dim=0)) > 10


def test_a_set_of_another_size_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"images of 32×32 pixels, not 8"):
        ForeignImages("embedded", seed=0).draw(images(), step=0)


@pytest.mark.parametrize("mix", ["noise", "tiny"])
def test_a_run_is_trained_tells_of_it_and_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mix: str
) -> None:
    make_known(monkeypatch)
    noise = parse_train_noise("batch", "8", mix)
    config = tiny_config(noise.batch_size(), mode="plain", channels_last=True)
    assert config.recipe.batch_size == 4
    run(config, tmp_path / "run", noise=noise.context(0), setting=noise.setting())
    run(config, tmp_path / "small")
    first, second = weights(tmp_path / "run"), weights(tmp_path / "small")
    assert not torch.allclose(first["norm.running_mean"], second["norm.running_mean"], atol=1e-3)
    assert open_subject(tmp_path / "run").trained_under == f"batch 8 mixed with {mix}"


def test_half_a_batch_is_foreign() -> None:
    noise = TrainNoise(BatchNoise(8), "noise")
    assert noise.batch_size() == {"batch_size": 4}
    assert noise.as_dict() == {"noise": "batch", "severity": "8", "mix": "noise"}
    assert TrainNoise(BatchNoise(8)).as_dict() == {"noise": "batch", "severity": "8"}
    assert parse_train_noise(None, None) == NO_NOISE


@pytest.mark.parametrize(
    ("severity", "mix", "message"),
    [
        (None, "noise", "'noise' needs batch noise"),
        (RandomNoise(0.5), "noise", "needs batch noise"),
        (BatchNoise(5), "noise", "half of a batch of 5 cannot be foreign"),
        (BatchNoise(8), "nose", "unknown foreign images 'nose'. Did you mean 'noise'.*embedded"),
    ],
)
def test_bad_mixes(severity: object, mix: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        TrainNoise(severity, mix)  # type: ignore[arg-type]
