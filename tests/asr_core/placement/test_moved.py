"""Gates on norms without γ: v goes into the layers that read them, or nowhere."""

import contextlib
import copy
import json

import pytest
import torch
from by_hooks import multiply_outputs
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_cases import randomise
from small_net import assert_unchanged, snapshot
from torch import nn

from asr_core import asr_config, check_parity, fuse_asr, insert_asr, place
from asr_core.errors import InputError, TargetError


def image(channels=3, size=12):
    generator = torch.Generator().manual_seed(3)
    return torch.randn(2, channels, size, size, generator=generator, dtype=torch.float64)


def tokens():
    return torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def line(*layers):
    return nn.Sequential(nn.Conv2d(3, 8, 3), *layers)


def check(build, x, **options):
    """Insert, compare with hooks on the norms, fuse, load into a stock model; returns the report.

    Args:
        build: makes the stock model.
        x: an input.
        options: of insert_asr.
    """

    def fresh():
        torch.manual_seed(0)
        return build().double()

    plain = fresh()
    randomise(plain, std=0.5)
    model = fresh()
    model.load_state_dict(plain.state_dict())
    report = insert_asr(model, **options)
    for position in report.positions:
        randomise(position.gate, std=0.6)
    wanted = copy.deepcopy(plain)
    multiply_outputs(wanted, report.positions)
    fused = fuse_asr(model)
    stock = fresh()
    assert list(fused.state_dict()) == list(stock.state_dict())
    assert [type(m) for m in fused.modules()] == [type(m) for m in stock.modules()]
    assert repr(fused) == repr(stock)
    stock.load_state_dict(fused.state_dict(), strict=True)
    for mode in (True, False):
        # Copies, since a forward in train mode moves running statistics.
        given_, after, raw = (
            copy.deepcopy(m).train(mode)(x) for m in (model, wanted, plain.train(mode))
        )
        scale = after.abs().max()
        assert (raw - after).abs().max() > 1e-3 * scale, "the gates do nothing"
        assert (given_ - after).abs().max() <= 1e-12 * scale
        for other in (fused, stock):
            assert (copy.deepcopy(other).train(mode)(x) - after).abs().max() <= 1e-12 * scale
    again = fresh()
    insert_asr(again, **json.loads(json.dumps(asr_config(model))))
    again.load_state_dict(model.state_dict(), strict=True)
    assert torch.equal(again.eval()(x), model.eval()(x))
    return report


NORMS = {
    "batch norm": lambda: nn.BatchNorm2d(8, affine=False),
    "batch norm, batch statistics": lambda: nn.BatchNorm2d(
        8, affine=False, track_running_stats=False
    ),
    "sync batch norm": lambda: nn.SyncBatchNorm(8, affine=False),
    "instance norm": lambda: nn.InstanceNorm2d(8),
    "instance norm, running statistics": lambda: nn.InstanceNorm2d(8, track_running_stats=True),
    "group norm": lambda: nn.GroupNorm(2, 8, affine=False),
}


@pytest.mark.parametrize("norm", NORMS)
def test_v_goes_into_the_layer_behind_each_norm(norm):
    report = check(lambda: line(NORMS[norm](), nn.ReLU(), nn.Conv2d(8, 4, 3)), image())
    (position,) = report.positions
    assert (position.name, position.side, position.norms) == ("3", "input", ("1",))
    assert (position.axis, position.channels, position.created) == (1, 8, ())
    assert not report.refusals
    assert "v of '1', without γ, is in the inputs of '3'" in repr(report)
    assert "3 (input)" in repr(report)


