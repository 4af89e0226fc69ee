"""robust.norm_noise.training: the noise of the train phase, drawn by step."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from asr_core.errors import InputError
from robust.norm_noise import NOISES, BatchNoise, ConstantNoise, RandomNoise, Severity
from robust.norm_noise.training import DEFAULTS, NO_NOISE, TrainNoise, parse_train_noise
from styletransfer.recipe import StyleRecipe
from styletransfer.train import new_network

RECIPE = StyleRecipe(norm="bn", width=4, blocks=0)


def images() -> Tensor:
    return torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def under() -> Callable[[TrainNoise, int, int], Tensor]:
    """What a network gives in train mode under a noise, by seed and step."""

    def run(noise: TrainNoise, seed: int, step: int) -> Tensor:
        context = noise.context(seed)
        assert context is not None
        network = new_network(RECIPE).train()
        with context(network, step):
            output: Tensor = network(images())
        return output

    return run


def test_every_noise_has_a_default_severity_of_its_own() -> None:
    assert DEFAULTS.keys() == set(NOISES)
    for name, severity in DEFAULTS.items():
        assert severity.noise == name
        assert not severity.is_control
        assert parse_train_noise(name, None).severity == severity


@pytest.mark.parametrize(
    ("noise", "text", "severity"),
    [
        ("constant", "0.8,0.5", ConstantNoise(0.8, 0.5)),
        ("random", "0.3", RandomNoise(0.3)),
        ("random", "uniform", RandomNoise(None)),
        ("batch", "8", BatchNoise(8)),
        (None, None, None),
    ],
)
def test_options_become_a_noise_and_a_record(
    noise: str | None, text: str | None, severity: Severity | None
) -> None:
    parsed = parse_train_noise(noise, text)
    assert parsed == TrainNoise(severity)
    assert parsed.as_dict() == (noise and {"noise": noise, "severity": text})
    assert parsed.text == (noise and f"{noise} {text}")


@pytest.mark.parametrize("text", ["4", "8"])
def test_batch_noise_is_the_batch_size_and_nothing_else(text: str) -> None:
    noise = parse_train_noise("batch", text)
    assert noise.batch_size() == {"batch_size": int(text)}
    assert noise.context(0) is None
    with pytest.raises(InputError, match="batch size 64"):
        noise.batch_size(64)


@pytest.mark.parametrize("noise", [NO_NOISE, TrainNoise(RandomNoise(0.2))])
def test_other_noises_leave_the_batch_size(noise: TrainNoise) -> None:
    assert noise.batch_size() == {}
    assert noise.batch_size(64) == {"batch_size": 64}


def test_a_run_records_its_noise() -> None:
    assert NO_NOISE.setting() == {}
    noise = {"noise": "constant", "severity": "0.8,0.5"}
    assert parse_train_noise("constant", "0.8,0.5").setting() == {"noise": noise}


def test_without_noise_there_is_no_context() -> None:
    assert NO_NOISE.context(0) is None


def test_random_draws_follow_the_seed_and_the_step(
    under: Callable[[TrainNoise, int, int], Tensor],
) -> None:
    """So that a resumed run meets the noise that it would have met."""
    noise = TrainNoise(RandomNoise(0.5))
    first = under(noise, 0, 7)
    assert torch.equal(under(noise, 0, 7), first)
    assert not torch.allclose(under(noise, 0, 8), first, atol=1e-3)
    assert not torch.allclose(under(noise, 1, 7), first, atol=1e-3)


def test_constant_noise_is_the_same_at_every_step(
    under: Callable[[TrainNoise, int, int], Tensor],
) -> None:
    noise = TrainNoise(ConstantNoise(0.5, 0.5))
    assert torch.equal(under(noise, 0, 1), under(noise, 3, 2))
    clean = new_network(RECIPE).train()(images())
    assert not torch.allclose(under(noise, 0, 1), clean, atol=1e-3)


def test_a_gradient_passes_through_and_the_network_is_as_before() -> None:
    network = new_network(RECIPE).train()
    context = TrainNoise(RandomNoise(None)).context(0)
    assert context is not None
    with context(network, 0):
        loss = network(images()).mean()
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    assert not [m for m in network.modules() if m._forward_hooks or m._forward_pre_hooks]


def test_a_first_norm_gets_the_formula() -> None:
    """y = γ (Na x̂ + Nb) + β, with γ and β in no way special."""
    network = new_network(RECIPE).train()
    layer = network.get_submodule("in1")
    with torch.no_grad():
        layer.weight.uniform_(0.5, 2)
        layer.bias.uniform_(-1, 1)
    outputs: list[Tensor] = []
    layer.register_forward_hook(lambda module, args, output: outputs.append(output))
    network(images())
    context = TrainNoise(ConstantNoise(0.8, 0.5)).context(0)
    assert context is not None
    with context(network, 0):
        network(images())
    clean, noisy = outputs
    gamma, beta = (t[:, None, None] for t in (layer.weight, layer.bias))
    normalised = (clean - beta) / gamma
    assert torch.allclose(noisy, gamma * (0.8 * normalised + 0.5) + beta, atol=1e-5)


@pytest.mark.parametrize(
    ("noise", "severity", "message"),
    [
        (None, "0.5", "is of no noise"),
        (None, "", "is of no noise"),
        ("batches", None, r"unknown noise 'batches'\. Did you mean 'batch'\? Known: .*random"),
        ("random", "2", r"random noise 2 is out of range"),
        ("random", "", "is no number"),
        ("constant", "0.5", "is not a pair"),
        ("batch", "4:noise", "batch noise 4:noise cannot be trained under; give a batch size"),
        ("batch", "0", "out of range"),
    ],
)
def test_what_cannot_be_trained_under_is_refused(
    noise: str | None, severity: str | None, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        parse_train_noise(noise, severity)


def test_instance_norm_is_disturbed_too() -> None:
    network = new_network(StyleRecipe(norm="in", width=4, blocks=0)).train()
    assert any(isinstance(m, nn.InstanceNorm2d) for m in network.modules())
    context = TrainNoise(RandomNoise(0.5)).context(0)
    assert context is not None
    with context(network, 0):
        noisy = network(images())
    assert math.sqrt((noisy - network(images())).square().mean().item()) > 1e-3
