"""asr_core.saving.saved_model: a file rebuilds its model bit for bit, or says why it cannot."""

from pathlib import Path
from typing import Any

import pytest
import torch
from header import as_old_pair, change_facts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from layer_cases import randomise
from small_net import images, net
from torch import nn

from asr_core import fold_conv_bn, fuse_asr, insert_asr
from asr_core.attention import ATTENTIONS
from asr_core.errors import CheckpointError, InputError
from asr_core.models import Normalized, build_named
from asr_core.models import build as build_backbone
from asr_core.models.named import named
from asr_core.models.networks.repvgg import RepVGG
from asr_core.saving.checkpoint import load_checkpoint, load_meta
from asr_core.saving.model_facts import StockModel, facts_of
from asr_core.saving.saved_model import load_model, save_model

STOCK = StockModel("small-net", {"num_classes": 5}, (3, 8, 8))
TARGETS = ["1", "4", "6"]
GATES = [name for name in ATTENTIONS if not ATTENTIONS[name].asr_refusal]


def build(name: str, arguments: Any) -> nn.Module:
    assert name == "small-net"
    assert arguments == {"num_classes": 5}
    return net()


def trained(**options: Any) -> nn.Module:
    """The small network with gates and statistics that are nobody's initial ones."""
    model = net()
    insert_asr(model, **{"targets": TARGETS, "create_affine": True, **options})
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in model.state_dict().values():
            if value.is_floating_point():
                value.copy_(0.5 + torch.rand(value.shape, generator=generator))
    return model


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    save_model(path, trained(), STOCK)
    return path


# --- what comes back ------------------------------------------------------------------------------


@pytest.mark.parametrize("attention", GATES)
def test_a_gated_model_comes_back_bit_for_bit(tmp_path: Path, attention: str) -> None:
    model = trained(attention=attention, delta=2, psi=0.3, activation="tanh")
    path = tmp_path / "model.safetensors"
    save_model(path, model, STOCK)
    again = load_model(path, build)
    state, loaded = model.state_dict(), again.state_dict()
    assert list(loaded) == list(state)
    assert all(torch.equal(loaded[name], state[name]) for name in state)
    assert not any(module.training for module in again.modules())
    with torch.no_grad():
        assert torch.equal(again(images()), model.eval()(images()))
        assert not torch.equal(again(images()), net().eval()(images()))


def test_the_json_says_what_the_model_is_made_of(saved: Path) -> None:
    meta = load_meta(saved)
    del meta["sha256"]
    assert meta == {
        "schema": 1,
        "kind": "asr-model",
        "stock": "small-net",
        "arguments": {"num_classes": 5},
        "input_shape": [3, 8, 8],
        "mean": None,
        "std": None,
        "frozen": [],
        "asr": {
            "attention": "se",
            "delta": 1,
            "psi": 0.1,
            "activation": "sigmoid",
            "attention_init": None,
            "control": None,
            "targets": TARGETS,
            "inputs": [],
            "create_affine": True,
            "shared": None,
        },
        "created": [],
        "merged": [],
        "folded": [],
    }
    assert facts_of(saved).stock_model(saved) == StockModel(
        "small-net", {"num_classes": 5}, [3, 8, 8]
    )


def test_shared_gates_come_back_shared(tmp_path: Path) -> None:
    def repvgg(*_: object) -> nn.Module:
        torch.manual_seed(0)
        return RepVGG((1, 1, 1, 1, 1), (8, 8, 6, 6, 8), 5)

    model = repvgg()
    insert_asr(model, targets="blocks.*.bn?", shared="parents")
    randomise(model, std=0.3)
    path = tmp_path / "model.safetensors"
    save_model(path, model, STOCK)
    again = load_model(path, repvgg)
    assert list(again.state_dict()) == list(model.state_dict())
    assert torch.equal(again(images()), model.eval()(images()))
    bn3, bn1 = again.get_submodule("blocks.1.bn3"), again.get_submodule("blocks.1.bn1")
    with torch.no_grad():
        bn3.asr.psi.add_(1)  # type: ignore[union-attr,operator]
    assert torch.equal(bn1.asr.scale(), bn3.asr.scale())  # type: ignore[union-attr,operator]
    fused = fuse_asr(again)
    repvgg().load_state_dict(fused.state_dict(), strict=True)
    assert (fused(images()) - again(images())).abs().max() <= 1e-5


