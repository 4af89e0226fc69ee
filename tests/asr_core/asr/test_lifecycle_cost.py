"""What gates cost, counted in operations: nothing at the size of a feature map, nothing fused."""

import copy
from collections import Counter

import pytest
import torch
from representative import some_of
from small_backbones import EVERY_NAME, STOCK_MODE, images, small
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from asr_core import fuse_asr, insert_asr
from asr_core.asr.parametrization import gated_layers
from asr_core.models import resnet_cifar

BATCH = 7  # no layer's width, so that the batch is known by it


class Operations(TorchDispatchMode):
    """Counts the operations on tensors, by name and by the shapes of what goes in."""

    def __init__(self):
        super().__init__()
        self.seen = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
        self.seen[str(function), tuple(tuple(t.shape) for t in tensors)] += 1
        return function(*args, **(kwargs or {}))


def training_step(model):
    with Operations() as operations:
        model(images(BATCH)).square().sum().backward()
    return operations.seen


def on_the_batch(seen):
    """Those that read something with an image's worth of values for each image."""
    return Counter(
        {
            key: count
            for key, count in seen.items()
            if any(shape[:1] == (BATCH,) and len(shape) > 2 for shape in key[1])
        }
    )


@pytest.mark.parametrize("name", EVERY_NAME)
def test_gates_add_no_operation_on_feature_maps(name):
    plain = training_step(small(name, "plain").train())
    gated = training_step(small(name, "asr").train())
    assert sum(gated.values()) > sum(plain.values())
    assert on_the_batch(gated) == on_the_batch(plain)
    assert sum(on_the_batch(plain).values()) > 10


def test_a_gate_on_the_output_would():
    model = small("vgg19_bn").train()
    plain = training_step(model)
    model.features[1].register_forward_hook(lambda m, args, out: out * out.new_ones(1, 4, 1, 1))
    assert on_the_batch(training_step(model)) != on_the_batch(plain)


class Published(nn.Module):
    """bn(x) × attention(ψ), with the modules of a gated layer's gate."""

    def __init__(self, bn, gate):
        super().__init__()
        self.bn, self.gate = bn, copy.deepcopy(gate)

    def forward(self, x):
        return self.bn(x) * self.gate.attention[0](self.gate.psi)


MORE = 5
"""Operations of a step, for each gate, that ASR may add to those of the published form.

v multiplies γ and β where the published form has one product: one more forward and two backward,
and the sum of both gradients of v. v becomes a vector, and its gradient is shaped back. The
published form's sum over the feature map is saved.
"""


@pytest.mark.parametrize("depth", some_of([11, 20], [11]))
def test_a_step_adds_few_operations_to_those_of_the_published_form(depth):
    plain = resnet_cifar(depth, 5)
    asr = copy.deepcopy(plain)
    insert_asr(asr, targets="layer*.bn3")
    published = copy.deepcopy(plain)
    gates = dict(gated_layers(asr))
    for name, layer in gates.items():
        parent, child = published.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2]
        setattr(parent, child, Published(getattr(parent, child), layer.asr))
    counts = [sum(training_step(m.train()).values()) for m in (plain, published, asr)]
    assert counts[0] < counts[1]
    assert counts[2] - counts[1] <= MORE * len(gates)


@pytest.mark.parametrize("name", EVERY_NAME)
@pytest.mark.parametrize("mode", ["asr", "both"])
def test_the_fused_model_runs_the_operations_of_the_stock_one(name, mode):
    gated = small(name, mode).eval()
    seen = []
    for model in (small(name, STOCK_MODE[mode]).eval(), fuse_asr(gated), gated):
        with Operations() as operations, torch.inference_mode():
            model(images())
        seen.append(operations.seen)
    stock, fused, unfused = seen
    assert len(list(gated_layers(gated))) > 0
    assert fused == stock != unfused