@pytest.mark.parametrize("make", [nn.LayerNorm, nn.RMSNorm])
def test_norms_on_the_last_axis(make):
    report = check(
        lambda: nn.Sequential(
            nn.Linear(8, 6), make(6, elementwise_affine=False), nn.ReLU(), nn.Linear(6, 3)
        ),
        tokens(),
    )
    assert [(p.name, p.axis, p.norms) for p in report.positions] == [("3", -1, ("1",))]


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.LayerNorm(6, bias=False),
        lambda: nn.RMSNorm(6),
        lambda: nn.Sequential(nn.LayerNorm(6)),
    ],
)
def test_a_norm_with_gamma_alone_takes_v_itself(make):
    report = check(
        lambda: nn.Sequential(nn.Linear(8, 6), make(), nn.ReLU(), nn.Linear(6, 3)), tokens()
    )
    assert [p.side for p in report.positions] == ["output"]
    assert [p.created for p in report.positions] == [()]


def test_one_and_three_dimensions():
    for dims, norm in ((1, nn.InstanceNorm1d(4)), (3, nn.BatchNorm3d(4, affine=False))):
        conv = getattr(nn, f"Conv{dims}d")
        x = torch.randn(2, 3, *[5] * dims, dtype=torch.float64)
        report = check(
            lambda conv=conv, norm=norm: nn.Sequential(
                conv(3, 4, 1), copy.deepcopy(norm), nn.LeakyReLU(), conv(4, 2, 2, groups=2)
            ),
            x,
        )
        assert report.names == ["3"]


READERS = {
    "conv": lambda: nn.Conv2d(8, 6, 3, padding=1),
    "no bias": lambda: nn.Conv2d(8, 6, 3, bias=False, padding_mode="reflect", padding=1),
    "grouped": lambda: nn.Conv2d(8, 6, 3, groups=2),
    "depthwise": lambda: nn.Conv2d(8, 16, 3, groups=8),
    "transposed": lambda: nn.ConvTranspose2d(8, 6, 3, stride=2),
    "transposed, grouped": lambda: nn.ConvTranspose2d(8, 6, 3, groups=2),
    "transposed, depthwise": lambda: nn.ConvTranspose2d(8, 8, 2, groups=8),
    "padded": lambda: nn.Sequential(nn.ReflectionPad2d(1), nn.Dropout(0.0), nn.Conv2d(8, 2, 3)),
    "pooled": lambda: nn.Sequential(nn.MaxPool2d(2), nn.AvgPool2d(2), nn.Conv2d(8, 2, 1)),
    "upsampled": lambda: nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(8, 2, 1)),
    "classifier": lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("delta", [1, 2])
def test_every_reading_layer(reader, delta):
    report = check(
        lambda: line(nn.InstanceNorm2d(8), nn.ReLU(), READERS[reader]()), image(), delta=delta
    )
    (position,) = report.positions
    assert position.side == "input"
    assert position.channels == 8
    assert position.norms == ("1",)


@pytest.mark.parametrize(
    "flatten",
    [
        lambda x: torch.flatten(x, 1),
        lambda x: x.flatten(start_dim=1),
        lambda x: torch.flatten(x, 1, end_dim=-1),
    ],
)
def test_a_flatten_in_the_forward(flatten):
    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 8, 3), nn.InstanceNorm2d(8)
            self.fc = nn.Linear(8, 2)

        def forward(self, x):
            x = self.norm(self.conv(x)).relu()
            return self.fc(flatten(nn.functional.adaptive_avg_pool2d(x, 1)))

    assert check(Classifier, image()).names == ["fc"]


class Fork(nn.Module):
    """One norm that two layers read."""

    def __init__(self, b=None):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 3), nn.InstanceNorm2d(8)
        self.a, self.b = nn.Conv2d(8, 4, 1), b or nn.Conv2d(8, 4, 1)

    def forward(self, x):
        x = self.norm(self.conv(x)).relu()
        return torch.cat([self.a(x), self.b(x)], 1)


def test_two_readers_have_one_gate():
    report = check(Fork, image())
    assert report.names == ["a", "b"]
    assert report.positions[1].gate.leader is report.positions[0].gate
    fork = Fork()
    before = snapshot(fork)
    with pytest.raises(InputError, match=r"\['a', 'b'\] read one norm and must share its gate"):
        insert_asr(fork, shared=[["a"]])
    assert_unchanged(fork, before)