# Exact in every dtype.
MEAN, STD = (0.5, 0.25, 0.125), (0.25, 0.5, 0.75)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_normalized_model_is_its_backbone_in_the_file(tmp_path: Path, dtype: torch.dtype) -> None:
    model = Normalized(trained(), MEAN, STD).to(dtype).eval()
    path = tmp_path / "model.safetensors"
    save_model(path, model, STOCK)
    assert set(load_checkpoint(path)[0]) == set(model.model.state_dict())
    meta = load_meta(path)
    assert (meta["mean"], meta["std"]) == (list(MEAN), list(STD))
    assert meta["asr"]["targets"] == TARGETS
    again = load_model(path, build)
    assert isinstance(again, Normalized)
    x = images(dtype=dtype)
    assert torch.equal(again(x), model(x))
    assert not torch.equal(again(x), model.model(x))
    normalised = (x - torch.tensor(MEAN, dtype=dtype)[:, None, None]) / torch.tensor(
        STD, dtype=dtype
    )[:, None, None]
    assert torch.equal(again(x), model.model(normalised))
    assert facts_of(path).stock_model(path).mean == MEAN


def test_a_backbone_may_be_saved_with_what_it_is_normalised_by(tmp_path: Path) -> None:
    stock = StockModel("small-net", {"num_classes": 5}, (3, 8, 8), MEAN, STD)
    inner, whole = tmp_path / "inner.safetensors", tmp_path / "whole.safetensors"
    save_model(inner, trained(), stock)
    save_model(whole, Normalized(trained(), MEAN, STD), stock)
    assert inner.read_bytes() == whole.read_bytes()


def test_another_normalisation_than_the_model_has(tmp_path: Path) -> None:
    stock = StockModel("small-net", {"num_classes": 5}, (3, 8, 8), MEAN, MEAN)
    with pytest.raises(InputError, match=r"by std \(0.25, 0.5, 0.75\), the stock model has"):
        save_model(tmp_path / "model.safetensors", Normalized(trained(), MEAN, STD), stock)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("attention", [None, "se"], ids=["asr", "both"])
def test_our_backbones_come_back_by_name(tmp_path: Path, attention: str | None) -> None:
    mode = "both" if attention else "asr"
    backbone = build_backbone("resnet11", 4, mode=mode)
    randomise(backbone, std=0.3)
    model = Normalized(backbone, MEAN, STD)
    path = tmp_path / "model.safetensors"
    stock = StockModel(named("resnet11", attention), {"num_classes": 4}, (3, 8, 8))
    save_model(path, model, stock)
    again = load_model(path, build_named)
    assert list(again.state_dict()) == list(model.state_dict())
    assert torch.equal(again(images()), model.eval()(images()))


def test_a_plain_model_comes_back_plain(tmp_path: Path) -> None:
    plain = fuse_asr(trained(targets=["1", "6"]))
    path = tmp_path / "plain.safetensors"
    save_model(path, plain, STOCK)
    again = load_model(path, build)
    assert list(again.state_dict()) == list(net().state_dict())
    assert torch.equal(again(images()), plain.eval()(images()))


def test_a_folded_model_comes_back_folded(tmp_path: Path) -> None:
    pairs = [("0", "1"), ("3", "4")]
    folded = fold_conv_bn(fuse_asr(trained(targets=["1", "6"])), pairs)
    path = tmp_path / "folded.safetensors"
    save_model(path, folded, STOCK, folded=pairs)
    again = load_model(path, build)
    assert isinstance(again[1], nn.Identity)  # type: ignore[index]
    assert torch.equal(again(images()), folded(images()))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_dtype_comes_back(tmp_path: Path, dtype: torch.dtype) -> None:
    model = trained().to(dtype).eval()
    path = tmp_path / "model.safetensors"
    save_model(path, model, STOCK)
    again = load_model(path, build)
    assert {p.dtype for p in again.parameters()} == {dtype}
    assert torch.equal(again(images(dtype=dtype)), model(images(dtype=dtype)))


