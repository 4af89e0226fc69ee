import copy
import json
import math

import pytest
import torch
import torchvision
from layer_cases import randomise, times
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

import asr_core.insert
from asr_core import insert_asr
from asr_core.errors import InputError, TargetError


def net():
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
    return torch.rand(n, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=dtype)


def snapshot(model):
    """Everything about a model that an insertion could change."""
    state = {key: value.clone() for key, value in model.state_dict().items()}
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    return (
        list(state),
        [id(p) for p in model.parameters()],
        [type(m) for m in model.modules()],
        hooks,
        repr(model),
    ), state


def assert_unchanged(model, before):
    (shape, state), (shape_now, state_now) = before, snapshot(model)
    assert shape == shape_now
    assert all(torch.equal(state[key], state_now[key]) for key in state)


def test_report():
    model = net()
    before = sum(p.numel() for p in model.parameters())
    report = insert_asr(model, targets=["1", "4", "6"])
    assert report.names == ["1", "4", "6"]
    assert [p.kind for p in report.positions] == ["batch norm", "batch norm", "linear"]
    assert [p.axis for p in report.positions] == [1, 1, -1]
    assert [p.channels for p in report.positions] == [8, 6, 5]
    assert [p.created for p in report.positions] == [(), ("weight", "bias"), ()]
    hidden = 4
    sizes = [c + c * hidden + hidden + hidden * c + c for c in (8, 6, 5)]
    assert [p.gate_parameters for p in report.positions] == sizes
    assert sum(p.numel() for p in report.parameters()) == sum(sizes)
    created = 12
    assert sum(p.numel() for p in model.parameters()) == before + created + sum(sizes)
    assert {id(p) for p in report.parameters()} <= {id(p) for p in model.parameters()}
    assert model[1].asr is report.positions[0].gate
    assert not report.refusals


def test_report_is_a_plain_table():
    report = insert_asr(net(), "const", targets="*", delta=2)
    lines = repr(report).splitlines()
    assert lines[0] == (
        "ASR(attention='const', delta=2, psi=0.1, activation='sigmoid', attention_init=None)"
    )
    assert lines[1].split("  ")[0] == "position"
    assert lines[2].split() == ["0", "conv", "1", "8", "0", "-"]
    assert lines[5].split() == ["4", "batch", "norm", "1", "6", "0", "weight,", "bias"]
    assert lines[7].split() == ["5", "in", "all", "0"]
    assert lines[8].startswith("gated outputs start at 0.276 of their scale on average; for a ")
    assert lines[9] == (
        "no gate on '2': a ReLU has no output-channel parameters to fold a gate into"
    )
    assert "preserve=True" in report.note
    assert all(line == line.rstrip() for line in lines)


def test_the_control_starts_where_asr_nominally_does():
    model = net()
    insert_asr(model, "const", targets="1")
    assert torch.allclose(model[1].asr.scale(), torch.full((8,), 1 / (1 + math.exp(-0.1))))
    asr = net()
    insert_asr(asr, "se", targets="1")
    assert (model[1].asr.scale() - asr[1].asr.scale()).abs().max() < 0.2


def test_the_state_dict_holds_the_gate_once():
    model = net()
    insert_asr(model, targets="1", delta=2)
    own = [key for key in model.state_dict() if key.startswith("1.")]
    assert own == [
        "1.running_mean",
        "1.running_var",
        "1.num_batches_tracked",
        "1.asr.psi",
        *(
            f"1.asr.attention.{i}.{layer}.{tensor}"
            for i in (0, 1)
            for layer in ("reduce", "expand")
            for tensor in ("weight", "bias")
        ),
        "1.parametrizations.weight.original",
        "1.parametrizations.bias.original",
    ]


def test_v_is_computed_once_per_forward():
    model = net()
    report = insert_asr(model, targets=["1", "6"])
    calls = []
    for position in report.positions:
        position.gate.attention[0].register_forward_hook(lambda *args: calls.append(1))
    model(images())
    assert len(calls) == 2  # although each has a weight and a bias
    assert not any(position.gate.held for position in report.positions)


def test_v_is_released_when_the_forward_fails():
    model = net()
    insert_asr(model, targets="6")
    with pytest.raises(RuntimeError):
        model[6](torch.zeros(1, 7))
    assert not model[6].asr.held


