"""asr_core.training.model: what a run starts from."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_classifier import register, tiny_config, tiny_data
from torch import nn

from asr_core import fuse_asr
from asr_core.asr.parametrization import gate_of, gated_layers
from asr_core.data import open_data
from asr_core.errors import InputError
from asr_core.models import build_named
from asr_core.recipes import load_recipe
from asr_core.saving.saved_model import load_model, save_model
from asr_core.training import DataFacts, TrainConfig
from asr_core.training.model import new_model, seeded, stock_model, zero_last_gamma

FACTS = DataFacts.of(tiny_data())
SMALL = load_recipe("resnet29-embedded").override(backbone="resnet11")


@pytest.fixture(autouse=True)
def backbones(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch)


def model(**changes: Any) -> nn.Module:
    return new_model(TrainConfig(recipe=SMALL, **changes), FACTS)


def test_equal_seeds_give_equal_weights_and_leave_the_global_state() -> None:
    before = torch.get_rng_state()
    first, again, other = (model(seed=seed).state_dict() for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["model.conv1.weight"], other["model.conv1.weight"])


def test_with_asr_the_backbone_starts_from_the_weights_that_it_has_without() -> None:
    plain, gated = model(mode="plain").model, model(mode="asr").model
    started = {
        name.replace("parametrizations.", "").replace(".original", ""): value
        for name, value in gated.state_dict().items()
        if ".asr." not in name
    }
    own = plain.state_dict()
    assert started.keys() == own.keys()
    assert all(torch.equal(started[name], own[name]) for name in own)
    assert list(dict(gated_layers(gated))) == [f"layer{i}.0.bn3" for i in (1, 2, 3)]


@pytest.mark.parametrize("mode", ["frozen", "free-v"])
def test_a_control_starts_from_the_backbone_and_the_gates_of_asr(mode: str) -> None:
    asr, control = model(mode="asr").model, model(mode=mode).model
    for (name, ours), (other, theirs) in zip(gated_layers(control), gated_layers(asr), strict=True):
        assert name == other
        for tensor in ("weight", "bias"):
            assert torch.equal(getattr(ours, tensor), getattr(theirs, tensor)), name
        gate = gate_of(ours)
        assert gate is not None
        assert gate.config["control"] == mode
        assert any(p.requires_grad for p in gate.parameters()) == (mode == "free-v")
    x = torch.rand(2, 3, 8, 8)
    assert torch.equal(control.eval()(x), asr.eval()(x))


def test_delta_and_psi_reach_the_gates() -> None:
    gated = model(delta=2, psi=0.7, attention="ie").model
    for _, layer in gated_layers(gated):
        psi = gate_of(layer).psi  # type: ignore[union-attr]
        assert psi.shape[0] == 2
        assert psi.detach().unique().tolist() == pytest.approx([0.7])


@pytest.mark.parametrize(("psi", "start"), [(None, 0.25), (0.5, 0.5)])
def test_psi_starts_where_the_backbone_says_unless_told(psi: float | None, start: float) -> None:
    gate = gate_of(new_model(tiny_config(psi=psi), FACTS).model.norm)
    assert gate is not None
    assert gate.psi.detach().unique().tolist() == [start]


@pytest.mark.parametrize("mode", ["plain", "live", "asr", "both"])
def test_the_file_of_a_run_rebuilds_its_model(mode: str, tmp_path: Path) -> None:
    config = TrainConfig(recipe=SMALL, mode=mode, attention="se")
    made = new_model(config, FACTS).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that nothing was trained
        plain = fuse_asr(made) if config.gated else made
    save_model(tmp_path / "m.safetensors", plain, stock_model(config, FACTS))
    read = load_model(tmp_path / "m.safetensors", build_named)
    images = torch.rand(3, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(read(images), plain(images))
    assert any("attention" in name for name, _ in read.named_modules()) == config.live


@pytest.mark.parametrize("mode", ["plain", "live", "asr", "both"])
def test_with_zero_gamma_each_block_starts_as_its_shortcut(mode: str) -> None:
    made = model(mode=mode, zero_gamma=True).model.eval()
    block = made.layer1[0]
    x = torch.rand(2, 16, 8, 8)
    with torch.no_grad():
        assert torch.equal(block(x), block.downsample(x).relu())
        usual = model(mode=mode).model.eval().layer1[0]
        assert not torch.equal(usual(x), usual.downsample(x).relu())


def test_zero_gamma_is_that_of_torchvision() -> None:
    from torchvision.models import resnet34

    ours, theirs = resnet34(), resnet34(zero_init_residual=True)
    names = zero_last_gamma(ours, "resnet34")
    zero = [n for n, p in theirs.named_parameters() if n.endswith("bn2.weight") and not p.any()]
    assert [f"{name}.weight" for name in names] == zero
    assert [
        n for n, p in ours.named_parameters() if "bn" in n and "weight" in n and not p.any()
    ] == zero
    assert len(zero) == 16


@pytest.mark.parametrize("backbone", ["vgg19_bn", "vit_s_16", "shufflenet_v2", "repvgg_a0"])
def test_zero_gamma_needs_residual_branches_that_end_in_a_norm(backbone: str) -> None:
    from asr_core.models import BACKBONES

    with torch.device("meta"):
        plain = BACKBONES[backbone].make(2)
    with pytest.raises(InputError, match=f"'{backbone}' has no residual branches that end in a n"):
        zero_last_gamma(plain, backbone)


def test_facts_survive_json_and_tell_sets_apart() -> None:
    facts = DataFacts.of(open_data("embedded"))
    assert facts.sizes == (7200, 900, 1800)
    assert len(facts.classes) == 18
    assert DataFacts.from_dict(facts.as_dict()) == facts
    assert DataFacts.of(tiny_data(sizes=(41, 13, 17))).labels != FACTS.labels
    with pytest.raises(InputError, match="missing: labels"):
        DataFacts.from_dict({k: v for k, v in facts.as_dict().items() if k != "labels"})


def test_a_control_learns_nothing_in_its_gates() -> None:
    made = new_model(tiny_config(attention="const"), FACTS)
    assert len(list(made.parameters())) == 5
    assert len(list(new_model(tiny_config(attention="ie"), FACTS).parameters())) == 8


@given(parts=st.lists(st.integers() | st.text(), min_size=1, max_size=4), burn=st.integers(0, 5))
def test_draws_depend_on_their_name_alone(parts: list[int | str], burn: int) -> None:
    torch.rand(burn)
    with seeded(*parts):
        first = torch.rand(4)
    with seeded(*parts):
        assert torch.equal(torch.rand(4), first)
    with seeded(*parts, "more"):
        assert not torch.equal(torch.rand(4), first)


def test_the_state_outside_is_as_before_also_after_an_exception() -> None:
    before = torch.get_rng_state()
    with pytest.raises(ZeroDivisionError), seeded("step", 1):
        torch.rand(int(3 / len([])))
    assert torch.equal(torch.get_rng_state(), before)
