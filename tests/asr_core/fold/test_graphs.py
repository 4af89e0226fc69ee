"""asr_core.fold on random models: folded, it gives what it gave, or the pair was left alone."""

import itertools
from collections import Counter

import pytest
import torch
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st
from random_graphs import nets
from torch import nn

from asr_core import fold_report
from asr_core.errors import InputError
from asr_core.fold import layer, model, pairs
from asr_core.fold.pairs import Pairs
from asr_core.modules.copies import copy_model
from asr_core.placement import changes
from asr_core.placement.changes import Changes

GRAPHS = 150
TOLERANCE = 1e-10
PLAIN = settings(
    max_examples=500,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
    database=None,
)
pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")


def fold(net, example):
    net, x = net
    return fold_report(net, example=x if example else None)


@torch.no_grad()
def differs(net, folded, x):
    """Both are copied: a forward may write into its model."""
    outputs = (copy_model(m).eval()(x) for m in (net, folded))
    return any(
        not (a - b).abs().max() <= TOLERANCE * a.abs().max() for a, b in zip(*outputs, strict=True)
    )


def test_a_folded_model_gives_what_it_gave():
    seen = Counter()

    @settings(PLAIN, max_examples=GRAPHS)
    @given(nets, st.booleans())
    def check(net, example):
        before = {name: t.clone() for name, t in net[0].state_dict().items()}
        report = fold(net, example)
        assert not differs(net[0], report.model, net[1])
        after = net[0].state_dict()
        assert all(torch.equal(after[name], t) for name, t in before.items())
        seen.update(graphs=1, folded=bool(report.pairs), left=bool(report.left))

    check()
    assert seen["graphs"] >= GRAPHS
    assert seen["folded"] > GRAPHS / 10, "too few were folded to show anything"
    assert seen["left"] > GRAPHS / 10


def nobody_objects(monkeypatch):
    monkeypatch.setattr(Changes, "refusal", lambda *_: "")


def hooks_and_subclasses_may(monkeypatch):
    for module in (layer, changes):
        monkeypatch.setattr(module, "unfit", lambda _: "")
    monkeypatch.setattr(changes, "own_code", lambda _: [])


def any_axis_will_do(monkeypatch):
    monkeypatch.setattr(pairs._Search, "doubtful", lambda *_: False)


def modes_are_what_they_should_be(monkeypatch):
    monkeypatch.setattr(Changes, "trains", lambda *_: False)


def neighbours_are_pairs(monkeypatch):
    """What stands side by side in a Sequential, whatever its forward."""

    def neighbours(net, *, example=None):
        found = [
            (f"{name}.{a}", f"{name}.{b}")
            for name, module in net.named_modules()
            if isinstance(module, nn.Sequential)
            for (a, first), (b, second) in itertools.pairwise(module.named_children())
            if fits(first, second)
        ]
        return Pairs(found, (), layer.fold_pairs(net, found))

    monkeypatch.setattr(model, "find_pairs", neighbours)


def fits(first, second):
    try:
        layer.fold_bn(first, second)
    except InputError:
        return False
    return True


@pytest.mark.parametrize(
    "mutation",
    [
        nobody_objects,
        hooks_and_subclasses_may,
        any_axis_will_do,
        modes_are_what_they_should_be,
        neighbours_are_pairs,
    ],
)
def test_each_condition_is_needed(monkeypatch, mutation):
    """Without it, some of these models are folded to something else."""
    mutation(monkeypatch)

    def wrong(net):
        try:
            return differs(net[0], fold(net, False).model, net[1])
        except KeyError:  # torch's, of a layer that is folded twice: loud
            return False

    find(nets, wrong, settings=PLAIN)
