"""What a constant scale on a batch norm is: the plain norm with another start and step size.

With γ = s·u and β = s·w, where the optimizer holds u and w, a gradient in u is s times that in γ,
and a step in u moves γ by s times as much (the identity of RepOptimizers, Ding et al., ICLR 2023).
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from asr_core import fuse_asr, insert_asr

STEPS = 40
PSI = -0.4
S = torch.tensor(PSI, dtype=torch.float32).double().sigmoid().item()
LR = 0.05
Optimizer = Callable[[Any], torch.optim.Optimizer]


def net() -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.BatchNorm2d(8),
        nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4),
    ).double()  # fmt: skip
    for norm in (model[1], model[4]):
        nn.init.normal_(norm.weight, 1.0, 0.3)
        nn.init.normal_(norm.bias, 0.0, 0.3)
    return model


def path(model: nn.Sequential, optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """The losses and the effective γ and β of each step; other images in each."""
    seen = []
    for step in range(STEPS):
        chance = torch.Generator().manual_seed(step)
        x = torch.rand(8, 3, 8, 8, dtype=torch.float64, generator=chance)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model.train()(x), torch.arange(8) % 4)
        loss.backward()
        optimizer.step()
        affine = [p for norm in (model[1], model[4]) for p in (norm.weight, norm.bias)]
        seen.append(torch.cat([loss.reshape(1), *affine]).detach().clone())
    return seen


def scaled(make: Optimizer) -> list[Tensor]:
    """Under ``const``, every parameter with the same options."""
    model = net()
    insert_asr(model, "const", targets=["1", "4"], psi=PSI)
    assert torch.allclose(model[1].weight, S * net()[1].weight, rtol=1e-12)
    return path(model, make(list(model.parameters())))


def plain(make: Optimizer, **norms: float) -> list[Tensor]:
    """From s·γ and s·β, with the options ``norms`` for them."""
    model = net()
    insert_asr(model, "const", targets=["1", "4"], psi=PSI)
    model = fuse_asr(model)  # type: ignore[assignment]
    own = [p for norm in (model[1], model[4]) for p in (norm.weight, norm.bias)]
    others = [p for p in model.parameters() if all(p is not each for each in own)]
    return path(model, make([{"params": others}, {"params": own, **norms}]))


def apart(a: list[Tensor], b: list[Tensor]) -> float:
    return max((x - y).abs().max().item() for x, y in zip(a, b, strict=True))


def sgd(**options: Any) -> Optimizer:
    return lambda parameters: torch.optim.SGD(parameters, lr=LR, **options)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"momentum": 0.9},
        {"momentum": 0.9, "nesterov": True},
        {"momentum": 0.9, "dampening": 0.5},
    ],
    ids=["sgd", "momentum", "nesterov", "dampening"],
)
def test_under_sgd_it_is_the_start_and_the_learning_rate(options: dict[str, Any]) -> None:
    const = scaled(sgd(**options))
    assert apart(const, plain(sgd(**options), lr=LR * S**2)) <= 1e-12
    assert apart(const, plain(sgd(**options))) > 1e-3, "the learning rate matters"
    assert apart(const[:1], const[-1:]) > 1e-2, "it learns"


def test_weight_decay_of_what_is_stored_is_that_of_the_product_over_s_squared() -> None:
    """λ·u in u's gradient is λ/s in γ's, and s² λ/s² = λ: rate times decay stays as it was."""
    options = {"momentum": 0.9, "weight_decay": 0.02}
    const = scaled(sgd(**options))
    assert apart(const, plain(sgd(**options), lr=LR * S**2, weight_decay=0.02 / S**2)) <= 1e-12
    assert apart(const, plain(sgd(**options), lr=LR * S**2)) > 1e-4, "λ itself is too small"


def test_under_adam_the_rate_is_times_s() -> None:
    """The step has no gradient's scale but ε's; AdamW's decay, apart from the step, is λ/s."""

    def adamw(eps: float) -> Optimizer:
        return lambda parameters: torch.optim.AdamW(parameters, lr=LR, eps=eps, weight_decay=0.02)

    const = scaled(adamw(1e-6))
    norms = {"lr": LR * S, "weight_decay": 0.02 / S, "eps": 1e-6 / S}
    assert apart(const, plain(adamw(1e-6), **norms)) <= 1e-9
    assert apart(const, plain(adamw(1e-6), **{**norms, "lr": LR * S**2})) > 1e-3