def test_training_moves_every_gate():
    model = net()
    report = insert_asr(model, targets=["0", "1", "4", "6"], delta=2)
    starts = [position.gate.scale().detach() for position in report.positions]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(2):
        optimizer.zero_grad()
        model(images()).square().mean().backward()
        optimizer.step()
    for start, position in zip(starts, report.positions, strict=True):
        assert not torch.equal(start, position.gate.scale())


def test_created_parameters_are_frozen_and_belong_to_the_layer():
    model = net().double()
    (position,) = insert_asr(model, targets="4").positions
    layer = model[4]
    originals = {n: layer.parametrizations[n].original for n in ("weight", "bias")}
    assert layer.affine
    assert not any(p.requires_grad for p in originals.values())
    assert all(p.dtype is torch.float64 for p in originals.values())
    assert torch.equal(layer.weight, position.gate.scale())
    model(images(dtype=torch.float64)).sum().backward()
    assert originals["weight"].grad is None
    assert position.gate.psi.grad is not None


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_gate_takes_the_dtype_and_mode_of_its_layer(dtype):
    model = net().to(dtype).eval()
    (position,) = insert_asr(model, targets="1").positions
    assert {p.dtype for p in position.gate.parameters()} == {dtype}
    assert not position.gate.training
    assert model[1].weight.dtype is dtype


def test_frozen_layers_keep_their_flag():
    model = net().requires_grad_(False)
    report = insert_asr(model, targets="1")
    assert not model[1].parametrizations.weight.original.requires_grad
    assert all(p.requires_grad for p in report.parameters())


@pytest.mark.parametrize("delta", [1, 2])
def test_preserve_keeps_the_output(delta):
    model = net().double().eval()
    randomise(model)
    x = images(dtype=torch.float64)
    before = model(x)
    report = insert_asr(model, targets=["0", "1", "3", "4", "6"], delta=delta, preserve=True)
    assert report.preserved
    assert "unchanged" in report.note
    after = model(x)
    assert (after - before).abs().max() <= 1e-12 * before.abs().max()
    assert report.positions[0].start < 0.7  # v is not 1: the parameters were divided

    plain = net().double().eval()
    randomise(plain)
    insert_asr(plain, targets=["0", "1"])
    assert not torch.allclose(plain(x), before)


def test_preserve_refuses_a_v_that_it_cannot_divide_by():
    model = net()
    before = snapshot(model)
    with pytest.raises(InputError, match=r"at '1' it comes down to .* use sigmoid"):
        insert_asr(model, "const", targets="1", activation="tanh", psi=1e-5, preserve=True)
    with pytest.raises(InputError, match="comes down to 0 "):
        insert_asr(model, "const", targets="1", activation="tanh", psi=0.0, preserve=True)
    assert_unchanged(model, before)


def test_vit_start():
    model = nn.Sequential(nn.Linear(32, 32))
    options = {"activation": "tanh", "psi": 1e-3, "attention_init": 1e-3}
    report = insert_asr(model, targets="0", **options)
    assert all((p == 1e-3).all() for p in report.parameters())
    assert "start at 0.001" in report.note


def test_second_insertion_is_refused():
    model = net()
    insert_asr(model, targets="1")
    before = snapshot(model)
    with pytest.raises(TargetError, match=r"'1' already has ASR, δ = 1: .* larger delta"):
        insert_asr(model, targets=["0", "1"], delta=2)
    assert_unchanged(model, before)
    insert_asr(model, targets="0")  # elsewhere is fine


def test_the_gates_own_layers_are_not_targets_of_a_later_glob():
    model = net()
    insert_asr(model, targets="1")
    with pytest.raises(TargetError, match="matches no layer"):
        insert_asr(model, targets="1.asr.attention.0.reduce")
    report = insert_asr(model, targets=lambda m, name: isinstance(m, nn.Linear))
    assert report.names == ["6"]


def weight_normed(model):
    parametrizations.weight_norm(model[0])


def spectral_normed(model):
    parametrizations.spectral_norm(model[0])


def old_weight_normed(model):
    with pytest.warns(FutureWarning):
        nn.utils.weight_norm(model[0])


def old_spectral_normed(model):
    nn.utils.spectral_norm(model[0])


def pruned(model):
    prune.l1_unstructured(model[0], "weight", 0.5)


