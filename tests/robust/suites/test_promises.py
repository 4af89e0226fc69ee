"""What every suite promises, suite by suite: cost, memory, and a model that is left as it was."""

import itertools
import weakref

import pytest
import torch
from small_suite import COUNT, Seen, data
from torch import nn
from torch.nn.utils import parametrize

from asr_core import fuse_asr, insert_asr
from asr_core.data import MemorySplit
from robust.norm_noise import parse_severity, parse_statistics
from robust.suites import SUITES, Answers, Samples, SuiteOptions, make_suite, run_suite

ADAPTED = ["corruptions, adapted", "norm-noise, adapted"]
SLOW = ("adversarial-strong", "adversarial, adapted", "adversarial-strong, adapted")
NAMES = [
    pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW))
    for name in (*SUITES.names(), *ADAPTED, "adversarial, adapted", "adversarial-strong, adapted")
]
CHEAP = ["corruptions", "norm-noise", "norm-statistics", *ADAPTED]
"""Suites of one forward pass a condition; those of the others are counted in their own tests."""
STATISTICS = tuple(map(parse_statistics, ("batch:4", "blend:2:4", "re-estimated")))


def suite(name, **options):
    """One severity of each corruption, all conditions of the others."""
    name, _, adapted = name.partition(", ")
    fewer = {"severities": ("3",)} if name == "corruptions" else {}
    added = {"statistics": STATISTICS} if adapted else {}
    return make_suite(name, SuiteOptions(data=data(), **fewer, **added, **options))


def run(name, model, *, batch_size=5, **options):
    return run_suite(model, data().test, suite(name), batch_size=batch_size, **options)


def gated():
    """A network with a gate that is not 1, whose answers are easily changed."""
    model = Seen()
    report = insert_asr(model, attention="se", targets=["body.1"])
    with torch.no_grad():
        for parameter in report.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
        model.body[-1].weight.mul_(10)
    return model


# --- the model is as it was -----------------------------------------------------------------------


def used():
    """In the middle of a training: gradients, modes that differ, a frozen weight, a hook."""
    model = gated().train()
    model(data().test.test_batch(torch.arange(4))).sum().backward()
    model.body[2].eval()
    model.body[0].weight.requires_grad_(False)
    model.body[0].register_forward_hook(lambda *_: None)
    return model


def state(model):
    """All there is of a model, the tensors as objects and as values."""
    modules = dict(model.named_modules())
    tensors = dict(itertools.chain(model.named_parameters(), model.named_buffers()))
    return (
        {name: (id(t), t.requires_grad) for name, t in tensors.items()},
        {name: (id(p.grad)) for name, p in model.named_parameters()},
        {name: (type(m), m.training, tuple(m._forward_hooks)) for name, m in modules.items()},
        {name: tuple(m._forward_pre_hooks) for name, m in modules.items()},
        {name: (m.momentum, m.track_running_stats) for name, m in modules.items()
         if isinstance(m, nn.BatchNorm2d)},
        [name for name, m in modules.items() if parametrize.is_parametrized(m)],
    )  # fmt: skip


def values(model):
    tensors = itertools.chain(model.named_parameters(), model.named_buffers())
    grads = ((f"{n}.grad", p.grad) for n, p in model.named_parameters() if p.grad is not None)
    return {name: tensor.detach().clone() for name, tensor in itertools.chain(tensors, grads)}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "fails_at", [None, 2, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 5))]
)
def test_the_model_is_as_it_was_also_after_an_exception(name, fails_at):
    """The first batch under a condition fails, or a later one; of norm-statistics the second batch
    is one that statistics are estimated from."""
    model = used()
    before, numbers = state(model), values(model)
    assert len(before[-1]) == 1
    assert any(key.endswith(".grad") for key in numbers)
    conditions, passes = [], []

    def told(condition, count):
        conditions.append(condition)

    def fail(module, inputs):
        if conditions:  # the clean pass is over
            passes.append(1)
            if len(passes) == fails_at:
                raise KeyError("stop")

    random_state = torch.get_rng_state()
    # inside the network, so that the suite's own hooks are in place when it breaks
    handle = model.body[3].register_forward_pre_hook(fail)
    if fails_at is None:
        run(name, model, on_batch=told)
    else:
        with pytest.raises(KeyError, match="stop"):
            run(name, model, on_batch=told)
        assert len(passes) == fails_at
    handle.remove()
    model.images.clear()
    assert state(model) == before
    after = values(model)
    assert after.keys() == numbers.keys()
    assert all(torch.equal(after[key], numbers[key]) for key in numbers)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert torch.is_grad_enabled()


