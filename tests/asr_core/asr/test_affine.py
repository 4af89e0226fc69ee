"""γ and β that are created on request: in the report, in files, and gone again on a failure."""

from pathlib import Path

import pytest
import torch
from by_hooks import multiply_outputs
from layer_cases import randomise
from small_net import assert_unchanged, images, net, snapshot
from torch import nn

from asr_core import StockModel, fuse_asr, insert_asr, load_model, save_model
from asr_core.asr.affine import create_affine, with_created_affine
from asr_core.asr.layers import lacks_scale
from asr_core.errors import CheckpointError, InputError, TargetError

WITHOUT = [
    lambda: nn.BatchNorm1d(4, affine=False),
    lambda: nn.BatchNorm2d(4, affine=False),
    lambda: nn.BatchNorm3d(4, affine=False),
    lambda: nn.SyncBatchNorm(4, affine=False),
    lambda: nn.InstanceNorm1d(4),
    lambda: nn.InstanceNorm2d(4, track_running_stats=True),
    lambda: nn.InstanceNorm3d(4),
    lambda: nn.GroupNorm(2, 4, affine=False),
    lambda: nn.LayerNorm(4, elementwise_affine=False),
    lambda: nn.RMSNorm(4, elementwise_affine=False),
]
STOCK = StockModel("small-net", {}, (3, 8, 8))


def build(name, arguments):
    return net()


def trained(**options):
    """The small net with gates on its norms, the second of which lacks γ and β."""
    model = net()
    randomise(model, std=0.3)
    report = insert_asr(model, targets=["1", "4"], create_affine=True, **options)
    for position in report.positions:
        randomise(position.gate, std=0.6)
    return model.eval(), report


@pytest.mark.parametrize("make", WITHOUT)
def test_a_named_norm_without_gamma_needs_the_option(make):
    model = nn.Sequential(make())
    assert lacks_scale(model[0])
    before = snapshot(model)
    for targets in ("0", "*", lambda module, name: name == "0"):
        with pytest.raises(TargetError, match=r"no gate on '0': .* create_affine=True"):
            insert_asr(model, targets=targets)
        assert_unchanged(model, before)
    (position,) = insert_asr(model, targets="0", create_affine=True).positions
    created = ("weight",) if isinstance(model[0], nn.RMSNorm) else ("weight", "bias")
    assert position.created == created
    assert not lacks_scale(model[0])


def test_norms_that_have_gamma_are_as_ever():
    for layer in (nn.BatchNorm2d(4), nn.LayerNorm(4, bias=False), nn.RMSNorm(4), nn.Linear(4, 4)):
        assert not lacks_scale(layer)
        model = nn.Sequential(layer)
        keys = list(model.state_dict())
        (position,) = insert_asr(model, targets="0", create_affine=True).positions
        assert position.created == ()
        randomise(position.gate)
        assert list(fuse_asr(model).state_dict()) == keys
        assert with_created_affine(model) == []


def test_the_report_says_that_the_model_is_another():
    _, report = trained()
    assert "created for '4'" in report.remarks[0]
    assert "no longer the stock model" in report.remarks[0]
    assert report.remarks[0] in repr(report)
    assert not insert_asr(net(), targets="1").remarks


def test_a_gamma_that_was_taken_away_alone():
    """β is multiplied too, though nobody says so by a flag."""
    model = net().double().eval()
    randomise(model, std=0.3)
    model[1].register_parameter("weight", None)
    stock = net().double().eval()
    stock.load_state_dict({**model.state_dict(), "1.weight": torch.ones(8, dtype=torch.float64)})
    report = insert_asr(model, targets="1", create_affine=True)
    assert report.positions[0].created == ("weight",)
    randomise(report.positions[0].gate, std=0.6)
    x = images(dtype=torch.float64)
    wanted = multiply_outputs(stock, report.positions)(x)
    assert (fuse_asr(model)(x) - wanted).abs().max() <= 1e-12


# --- in files -------------------------------------------------------------------------------------


def test_a_gated_model_and_its_fused_one_come_back(tmp_path: Path):
    model, _ = trained()
    plain = net()
    state = {
        k.replace("parametrizations.", "").removesuffix(".original"): v
        for k, v in model.state_dict().items()
    }
    plain.load_state_dict({k: state[k] for k in plain.state_dict()})
    positions = list(trained()[1].positions)
    for position, name in zip(positions, ("1", "4"), strict=True):
        position.gate.load_state_dict(model.get_submodule(name).asr.state_dict())
    wanted = multiply_outputs(plain.eval(), positions)(images())
    assert with_created_affine(model) == []  # its gates say so themselves
    fused = fuse_asr(model)
    assert with_created_affine(fused) == ["4"]
    for number, each in enumerate((model, fused)):
        path = tmp_path / f"{number}.safetensors"
        save_model(path, each, STOCK)
        again = load_model(path, build)
        assert list(again.state_dict()) == list(each.state_dict())
        assert repr(again) == repr(each)
        assert torch.equal(again(images()), each(images()))
        assert (again(images()) - wanted).abs().max() <= 1e-5 * wanted.abs().max()
        save_model(path, again, STOCK)  # and once more
        assert torch.equal(load_model(path, build)(images()), each(images()))


def test_gates_on_top_of_created_parameters_come_back(tmp_path: Path):
    fused = fuse_asr(trained()[0])
    insert_asr(fused, "eca", targets="4")
    randomise(fused, std=0.3)
    path = tmp_path / "model.safetensors"
    save_model(path, fused, STOCK)
    again = load_model(path, build)
    assert torch.equal(again(images()), fused.eval()(images()))
    assert with_created_affine(fuse_asr(again)) == ["4"]


def test_gates_that_went_into_layers_behind_come_back(tmp_path: Path):
    def made(*_):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 3)
        )

    model = made().eval()
    assert insert_asr(model).positions[0].side == "input"
    randomise(model, std=0.5)
    for each in (model, fuse_asr(model)):
        path = tmp_path / "model.safetensors"
        save_model(path, each, STOCK)
        again = load_model(path, made)
        assert list(again.state_dict()) == list(each.state_dict())
        assert torch.equal(again(images()), each(images()))
    made().load_state_dict(again.state_dict(), strict=True)


def test_a_name_that_is_no_norm_without_gamma():
    for name in ("0", "1", "2", "nine"):
        with pytest.raises(InputError, match=f"'{name}' is no norm of the model without γ"):
            create_affine(net(), [name])


def test_a_file_with_other_names(tmp_path: Path):
    path = tmp_path / "model.safetensors"
    save_model(path, fuse_asr(trained()[0]), STOCK)

    def affine(*_):
        model = net()
        model[4] = nn.BatchNorm2d(6)
        return model

    with pytest.raises(CheckpointError, match=r"'4' is no norm"):
        load_model(path, affine)