class Branches(nn.Module):
    """RepVGG's sum of norms; the second may have γ."""

    def __init__(self, affine=False):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(3, 8, 1)
        self.bn1, self.bn2 = nn.BatchNorm2d(8, affine=False), nn.BatchNorm2d(8, affine=affine)
        self.last = nn.Conv2d(8, 4, 3)

    def forward(self, x):
        return self.last((self.bn1(self.conv1(x)) + self.bn2(self.conv2(x))).relu())


@pytest.mark.parametrize("affine", [False, True])
def test_a_sum_of_norms(affine):
    report = check(lambda: Branches(affine), image())
    assert [(p.name, p.norms) for p in report.positions] == [("last", ("bn1", "bn2"))]


def test_norms_with_and_without_gamma_in_one_net():
    report = check(
        lambda: line(
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3),
            nn.BatchNorm2d(8, affine=False),
            nn.ReLU(),
            nn.Conv2d(8, 4, 1),
        ),
        image(),
    )
    assert [(p.name, p.side) for p in report.positions] == [("1", "output"), ("6", "input")]


def test_the_public_style_network_with_norms_as_torch_makes_them():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.in1 = nn.Conv2d(8, 8, 3, padding=1), nn.InstanceNorm2d(8)
            self.conv2, self.in2 = nn.Conv2d(8, 8, 3, padding=1), nn.InstanceNorm2d(8)

        def forward(self, x):
            return x + self.in2(self.conv2(self.in1(self.conv1(x)).relu()))

    report = check(lambda: line(nn.InstanceNorm2d(8), nn.ReLU(), Block()), image())
    assert [p.norms for p in report.positions] == [("3.in1",)]
    # Each is read by an add, whose other term has no v.
    assert [r.name for r in report.refusals] == ["3.in2", "1"]
    assert all("'add' reads something else as well" in r.reason for r in report.refusals)


# --- what is refused ------------------------------------------------------------------------------


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.conv = nn.InstanceNorm2d(3), nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        return self.conv(self.conv(self.norm(x).relu()))


def tied():
    model = line(nn.InstanceNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3))
    model[4].weight = model[3].weight
    return model


def hooked():
    model = line(nn.InstanceNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 1))
    model[3].register_forward_pre_hook(lambda m, args: (args[0].clamp(max=0.1),))
    return model


class Standardised(nn.Conv2d):
    def forward(self, x):
        return self._conv_forward(x, self.weight / self.weight.norm(), self.bias)


class Mine(nn.BatchNorm2d):
    pass


REFUSED = {
    "gelu": lambda: line(nn.InstanceNorm2d(8), nn.GELU(), nn.Conv2d(8, 4, 1)),
    "sigmoid": lambda: line(nn.InstanceNorm2d(8), nn.ReLU(), nn.Sigmoid(), nn.Conv2d(8, 4, 1)),
    "the end": lambda: line(nn.InstanceNorm2d(8), nn.ReLU()),
    "another norm": lambda: line(
        nn.InstanceNorm2d(8), nn.ReLU(), nn.GroupNorm(2, 8), nn.Conv2d(8, 4, 1)
    ),
    "one of two readers": lambda: Fork(nn.Softmax2d()),
    "a reader that runs twice": Twice,
    "a reader with a shared weight": tied,
    "a reader with hooks": hooked,
    "a reader of its own kind": lambda: line(
        nn.InstanceNorm2d(8), nn.ReLU(), Standardised(8, 4, 1)
    ),
    "a norm of its own kind": lambda: line(Mine(8, affine=False), nn.ReLU(), nn.Conv2d(8, 4, 1)),
    "weight norm": lambda: line(
        nn.InstanceNorm2d(8),
        nn.ReLU(),
        nn.utils.parametrizations.weight_norm(nn.Conv2d(8, 4, 1)),
    ),
    "several pixels": lambda: line(
        nn.InstanceNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(800, 2)
    ),
    "samples and channels in one": lambda: line(
        nn.InstanceNorm2d(8), nn.ReLU(), nn.Flatten(0, 1), nn.Conv1d(8, 2, 1)
    ),
    # (N, C) or (N, C, L): the graph does not say, and v may belong to either axis.
    "an axis that is not known": lambda: nn.Sequential(
        nn.Linear(4, 8), nn.BatchNorm1d(8, affine=False), nn.ReLU(), nn.Linear(8, 8)
    ),
    "channels first read as last": lambda: line(nn.InstanceNorm2d(8), nn.ReLU(), nn.Linear(8, 8)),
}