@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_norms_in_full_precision_come_back(
    tmp_path: Path, dtype: torch.dtype, normalised: bool
) -> None:
    def mixed(model: nn.Module) -> nn.Module:
        model = model.to(dtype)
        for layer in model.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.float()
        return model

    model = mixed(trained()).eval()
    if normalised:
        model = Normalized(model, MEAN, STD).eval()
        model.mean, model.std = model.mean.to(dtype), model.std.to(dtype)
    path = tmp_path / "model.safetensors"
    save_model(path, model, STOCK)
    again = load_model(path, build)
    state, loaded = model.state_dict(), again.state_dict()
    assert {value.dtype for value in state.values()} > {dtype, torch.float32}
    assert [value.dtype for value in loaded.values()] == [v.dtype for v in state.values()]
    assert all(torch.equal(loaded[name], state[name]) for name in state)
    assert torch.equal(again(images(dtype=dtype)), model(images(dtype=dtype)))


def test_tied_weights_are_saved(tmp_path: Path) -> None:
    def tied(*_: object) -> nn.Module:
        model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.BatchNorm1d(4))
        model[1].weight = model[0].weight
        return model

    model = tied().eval()
    insert_asr(model, targets="2")
    path = tmp_path / "tied.safetensors"
    save_model(path, model, StockModel("tied"))
    again = load_model(path, tied)
    x = torch.rand(3, 4)
    assert torch.equal(again(x), model(x))
    assert again[0].weight is again[1].weight  # type: ignore[index]


def test_torchs_random_state_is_left_alone(saved: Path) -> None:
    model = net()
    before = torch.random.get_rng_state()
    load_model(saved, lambda *_: model)
    assert torch.equal(before, torch.random.get_rng_state())


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(
    arguments=st.dictionaries(
        TEXT, st.booleans() | st.integers(-1000000, 1000000) | st.floats(-1e6, 1e6)
    ),
    shape=st.lists(st.integers(1, 45), min_size=1, max_size=4),
    name=TEXT,
)
def test_any_stock_model_can_be_named(
    tmp_path: Path, name: str, arguments: dict[str, Any], shape: list[int]
) -> None:
    path = tmp_path / "model.safetensors"
    stock = StockModel(name, arguments, shape)
    save_model(path, nn.Linear(1, 1), stock)
    assert facts_of(path).stock_model(path) == stock


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input_shape": ...}, "missing: input_shape"),
        ({"colour": "red"}, "unknown field 'colour'"),
        ({"kind": "style-network"}, "of kind 'style-network', not 'asr-model'"),
        ({"schema": 2}, "schema 2; this version reads schema 1"),
        ({"asr": {"attention": "se"}}, r"missing: asr.delta, asr.psi"),
        ({"asr": "se"}, "asr is 'se'"),
        ({"frozen": "0"}, "frozen is '0'"),
        ({"frozen": ["0"]}, "'0' is no live channel gate of the model; it has none"),
        ({"merged": "0"}, "merged is '0'"),
        ({"merged": ["0"]}, "'asr' beside 'merged'"),
        ({"merged": ["0"], "asr": None}, "no block '0' with branches to merge; the model has none"),
        ({"folded": None}, "folded is None"),
        ({"folded": [["0"]]}, "missing: folded.0.1"),
        ({"folded": [["0", "nine"]]}, "no module 'nine'"),
        ({"stock": ""}, "name is ''"),
        ({"arguments": {"checkpoint_path": "/x"}}, "arguments.checkpoint_path is '/x'"),
        ({"arguments": {"depth": 10**9}}, "arguments.depth is 1000000000; .* at most 1000000"),
        ({"arguments": [1]}, r"arguments is \[1\]"),
        ({"input_shape": [3, 0]}, "input_shape.1 is 0"),
        ({"input_shape": 3}, "input_shape is 3"),
        ({"input_shape": []}, r"input_shape is \[\]"),
        ({"input_shape": [3, 40000, 40000]}, r"\(3, 40000, 40000\) is of more than 4194304"),
        ({"mean": [0.5, 0.5, 0.5]}, r"mean and std go together, got \(0.5, 0.5, 0.5\) and None"),
        ({"mean": [0.5], "std": [1]}, "mean must be three numbers"),
        ({"mean": [0.5, 0.5, 0.5], "std": [1, 1, 0]}, "std must be finite and above 0"),
        ({"mean": ...}, "missing: mean"),
        (
            {"input_shape": [1, 8, 8], "mean": [0.5, 0.5, 0.5], "std": [1, 1, 1]},
            r"mean and std are of images \(3, H, W\), got input_shape \(1, 8, 8\)",
        ),
        ({"asr": None}, "missing: 1.weight.*unexpected: 1.asr"),
        ({"sha256": "0" * 64}, "SHA-256"),
    ],
)
def test_json_that_describes_no_such_model(saved: Path, changes: Any, message: str) -> None:
    change_facts(saved, **changes)
    with pytest.raises(CheckpointError, match=message):
        load_model(saved, build)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"targets": ["1", "nine"]}, "'nine' matches no layer"),
        ({"attention": "es"}, "unknown attention module 'es'"),
        ({"attention": ["se"]}, r"asr.attention is \['se'\]"),
        ({"delta": 0}, "asr.delta is 0"),
        ({"delta": 10**9}, "asr.delta is 1000000000; it must be less than or equal to 64"),
        ({"psi": True}, "asr.psi is True"),
        ({"targets": ["1", "4"]}, r"missing: 6.weight, 6.bias; unexpected: 6.asr.attention"),
        ({"shared": [["1", "4"]]}, "no gate fits layers of several widths"),
        ({"shared": "all"}, "asr.shared is 'all'"),
        ({"delta": 2}, r"of another form: 1.asr.psi \(1, 8, 1, 1\) torch.float32 for \(2, 8"),
    ],
)
def test_gates_that_do_not_fit(saved: Path, change: dict[str, Any], message: str) -> None:
    asr = load_meta(saved)["asr"]
    change_facts(saved, asr={**asr, **change})
    with pytest.raises(CheckpointError, match=message):
        load_model(saved, build)


