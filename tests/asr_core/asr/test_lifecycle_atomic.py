"""Inserting and fusing made to fail at every step: the model is as it was, bit for bit."""

import inspect
import sys

import pytest
import torch
from small_net import net
from torch import nn
from torch.overrides import TorchFunctionMode

import asr_core.asr.lifecycle
from asr_core import fuse_asr, insert_asr

OPTIONS = {
    "attention": "ie",
    "targets": ["0", "3", "4", "attention"],  # 4 gets γ and β, attention has a host
    "shared": [["3", "4"]],
    "create_affine": True,
}


def model():
    made = net().double()
    made[0].weight.requires_grad_(False)
    made.add_module("attention", nn.MultiheadAttention(4, 2).double())
    made[0].register_forward_pre_hook(print)
    made[4].register_forward_hook(print)
    made[3].weight.grad = torch.ones(6, 8, 3, 3, dtype=torch.float64)
    return made.eval()


def everything(root):
    """Attributes of all modules, by identity, and the values of all tensors."""
    attributes, tensors = [], []
    for module in root.modules():
        attributes.append(module.__class__)
        for name, value in vars(module).items():
            inside = list(value.items()) if isinstance(value, dict) else value
            attributes.append((name, id(value) if isinstance(value, dict) else None, inside))
    for name, tensor in [*root.named_parameters(), *root.named_buffers()]:
        values = tensor.detach().clone().view(-1).view(torch.uint8).tolist()
        grad = None if tensor.grad is None else tensor.grad.tolist()
        strides = tensor.stride(), tensor.data_ptr()
        tensors.append((name, id(tensor), values, grad, strides, tensor.requires_grad))
    return attributes, tensors


class Stop(BaseException):
    """As sudden as Ctrl-C, and no Exception."""


class AtCall:
    """Raises at the k-th call of a function of ours, or of torch.nn, in its body."""

    def __init__(self, number):
        self.number = number
        self.seen = 0

    def __enter__(self):
        sys.setprofile(self._see)
        return self

    def __exit__(self, *error):
        sys.setprofile(None)

    def _see(self, frame, event, arg):
        file = frame.f_code.co_filename
        ours = ("asr_core" in file and file != __file__) or "torch/nn/" in file
        # An error in a generator that is closed because nobody has it any more goes nowhere.
        if event == "call" and ours and not frame.f_code.co_flags & inspect.CO_GENERATOR:
            self.seen += 1
            if self.seen == self.number:
                raise Stop


class AtTorch(TorchFunctionMode):
    """Raises at the k-th function of torch that is called on a tensor, before it or after it."""

    def __init__(self, number, after=False):
        super().__init__()
        self.number, self.after = number, after
        self.seen = 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        self.seen += 1
        result = None
        if self.seen != self.number or self.after:
            result = function(*args, **(kwargs or {}))
        if self.seen == self.number:
            raise Stop
        return result


FAULTS = {
    "call": AtCall,
    "before torch": AtTorch,
    "after torch": lambda number: AtTorch(number, after=True),
}


def gated():
    made = model()
    report = insert_asr(made, **OPTIONS)
    for parameter in report.parameters():
        parameter.data.add_(0.1)
        parameter.grad = torch.ones_like(parameter)
    return made


def inserting(preserve):
    return lambda victim: insert_asr(victim, **OPTIONS, preserve=preserve)


ACTIONS = {
    "insert": (model, inserting(False)),
    "insert, preserve": (model, inserting(True)),
    "fuse": (gated, lambda victim: fuse_asr(victim, inplace=True)),
}


def steps(fault, monkeypatch, make, act):
    """How many steps there are, and which of them is the first after the decisions."""
    counting, begin, fresh = FAULTS[fault](0), [], make()
    guard = asr_core.asr.lifecycle.all_or_nothing

    def noticing(*args):
        begin.append(counting.seen)
        return guard(*args)

    with monkeypatch.context() as patch, counting:
        patch.setattr(asr_core.asr.lifecycle, "all_or_nothing", noticing)
        act(fresh)
    return begin[0], counting.seen


def fail_at(fault, numbers, make, act):
    victim = make()
    before = everything(victim)
    for number in numbers:
        try:
            with pytest.raises(Stop), FAULTS[fault](number):
                act(victim)
        finally:
            torch.set_grad_enabled(True)  # the fault may have hit what restores it
        assert everything(victim) == before, number
    act(victim)
    assert everything(victim) != before


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_failure_at_a_step_leaves_the_model_as_it_was(monkeypatch, fault, action):
    begin, end = steps(fault, monkeypatch, *ACTIONS[action])
    assert 0 < begin < end
    some = [*range(1, begin, begin // 5), *range(begin, end, max((end - begin) // 30, 1))]
    fail_at(fault, some, *ACTIONS[action])


@pytest.mark.slow
@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_failure_at_every_step_leaves_the_model_as_it_was(monkeypatch, fault, action):
    begin, end = steps(fault, monkeypatch, *ACTIONS[action])
    fail_at(fault, [*range(1, begin, 7), *range(begin, end + 1)], *ACTIONS[action])
