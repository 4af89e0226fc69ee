import pytest
import timm
import torch
from torch import nn

from asr_core.graph.activations import ACTIVATIONS, canonical, carries_activation, is_activation


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("AdaptiveAvgPool2d", "adaptiveavgpool"),
        ("adaptive_avg_pool2d", "adaptiveavgpool"),
        ("leaky_relu_", "leakyrelu"),
        ("ReLU6", "relu6"),
        ("__iadd__", "iadd"),
    ],
)
def test_canonical(name, expected):
    assert canonical(name) == expected


def test_modules_functions_and_methods_have_one_name():
    for name in ("relu", "gelu", "silu", "hardswish", "leaky_relu", "softplus", "relu6"):
        assert canonical(getattr(nn.functional, name).__name__) in ACTIVATIONS
    assert canonical(torch.Tensor.tanh.__name__) in ACTIVATIONS


@pytest.mark.parametrize("act", ["relu", "gelu", "swish", "hard_swish", "mish", "quick_gelu"])
def test_activations_of_timm(act):
    assert is_activation(timm.layers.create_act_layer(act))


def test_gates_are_no_activations():
    assert not any(map(is_activation, (nn.Sigmoid(), nn.Hardsigmoid(), nn.Softmax(), nn.Dropout())))


def test_norms_that_carry_one():
    assert carries_activation(timm.layers.BatchNormAct2d(4))
    assert carries_activation(timm.layers.GroupNormAct(4, num_groups=2))
    assert not carries_activation(timm.layers.BatchNormAct2d(4, apply_act=False))
    assert not carries_activation(nn.BatchNorm2d(4))