# --- fused and unfused ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_fused_and_unfused_give_the_same_bits_under_every_condition(name):
    model = gated().eval()
    plain = fuse_asr(model)
    chosen, split = suite(name), data().test
    indices = torch.arange(COUNT)
    images, labels = split.test_batch(indices), split.labels
    moved = set()
    for condition in chosen.conditions():
        logits = []
        for network in (model, plain):
            with torch.no_grad(), chosen.context(condition, network):
                found = chosen.apply(condition, network, Samples(images, indices, labels))
                logits.append(found.logits if isinstance(found, Answers) else found)
        assert torch.equal(*logits), condition
        moved.add(logits[0].sum().item())
    assert len(moved) > 1, "the conditions make no difference"


# --- cost and memory ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CHEAP)
def test_each_condition_costs_one_pass_and_clean_images_one(name):
    """But for noise images as companions, whose batches hold one image under test each."""
    model, ends = Seen(), []
    found = run_suite(
        model,
        data().test,
        suite(name, repeats=2),
        batch_size=4,
        on_batch=lambda condition, _: ends.append((condition, sum(map(len, model.images)))),
    )
    seen, start = {}, 0
    for condition, end in dict(ends).items():
        seen[condition], start = end - start, end
    assert list(seen) == [outcome.condition for outcome in found.outcomes]
    for condition, images in seen.items():
        expected = COUNT
        if condition.kind == "batch":
            severity = parse_severity("batch", condition.severity)
            expected *= severity.size if severity.companions == "noise" else 1
        if condition.statistics == "re-estimated":
            expected += len(data().train)  # what they are estimated from
        assert images == expected, condition
    assert max(condition.repeat for condition in seen) == 1


class Watched(Seen):
    """Counts how many of its batches and logits are still held by anyone when the next comes."""

    def __init__(self):
        super().__init__()
        self.held, self.most = [], 0

    def forward(self, images):
        self.most = max(self.most, sum(ref() is not None for ref in self.held))
        logits = self.body(images)
        self.held += [weakref.ref(images), weakref.ref(logits)]
        return logits


@pytest.mark.parametrize("name", [*CHEAP, pytest.param("adversarial", marks=pytest.mark.slow)])
def test_neither_images_nor_logits_are_kept(name):
    """With six times the batches no more tensors are alive at once."""
    most = []
    for batch_size in (COUNT, 2):
        model = Watched()
        run(name, model, batch_size=batch_size)
        most.append(model.most)
    assert len(model.held) > 20
    assert max(most) <= 4


def test_images_are_read_a_batch_at_a_time():
    """No batch is asked for before the one before was tested."""

    class Told(MemorySplit):
        def test_stream(self, requests):
            for request in requests:
                events.append("read")
                yield from super().test_stream([request])

    events = []
    model, given = Seen(), data().test
    model.register_forward_pre_hook(lambda *_: events.append("tested"))
    split = Told(given.images, given.labels)
    for name in CHEAP:
        events.clear()
        run_suite(model, split, suite(name), batch_size=4)
        # statistics are re-estimated from another split
        assert events.count("read") >= len(suite(name).conditions()) * COUNT // 4
        assert ["read", "read"] not in [events[i : i + 2] for i in range(len(events))]
