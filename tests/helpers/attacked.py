"""Small models to attack, and whether an attack left them as they were."""

import torch
from torch import nn

from asr_core.models import Normalized

SIDE = 6


def random(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def linear(classes=2):
    """Logits that are linear in the image."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, classes)).double()


def net():
    """Normalisation, convolutions, batch norm in train mode, dropout; one parameter frozen."""
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Conv2d(8, 8, 3, bias=False),
        nn.BatchNorm2d(8),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(8 * (SIDE - 4) ** 2, 5),
    )
    layers[4].weight.requires_grad_(False)
    with torch.no_grad():
        layers(random(16, 3, SIDE, SIDE).float())
        layers[-1].weight.mul_(4)
    return Normalized(layers, (0.5, 0.4, 0.3), (0.2, 0.3, 0.25)).double()


def batch(n=8, seed=1):
    labels = torch.randint(5, (n,), generator=torch.Generator().manual_seed(seed))
    return random(n, 3, SIDE, SIDE, seed=seed), labels


def state(model):
    return (
        {key: value.clone() for key, value in model.state_dict().items()},
        [module.training for module in model.modules()],
        [(p.requires_grad, p.grad is None) for p in model.parameters()],
        torch.get_rng_state(),
    )


def assert_as_before(model, before):
    (tensors, *facts, random_state), (tensors_now, *facts_now, random_now) = before, state(model)
    assert facts == facts_now
    assert torch.equal(random_state, random_now)
    assert all(torch.equal(tensors[key], tensors_now[key]) for key in tensors)
