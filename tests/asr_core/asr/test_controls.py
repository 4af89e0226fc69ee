"""The controls "frozen" and "free-v": gates that start where an attention's gate starts."""

import copy
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from small_net import images
from torch import Tensor, nn

from asr_core import asr_config, fuse_asr, insert_asr
from asr_core.asr.gate import CONTROLS, Gate
from asr_core.asr.parametrization import gate_of, gated_layers
from asr_core.attention import ATTENTIONS
from asr_core.errors import InputError
from asr_core.models import MODES, build
from asr_core.models.build import GATED
from asr_core.saving.model_facts import StockModel
from asr_core.saving.saved_model import load_model, save_model

CAN_BE_GATES = [name for name in ATTENTIONS if not ATTENTIONS[name].asr_refusal]


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 20, 3), nn.BatchNorm2d(20), nn.Flatten(), nn.Linear(320, 5),
    )  # fmt: skip


def gated(control: str | None, attention: str = "se", **options: Any) -> nn.Sequential:
    """In float64; the gates of equal arguments are drawn alike."""
    model = net().double()
    torch.manual_seed(1)
    insert_asr(model, attention, targets=["1", "4"], control=control, **options)
    return model


def gates(model: nn.Module) -> dict[str, Gate]:
    return {n: gate for n, layer in gated_layers(model) if (gate := gate_of(layer)) is not None}


def vectors(model: nn.Module) -> dict[str, Tensor]:
    return {name: gate.scale().detach().clone() for name, gate in gates(model).items()}


def trained(model: nn.Module, steps: int = 5) -> nn.Module:
    x, labels = images(dtype=torch.float64), torch.tensor([0, 1, 2, 3])
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model.train()(x), labels).backward()
        optimizer.step()
    return model


@pytest.mark.parametrize("delta", [1, 2])
@pytest.mark.parametrize("attention", CAN_BE_GATES)
def test_they_start_where_the_gate_starts_channel_by_channel(attention: str, delta: int) -> None:
    start = vectors(gated(None, attention, delta=delta))
    for control in CONTROLS:
        own = vectors(gated(control, attention, delta=delta))
        assert all(torch.equal(own[name], v) for name, v in start.items()), control
    if attention in ("se", "ie", "const"):  # the others may start at 0.5
        assert all((v - 0.5**delta).abs().min() > 1e-4 for v in start.values())
    if attention == "se":
        assert all(v.std() > 0.01 for v in start.values()), "channels differ"


@pytest.mark.parametrize("control", [None, *CONTROLS])
def test_what_learns_in_training(control: str | None) -> None:
    model = gated(control)
    before = {n: copy.deepcopy(gate.state_dict()) for n, gate in gates(model).items()}
    weight = model[0].weight.detach().clone()
    start = vectors(model)
    trained(model)
    assert not torch.equal(model[0].weight, weight), "it trains"
    for name, gate in gates(model).items():
        moved = [key for key, now in gate.state_dict().items() if not before[name][key].equal(now)]
        assert bool(moved) == (control != "frozen"), moved
        assert torch.equal(gate.scale(), start[name]) == (control == "frozen")
        assert list(before[name]) == (["v"] if control == "free-v" else list(Gate(8).state_dict()))


def test_a_free_v_leaves_the_range_of_the_activation() -> None:
    model = gated("free-v")
    optimizer = torch.optim.SGD(gates(model)["1"].parameters(), 1.0)
    for _ in range(3):
        optimizer.zero_grad()
        gates(model)["1"].scale().sum().backward()
        optimizer.step()
    assert (vectors(model)["1"] < -1).all()


@pytest.mark.parametrize("control", CONTROLS)
def test_the_gated_output_is_the_stock_output_times_v_and_fused_is_plain(control: str) -> None:
    model, x = trained(gated(control)), images(dtype=torch.float64)
    stock, v = net().double(), vectors(model)
    own = {k.replace("parametrizations.", "").replace(".original", ""): t
           for k, t in model.state_dict().items() if ".asr." not in k}  # fmt: skip
    stock.load_state_dict(own)
    for name in ("1", "4"):
        stock[int(name)].register_forward_hook(
            lambda module, args, output, v=v[name]: output * v[:, None, None]
        )
    wanted = stock.eval()(x)
    fused = fuse_asr(model.eval(), example=x)
    assert fused.state_dict().keys() == net().state_dict().keys()
    for ours in (model, fused):
        assert (ours(x) - wanted).abs().max() <= 1e-12 * wanted.abs().max()