def has_asr_attribute(model):
    model[0].asr = "mine"


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (weight_normed, r"'0' is parametrized already \(weight\): remove that first"),
        (spectral_normed, r"'0' is parametrized already \(weight\)"),
        (old_weight_normed, r"'weight' of '0' is not a parameter of its own \(weight_norm"),
        (old_spectral_normed, r"'weight' of '0' is not a parameter of its own"),
        (pruned, r"'weight' of '0' is not a parameter of its own"),
        (has_asr_attribute, "'0' has an attribute 'asr' of its own"),
    ],
)
def test_layers_in_a_state_that_forbids_a_gate(prepare, message):
    model = net()
    prepare(model)
    before = snapshot(model)
    with pytest.raises(TargetError, match=message):
        insert_asr(model, targets=["1", "0"])
    assert_unchanged(model, before)


def test_shared_parameters_are_refused_with_both_names():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Embedding(4, 4))
    model[1].weight = model[0].weight
    before = snapshot(model)
    with pytest.raises(TargetError, match=r"'0\.weight' and '1\.weight' are one shared parameter"):
        insert_asr(model, targets="1")
    assert_unchanged(model, before)
    model[1].weight = model[2].weight  # tied to an embedding, which takes no gate itself
    with pytest.raises(TargetError, match=r"'1\.weight' and '2\.weight'"):
        insert_asr(model, targets="1")
    insert_asr(model, targets="0")


def test_parameters_over_the_same_memory_count_as_shared():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = nn.Parameter(model[0].weight.data)
    with pytest.raises(TargetError, match=r"'0\.weight' and '1\.weight'"):
        insert_asr(model, targets="0")


def test_a_layer_under_two_names_is_refused_with_both():
    layer = nn.Linear(4, 4)
    model = nn.ModuleDict({"a": layer, "b": nn.Sequential(nn.ReLU(), layer)})
    for targets in ("a", "b.1", "*"):
        with pytest.raises(TargetError, match=r"one layer has the names 'a' and 'b\.1'"):
            insert_asr(model, targets=targets)
    assert not parametrize.is_parametrized(layer)


class Doubled(nn.Conv2d):
    def forward(self, x):
        return super().forward(x) * 2  # scales with the weight all the same


class Activated(nn.BatchNorm2d):
    def forward(self, x):
        return super().forward(x).sigmoid()


class Standardised(nn.Conv2d):
    def forward(self, x):
        weight = self.weight / self.weight.flatten(1).norm(dim=1)[:, None, None, None]
        return self._conv_forward(x, weight, self.bias)


class Conditional(nn.Conv2d):
    def forward(self, x, style):
        return super().forward(x) * style


def test_subclasses_are_tried_on_the_output_side():
    model = nn.Sequential(Doubled(3, 4, 1))
    insert_asr(model, targets="0")
    for layer, message in [
        (Activated(4), r"the output of Activated \(a subclass of BatchNorm2d\) does not scale"),
        (Standardised(3, 4, 1), "the output of Standardised"),
        (Conditional(3, 4, 1), "Conditional .* takes none of the inputs tried"),
    ]:
        model = nn.Sequential(layer)
        before = snapshot(model)
        with pytest.raises(TargetError, match=message):
            insert_asr(model, targets="0")
        assert_unchanged(model, before)


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("stage", ["before", "after"])
def test_a_failure_half_way_leaves_the_model_as_it_was(monkeypatch, number, stage):
    model = net()
    model.add_module("attn", nn.MultiheadAttention(4, 2))
    before = snapshot(model)
    attach = asr_core.insert.attach
    calls = []

    def failing(*args):
        calls.append(1)
        if stage == "after":
            attach(*args)
        if len(calls) > number:
            raise KeyboardInterrupt
        if stage == "before":
            attach(*args)

    monkeypatch.setattr(asr_core.insert, "attach", failing)
    with pytest.raises(KeyboardInterrupt):
        insert_asr(model, targets=["1", "4", "attn"])
    assert_unchanged(model, before)
    assert not model[4].affine
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in model.modules())


def test_bad_names_are_refused_before_anything_changes():
    model = net()
    before = snapshot(model)
    with pytest.raises(InputError, match="unknown attention module 'sse'"):
        insert_asr(model, "sse", targets="1")
    with pytest.raises(InputError, match="'dia' cannot be an ASR gate"):
        insert_asr(model, "dia", targets="1")
    with pytest.raises(InputError, match="got 0"):
        insert_asr(model, targets="1", delta=0)
    assert_unchanged(model, before)