@pytest.mark.parametrize("case", REFUSED)
def test_where_no_layer_behind_can_take_v_auto_says_why(case):
    model = REFUSED[case]()
    before = snapshot(model)
    with pytest.raises(TargetError) as caught:
        insert_asr(model)
    assert "has no γ for v" in str(caught.value)
    assert "create_affine=True" in str(caught.value)
    assert_unchanged(model, before)
    model.add_module("norm", nn.BatchNorm2d(8))
    names = insert_asr(model, create_affine=True).names if case != "a norm of its own kind" else []
    assert len(names) == (case != "a norm of its own kind")


@pytest.mark.parametrize("activation", ["sigmoid", "hardsigmoid", "tanh"])
def test_a_factor_that_may_be_negative_does_not_pass_relu(activation):
    def build():
        return line(
            *(nn.InstanceNorm2d(8), nn.Identity(), nn.ReLU(), nn.Conv2d(8, 8, 1)),
            *(nn.BatchNorm2d(8), nn.ReLU()),
        )

    assert [m.norms for m in place(build()).moved] == [["1"]]
    report = check(build, image(), activation=activation)
    if activation == "tanh":
        assert report.names == ["5"]
        assert [r.name for r in report.refusals] == ["1"]
        assert "'3' lets no negative factor through" in report.refusals[0].reason
    else:
        assert report.names == ["4", "5"]


@pytest.mark.parametrize("exclude", ["1", "3", ["1", "3"]])
def test_excluding_the_norm_or_its_reader(exclude):
    model = line(
        *(nn.InstanceNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 1), nn.InstanceNorm2d(8), nn.ReLU()),
        nn.Conv2d(8, 2, 1),
    )
    report = insert_asr(model, exclude=exclude)
    assert report.names == ["6"]


# --- gates on inputs by name ----------------------------------------------------------------------


def test_inputs_by_name():
    build = {"conv": nn.Conv2d(3, 4, 3), "act": nn.SiLU(), "out": nn.Conv2d(4, 2, 1)}
    report = check(
        lambda: nn.Sequential(*copy.deepcopy(list(build.values()))),
        image(),
        targets=[],
        inputs=["0", "2"],
        activation="tanh",
    )
    assert [(p.name, p.side, p.channels) for p in report.positions] == [
        ("0", "input", 3),
        ("2", "input", 4),
    ]


def test_attention_stands_for_its_output_projection():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).double().eval()
    weight = layer.self_attn.out_proj.weight.detach().clone()
    (position,) = insert_asr(layer, targets=[], inputs="self_attn").positions
    randomise(position.gate)
    assert position.name == "self_attn.out_proj"
    fused = fuse_asr(layer, example=tokens())
    assert torch.equal(fused.self_attn.out_proj.weight, weight * position.gate.scale())


def test_a_forward_that_depends_on_its_inputs_shape():
    class Padded(nn.Sequential):
        def forward(self, x):
            return super().forward(nn.functional.pad(x, (0, 1)) if x.shape[3] % 5 else x)

    layers = (nn.Conv2d(3, 8, 3), nn.InstanceNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 1))
    report = check(
        lambda: Padded(*copy.deepcopy(layers)),
        image(),
        example=torch.rand(2, 3, 12, 12, dtype=torch.float64),
    )
    assert [(p.name, p.norms) for p in report.positions] == [("3", ("1",))]