def test_parameters_are_those_that_learn() -> None:
    reports = {}
    for control in (None, *CONTROLS):
        reports[control] = insert_asr(net(), "se", targets=["1", "4"], control=control)
    assert reports["frozen"].parameters() == []
    assert [p.gate_parameters for p in reports["frozen"].positions] == [0, 0]
    assert [tuple(p.shape) for p in reports["free-v"].parameters()] == [(8,), (20,)]
    assert len(reports[None].parameters()) == 2 * len(list(Gate(8).parameters()))


@pytest.mark.parametrize(("control", "warns"), [(None, True), ("frozen", False), ("free-v", True)])
def test_fusing_warns_of_gates_that_could_have_learnt(control: str | None, warns: bool) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fuse_asr(gated(control))
    assert bool(caught) == warns
    model = trained(gated(control)).requires_grad_(False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fuse_asr(model)


@pytest.mark.parametrize("control", CONTROLS)
def test_preserve_keeps_the_output(control: str) -> None:
    x = images(dtype=torch.float64)
    wanted = net().double().eval()(x)
    assert torch.allclose(gated(control, preserve=True).eval()(x), wanted, rtol=1e-12)
    assert not torch.allclose(gated(control).eval()(x), wanted, rtol=1e-3)


@pytest.mark.parametrize("control", CONTROLS)
def test_one_gate_of_several_layers(control: str) -> None:
    model = build("repvgg_a0", 3, mode=control)
    start = {id(gate): name for name, gate in gates(model).items()}
    assert len(start) > 22
    own = [name for name, _ in model.named_parameters() if ".asr." in name]
    assert len({name.rpartition(".asr.")[0] for name in own}) == 22, "one a block"


def test_a_free_v_is_not_moved_through_relu_which_no_negative_factor_passes() -> None:
    def model() -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, affine=False), nn.ReLU(), nn.Conv2d(4, 5, 1),
            nn.BatchNorm2d(5), nn.ReLU(),
        )  # fmt: skip

    assert [p.label for p in insert_asr(model(), "se").positions] == ["3 (input)", "4"]
    report = insert_asr(model(), "se", control="frozen")
    assert [p.label for p in report.positions] == ["3 (input)", "4"]
    report = insert_asr(model(), "se", control="free-v")
    assert ([p.label for p in report.positions], [r.name for r in report.refusals]) == (
        ["4"],
        ["1"],
    )


@pytest.mark.parametrize("control", CONTROLS)
def test_a_saved_model_comes_back_as_the_control(control: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = build("resnet11", 5, mode=control).eval()
    for gate in gates(model).values():
        for parameter in gate.parameters():
            parameter.data.mul_(1.5)
    assert asr_config(model)["control"] == control
    stock = StockModel("asr:resnet11", {"num_classes": 5}, (3, 32, 32))
    save_model(tmp_path / "model.safetensors", model, stock)
    again = load_model(tmp_path / "model.safetensors", lambda name, given: build("resnet11", 5))
    x = torch.rand(2, 3, 32, 32)
    assert torch.equal(again(x), model(x))
    assert asr_config(again) == asr_config(model)
    learns = {n for n, p in again.named_parameters() if p.requires_grad}
    assert learns == {n for n, p in model.named_parameters() if p.requires_grad}


def test_other_names_are_refused(tmp_path: Path) -> None:
    model = net()
    before = repr(model)
    with pytest.raises(InputError, match=r"'frozne'.*'frozen'"):
        insert_asr(model, "se", targets="1", control="frozne")
    assert repr(model) == before
    with pytest.raises(InputError, match="'dia' cannot be an ASR gate"):
        insert_asr(model, "dia", targets="1", control="frozen")
    assert set(CONTROLS) < set(GATED) < set(MODES)
