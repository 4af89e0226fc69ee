"""A small network with several kinds of layers, and what an operation on it could change."""

import torch
from torch import nn


def net():
    """Convs, norms with and without affine, a linear layer; the same each time."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 6, 3, bias=False),
        nn.BatchNorm2d(6, affine=False),
        nn.Flatten(),
        nn.Linear(6 * 16, 5),
    )


def images(n=4, dtype=torch.float32):
    """Inputs for it, (n, 3, 8, 8)."""
    return torch.rand(n, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=dtype)


def snapshot(model):
    """Everything about a model that an operation could change."""
    state = {key: value.clone() for key, value in model.state_dict().items()}
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    shape = (
        list(state),
        [(id(p), p.requires_grad) for p in model.parameters()],
        [(type(m), m.training) for m in model.modules()],
        hooks,
        repr(model),
    )
    return shape, state


def assert_unchanged(model, before):
    """The model is bit-identical to what :func:`snapshot` saw."""
    (shape, state), (shape_now, state_now) = before, snapshot(model)
    assert shape == shape_now
    assert all(torch.equal(state[key], state_now[key]) for key in state)