def test_inputs_and_targets_together():
    report = check(
        lambda: line(nn.BatchNorm2d(8), nn.SiLU(), nn.Conv2d(8, 2, 1)),
        image(),
        targets="1",
        inputs=lambda module, name: name == "3",
    )
    assert [(p.name, p.side) for p in report.positions] == [("1", "output"), ("3", "input")]


def test_inputs_that_take_no_gate():
    model = line(nn.BatchNorm2d(8), nn.ReLU(), Standardised(8, 4, 1))
    before = snapshot(model)
    for options, message in [
        ({"inputs": "1"}, "no gate on '1': it has no weight for each input channel"),
        ({"inputs": "3"}, "no gate on '3': the input of Standardised .* does not scale"),
        ({"inputs": "nine"}, "'nine' matches no layer"),
        ({"inputs": "0", "targets": "0"}, "'0' would get a gate on its inputs"),
        ({"inputs": []}, "leave no layer"),
    ]:
        with pytest.raises(TargetError, match=message):
            insert_asr(model, **{"targets": [], **options})
        assert_unchanged(model, before)


def test_a_subclass_that_scales_with_its_weight():
    class Doubled(nn.Conv2d):
        def forward(self, x):
            return 2 * super().forward(x)

    check(lambda: nn.Sequential(Doubled(3, 4, 3)), image(), targets=(), inputs="0")


def test_preserve_keeps_the_output():
    model = line(nn.InstanceNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3, groups=2)).double()
    before = model(image())
    insert_asr(model, preserve=True)
    assert (model(image()) - before).abs().max() <= 1e-12 * before.abs().max()


def test_training_moves_the_gate_and_the_weight():
    model = line(nn.InstanceNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3)).double()
    (position,) = insert_asr(model).positions
    start, weight = position.gate.scale().detach(), model[3].weight.detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(2):
        optimizer.zero_grad()
        model(image()).square().mean().backward()
        optimizer.step()
    assert (position.gate.scale() - start).abs().max() > 1e-4
    assert not torch.equal(model[3].weight, weight)
    assert check_parity(model, fuse_asr(model), image(), tolerance=1e-12).ok


# --- any net --------------------------------------------------------------------------------------

STEPS = {
    "relu": nn.ReLU,
    "leaky": lambda: nn.LeakyReLU(0.2),
    "prelu": lambda: nn.PReLU(8),
    "pad": lambda: nn.ReplicationPad2d(1),
    "max": lambda: nn.MaxPool2d(3, 1, 1),
    "avg": lambda: nn.AvgPool2d(3, 1, 1),
    "identity": nn.Identity,
    "gelu": nn.GELU,
    "relu6": nn.ReLU6,
    "norm": lambda: nn.GroupNorm(4, 8),
}
OBSTACLES = {"gelu", "relu6", "norm"}


@settings(max_examples=40, deadline=None)
@given(
    norm=st.sampled_from(sorted(NORMS.keys() - {"sync batch norm"})),
    steps=st.lists(st.sampled_from(sorted(STEPS)), max_size=3),
    reader=st.sampled_from(sorted(READERS)),
    activation=st.sampled_from(["sigmoid", "tanh"]),
)
def test_any_chain_is_exact_or_refused(norm, steps, reader, activation):
    def build():
        layers = [STEPS[step]() for step in steps]
        return line(NORMS[norm](), nn.ReLU(), *layers, READERS[reader](), nn.Flatten())

    if OBSTACLES.isdisjoint(steps) and activation == "sigmoid":
        assert [m.norms for m in place(build()).moved] == [["1"]]
    else:
        with contextlib.suppress(TargetError):
            assert not place(build(), positive=activation == "sigmoid").moved
        return
    check(build, image(), activation=activation)
