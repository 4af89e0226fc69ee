"""asr_core.graph.trace.trace_all: what a forward does, with what, whatever it is given."""

import pytest
import torch
from torch import nn

from asr_core.errors import TargetError
from asr_core.graph.trace import same_steps, state_of, trace_all


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.bn, self.act = nn.BatchNorm1d(4), nn.ReLU()
        self.spare = torch.ones(4)

    def forward(self, x, plain=False, shift=None, scale=1.0):
        x = x if plain else self.bn(x)
        return self.act(x * scale + (self.spare if shift is None else shift))


def called(graph):
    return [node.target for node in graph.nodes if node.op == "call_module"]


def read(graph):
    return [node.target for node in graph.nodes if node.op == "get_attr"]


def test_a_graph_for_each_choice_of_optional_arguments():
    graphs = trace_all(Net())
    assert len(graphs) == 8
    assert [len(called(graph)) for graph in graphs] == [2, 2, 2, 2, 1, 1, 1, 1]
    assert [len(read(graph)) for graph in graphs] == [1, 1, 0, 0] * 2


def test_what_is_called_and_read_is_told():
    model = Net().train()
    graph, *_ = trace_all(model)
    states = {n.target: n.meta["state"] for n in graph.nodes if n.op == "call_module"}
    assert states == {"bn": (False, state_of(model.bn)), "act": (False, state_of(model.act))}
    (tensor,) = (n.meta["tensor"] for n in graph.nodes if n.op == "get_attr")
    assert tensor is model.spare
    assert model.bn.training


def test_the_state_is_that_of_settings_and_tensors():
    layer = nn.BatchNorm1d(4)
    before = state_of(layer)
    assert state_of(layer.eval()) == before
    layer.eps = 0.1
    assert state_of(layer) != before
    layer.eps = 1e-5
    assert state_of(layer) == before
    layer.running_mean = layer.running_mean.clone()
    assert state_of(layer) != before


def test_too_many_choices():
    class Many(nn.Module):
        def forward(self, x, a=1, b=1, c=1, d=1, e=1):
            return x

    with pytest.raises(TargetError, match="5 optional arguments have too many combinations"):
        trace_all(Many())


def test_a_choice_that_cannot_be_traced():
    class Deep(nn.Module):
        def forward(self, x, depth=2):
            for _ in range(depth):
                x = x.sin()
            return x

    with pytest.raises(TargetError, match="cannot trace it"):
        trace_all(Deep())


def test_steps_are_compared_whatever_modules_do():
    class Inner(nn.Module):
        def forward(self, x):
            return x.sin().cos()

    def steps(*layers, whole=()):
        return trace_all(nn.Sequential(*layers), whole)

    assert same_steps(steps(nn.ReLU(), nn.Identity()), steps(nn.Linear(3, 3), nn.GELU()))
    assert not same_steps(steps(nn.ReLU()), steps(nn.ReLU(), nn.ReLU()))
    assert not same_steps(steps(nn.ReLU()), steps(Inner()))
    assert same_steps(steps(nn.ReLU()), steps(Inner(), whole={"0"}))