def test_initialising_after_insertion_is_not_silent():
    model = net()
    insert_asr(model, targets=["1", "6"])
    nn.init.zeros_(model[1].weight)
    with pytest.raises(InputError, match="'weight' with a gate was written in place"):
        model(images())
    model(images())  # said once; nothing was changed
    with pytest.raises(InputError, match=r"reset_parameters\(\) of a gated Linear"):
        model[6].reset_parameters()
    nn.init.zeros_(model[6].parametrizations.weight.original)
    assert torch.equal(model[6].weight, torch.zeros(5, 96))


def test_reading_an_effective_tensor_is_no_write():
    model = net()
    insert_asr(model, targets="1")
    kept = model[1].weight
    kept.square().sum().backward()
    model(images())
    copy.deepcopy(model)(images())
    with torch.inference_mode():
        model[1].weight  # noqa: B018
        model(images())


def test_zero_init_before_insertion_holds():
    model = net()
    nn.init.zeros_(model[1].weight)
    insert_asr(model, targets="1")
    assert (model[1].weight == 0).all()


def test_the_gradient_is_that_of_an_output_gate():
    model, explicit = net().double(), net().double()
    (position,) = insert_asr(model, targets="6").positions
    gate = copy.deepcopy(position.gate)
    x = images(dtype=torch.float64)
    model(x).square().sum().backward()
    (explicit(x) * gate.scale()).square().sum().backward()
    assert torch.allclose(
        model[6].parametrizations.weight.original.grad, explicit[6].weight.grad, rtol=1e-10
    )
    for ours, theirs in zip(position.gate.parameters(), gate.parameters(), strict=True):
        assert torch.allclose(ours.grad, theirs.grad, rtol=1e-10)


def test_attention_gates_the_output_projection():
    torch.manual_seed(0)
    attention = nn.MultiheadAttention(8, 2).double()
    randomise(attention)
    stock = copy.deepcopy(attention)
    (position,) = insert_asr(attention, targets="").positions
    randomise(position.gate)
    assert position.name == "out_proj"
    calls = []
    position.gate.attention[0].register_forward_hook(lambda *args: calls.append(1))
    x = torch.randn(5, 3, 8, dtype=torch.float64)
    gated = attention(x, x, x)[0]
    assert len(calls) == 1  # the projection's own forward never runs, yet v is computed once
    v = position.gate.scale().detach()
    assert torch.allclose(gated, times(stock(x, x, x)[0], v, -1), atol=1e-12)


def test_sync_batch_norm_comes_before_insertion():
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(net())
    assert insert_asr(converted, targets="1").positions[0].kind == "batch norm"
    model = net()
    insert_asr(model, targets="1")
    with pytest.raises(TypeError):  # torch's own word; at least nothing passes in silence
        nn.SyncBatchNorm.convert_sync_batchnorm(model)
    model(images())


@pytest.mark.parametrize("name", ["resnet18", "vit", "convnext"])
def test_torchvision_models(name):
    torch.manual_seed(0)
    vision = torchvision.models
    model, targets, count = {
        "resnet18": lambda: (vision.resnet18(num_classes=5), "layer*.bn2", 8),
        "vit": lambda: (
            vision.VisionTransformer(32, 16, 2, 2, 8, 16, num_classes=5),
            ["*.self_attention", "*.mlp.3"],
            4,
        ),
        "convnext": lambda: (
            vision.ConvNeXt([vision.convnext.CNBlockConfig(8, None, 2)], num_classes=5),
            ["features.0.1", "features.1.*.block.2", "features.1.*.block.5"],
            5,
        ),
    }[name]()
    before = model.eval()(torch.rand(2, 3, 32, 32))
    report = insert_asr(model, targets=targets)
    assert len(report.positions) == count
    after = model(torch.rand(2, 3, 32, 32))
    assert after.shape == before.shape
    json.dumps([(p.name, p.kind, p.axis, p.channels, p.created, p.start) for p in report.positions])


def test_amp_trains_the_gates():
    model = net()
    report = insert_asr(model, targets=["1", "6"])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = model(images())
    assert out.dtype is torch.bfloat16
    out.float().square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in report.parameters())
    assert report.positions[0].gate.psi.grad.dtype is torch.float32