def test_another_stock_model(saved: Path) -> None:
    def other(*_: object) -> nn.Module:
        return nn.Sequential(*net(), nn.Linear(5, 2))

    with pytest.raises(CheckpointError, match=r"model 'small-net': missing: 7.weight, 7.bias$"):
        load_model(saved, other)


def test_a_file_does_not_have_more_built_than_it_holds(saved: Path) -> None:
    built = []

    def huge(*_: object) -> nn.Module:
        built.append(nn.Linear(10**5, 10**4))  # 4 GB, reserved and not yet written to
        return built[0]

    with pytest.raises(CheckpointError, match=r"more than 1000000000 numbers, but holds \d+$"):
        load_model(saved, huge)
    assert not built
    nn.Linear(2000, 2000)  # nothing is left of the limit
    load_model(saved, build)


def test_gates_of_two_insertions_have_no_one_description(tmp_path: Path) -> None:
    model = net()
    insert_asr(model, targets="1")
    insert_asr(model, "eca", targets="6")
    with pytest.raises(InputError, match="inserted with different arguments"):
        save_model(tmp_path / "model.safetensors", model, STOCK)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("",), "name is ''"),
        (("x", {"weights": "DEFAULT"}), "arguments.weights is 'DEFAULT'"),
        (("x", {}, ()), r"input_shape is \(\)"),
        (("x", {}, (3, True)), "input_shape.1 is True"),
        (("x", {}, "38"), "input_shape is '38'"),
    ],
)
def test_a_stock_model_that_cannot_be_written(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        StockModel(*arguments)


def test_what_the_builder_says_is_passed_on(saved: Path) -> None:
    def unknown(name: str, _: object) -> nn.Module:
        raise InputError(f"unknown model {name!r}")

    with pytest.raises(InputError, match="unknown model 'small-net'"):
        load_model(saved, unknown)


def test_a_file_from_before_norms_said_what_was_created_for_them(saved: Path) -> None:
    """Then γ and β were created wherever a gate needed them."""
    wanted = load_model(saved, build)(images())
    meta = load_meta(saved)
    asr = {k: v for k, v in meta["asr"].items() if k not in ("inputs", "create_affine", "control")}
    assert len(asr) == len(meta["asr"]) - 3
    change_facts(saved, asr=asr, created=...)
    assert torch.equal(load_model(saved, build)(images()), wanted)
    as_old_pair(saved)
    assert torch.equal(load_model(saved, build)(images()), wanted)
    save_model(saved, trained(), STOCK)
    change_facts(saved, asr={**meta["asr"], "create_affine": False})
    with pytest.raises(CheckpointError, match="create_affine=True"):
        load_model(saved, build)
