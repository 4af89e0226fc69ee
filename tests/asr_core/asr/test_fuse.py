import copy
import warnings

import pytest
import timm.utils
import torch
import torchvision
from layer_cases import randomise
from small_net import assert_unchanged, images, net, snapshot
from torch import nn
from torch.nn.utils import parametrize, prune

from asr_core import check_parity, fuse_asr, insert_asr
from asr_core.asr.layers import Slot
from asr_core.errors import InputError, ParityError

ALL = ["0", "1", "3", "4", "6"]


def gated(dtype=torch.float32, targets=ALL, **options):
    """The small net with random parameters and gates away from their start."""
    model = net()
    randomise(model, std=0.3)
    model.to(dtype)
    report = insert_asr(model, targets=targets, create_affine=True, **options)
    for position in report.positions:
        randomise(position.gate, std=0.4)
    return model


def stock():
    """What the fused net's state dict must load into: the norm without affine now has it."""
    plain = net()
    plain[4] = nn.BatchNorm2d(6)
    return plain


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("inplace", [True, False])
def test_fused_model_is_the_plain_one(training, inplace):
    model = gated(torch.float64).train(training)
    x = images(dtype=torch.float64)
    expected = copy.deepcopy(model).eval()(x)
    fused = fuse_asr(model, inplace=inplace)
    assert (fused is model) == inplace
    assert all(m.training == training for m in fused.modules())
    assert (fused.eval()(x) - expected).abs().max() <= 1e-12 * expected.abs().max()
    plain = stock().double()
    assert list(fused.state_dict()) == list(plain.state_dict())
    assert [type(m) for m in fused.modules()] == [type(m) for m in plain.modules()]
    assert repr(fused) == repr(plain)
    plain.load_state_dict(fused.state_dict())
    assert torch.equal(plain.eval()(x), fused(x))


def test_a_copy_leaves_the_original_as_it_was():
    model = gated()
    before = snapshot(model)
    fuse_asr(model)
    assert_unchanged(model, before)


def test_ema_copy_fused_in_mid_training():
    model = gated(torch.float64)
    x = images(dtype=torch.float64)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        ema = copy.deepcopy(model)
        scales = [p for n, p in ema.named_parameters() if n.endswith("psi")]
        optimizer.zero_grad()
        model.train()(x).square().mean().backward()
        optimizer.step()
        # The copy's parametrizations read the copy's gates.
        before = ema.eval()(x)
        for psi in scales:
            psi.data.add_(1.0)
        assert not torch.equal(ema(x), before)
        fuse_asr(ema, inplace=True)
        assert check_parity(model, fuse_asr(model), x, tolerance=1e-12).ok


def test_fusing_in_place_keeps_the_parameters_objects_and_drops_their_gradients():
    model = gated()
    originals = [
        layer.parametrizations[name].original
        for layer in model
        if parametrize.is_parametrized(layer)
        for name in layer.parametrizations
    ]
    model(images()).sum().backward()
    fuse_asr(model, inplace=True)
    fused = {id(p) for p in model.parameters()}
    assert all(id(p) in fused and p.grad is None and p.is_leaf for p in originals)
    assert len(fused) == len(list(stock().parameters()))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)  # it may be fine-tuned
    model(images()).sum().backward()
    optimizer.step()


def test_idempotent():
    fused = fuse_asr(gated())
    again = fuse_asr(fused)
    assert again is not fused
    assert_unchanged(again, (snapshot(again)[0], snapshot(fused)[1]))
    assert fuse_asr(fused, inplace=True) is fused


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_dtype_and_flags_are_kept(dtype):
    model = gated(dtype)
    model[0].parametrizations.weight.original.requires_grad_(False)
    fused = fuse_asr(model)
    assert {p.dtype for p in fused.parameters()} == {dtype}
    assert [n for n, p in fused.named_parameters() if not p.requires_grad] == [
        "0.weight",
        "4.weight",  # created
        "4.bias",
    ]
    effective = model[0].weight
    assert torch.equal(fused[0].weight, effective)


@pytest.mark.parametrize("transposed", [False, True])
def test_memory_format_is_kept(transposed):
    torch.manual_seed(0)
    kind = nn.ConvTranspose2d if transposed else nn.Conv2d
    model = nn.Sequential(kind(8, 8, 3, groups=2)).to(memory_format=torch.channels_last)
    strides = model[0].weight.stride()
    assert not model[0].weight.is_contiguous()
    insert_asr(model, targets="0")
    randomise(model)
    assert fuse_asr(model)[0].weight.stride() == strides
    assert fuse_asr(model, inplace=True)[0].weight.stride() == strides


def test_the_root_may_be_a_gated_layer():
    layer = nn.Linear(3, 4)
    insert_asr(layer, targets="")
    randomise(layer)
    fused = fuse_asr(layer)
    assert type(fused) is nn.Linear
    assert list(fused.state_dict()) == ["weight", "bias"]
    assert type(fuse_asr(layer, inplace=True)) is nn.Linear


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("inplace", [True, False])
def test_v_on_the_wrong_axis_is_found_on_the_output_side(groups, inplace):
    torch.manual_seed(0)
    model = nn.Sequential(nn.ConvTranspose2d(8, 8, 3, groups=groups), nn.BatchNorm2d(8))
    insert_asr(model, targets="*", create_affine=True)
    randomise(model)
    fuse_asr(model)  # sound so far
    # As many input channels as output channels: the factor fits on either axis.
    model[0].parametrizations.weight[0].slot = Slot("weight", dim=0)
    before = snapshot(model)
    with pytest.raises(ParityError, match=r"output of '0' .* differs from stock output × v by"):
        fuse_asr(model, inplace=inplace)
    assert_unchanged(model, before)


def test_a_parametrization_that_does_something_else_is_found():
    model = gated()
    model[6].parametrizations.weight[0].forward = lambda original: original * 2
    before = snapshot(model)
    with pytest.raises(ParityError, match="'weight' of '6' is not what the gated layer uses"):
        fuse_asr(model, inplace=True)
    assert_unchanged(model, before)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("inplace", [True, False])
def test_values_that_are_not_finite_are_named(value, inplace):
    model = gated()
    model[6].parametrizations.bias.original.data[2] = value
    before = [p.clone() for p in model.parameters()]
    with pytest.raises(ParityError, match="'bias' of '6' is not finite; nothing was fused"):
        fuse_asr(model, inplace=inplace)
    model[4].asr.psi.data.fill_(float("nan"))
    with pytest.raises(ParityError, match="the gate v of '4' is not finite"):
        fuse_asr(model, inplace=inplace)
    assert parametrize.is_parametrized(model[0])  # the sound ones were not touched either
    assert torch.equal(before[0], next(iter(model.parameters())))


@pytest.mark.parametrize("inplace", [True, False])
def test_end_to_end_check(inplace):
    model = gated().train()
    fused = fuse_asr(copy.deepcopy(model), inplace=inplace, example=images())
    assert check_parity(model, fused, (images(),)).ok
    assert fused.training

    class Sly(nn.Sequential):
        """Looks at its own state, so that fusing changes what it does."""

        def forward(self, x):
            return super().forward(x) * (2 if parametrize.is_parametrized(self[0]) else 1)

    sly = Sly(*model)
    before = snapshot(sly)
    with pytest.raises(ParityError, match=r"outputs differ: .* both were run in eval mode"):
        fuse_asr(sly, inplace=inplace, example=images())
    assert_unchanged(sly, before)


def test_untrained_gates_are_worth_a_warning():
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    insert_asr(model, targets="*", create_affine=True)
    model(images()).sum().backward()
    optimizer.step()  # it never heard of the gates
    with pytest.warns(UserWarning, match="was the optimizer built before it"):
        fuse_asr(model)

    torch.optim.SGD(model.parameters(), lr=0.1).step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fuse_asr(model)
        control = net()
        insert_asr(control, "const", targets="*", create_affine=True)
        fuse_asr(control)  # the control has nothing to train
        fuse_asr(net())


def test_other_parametrizations_on_top_are_refused():
    model = gated()

    class Noise(nn.Module):
        def forward(self, weight):
            return weight * 1.5

    parametrize.register_parametrization(model[1], "weight", Noise())
    before = snapshot(model)
    with pytest.raises(InputError, match=r"'weight' of a gated BatchNorm2d is also .* Noise:"):
        fuse_asr(model, inplace=True)
    assert_unchanged(model, before)


def test_write_after_insertion_is_found_when_fusing():
    model = gated()
    nn.init.ones_(model[6].weight)
    with pytest.raises(InputError, match="was written in place"):
        fuse_asr(model)


def test_hooks_of_others_stay():
    model = gated()
    calls = []
    model[1].register_forward_hook(lambda *args: calls.append("after"))
    model[1].register_forward_pre_hook(lambda *args: calls.append("before"))
    fused = fuse_asr(model)
    assert calls == []  # the checks do not run them
    fused(images())
    assert calls == ["before", "after"]
    assert len(fused[1]._forward_hooks) == len(fused[1]._forward_pre_hooks) == 1


def test_fused_by_timm():
    model = gated()
    x = images()
    fused = timm.utils.reparameterize_model(model)
    assert list(fused.state_dict()) == list(stock().state_dict())
    assert check_parity(model, fused, x).ok
    assert parametrize.is_parametrized(model[0])


def test_vit():
    torch.manual_seed(0)

    def build():
        return torchvision.models.VisionTransformer(32, 16, 2, 2, 8, 16, num_classes=5)

    model = build()
    insert_asr(model, targets=["*.self_attention", "*.mlp.3"])
    randomise(model, std=0.5)
    x = torch.rand(2, 3, 32, 32)
    fused = fuse_asr(model, example=x)
    plain = build()
    assert list(fused.state_dict()) == list(plain.state_dict())
    plain.load_state_dict(fused.state_dict())
    assert check_parity(model, plain, x).ok
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in fused.modules())


def test_transformer_encoder_layer_on_its_fast_path():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    insert_asr(layer, targets=["self_attn", "linear2", "norm2"])
    randomise(layer, std=0.5)
    x = torch.rand(2, 5, 8)
    fused = fuse_asr(layer)
    with torch.inference_mode():
        assert check_parity(layer, fused, x).ok


def test_exported_program_is_the_plain_one():
    model = fuse_asr(gated()).eval()
    program = torch.export.export(model, (images(),))
    assert torch.allclose(program.module()(images()), model(images()), atol=1e-6)
    assert not any("asr" in key or "parametrizations" in key for key in program.state_dict)


@pytest.mark.parametrize("groups", [1, 2])
def test_v_of_the_input_on_the_axis_of_the_output_is_found(groups):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(8, 8, 3, groups=groups))
    insert_asr(model, targets=[], inputs="0")
    randomise(model)
    fuse_asr(model)  # sound so far
    model[0].parametrizations.weight[0].slot = Slot("weight", dim=0)
    before = snapshot(model)
    with pytest.raises(ParityError, match="differs from the stock output on input × v by"):
        fuse_asr(model, inplace=True)
    assert_unchanged(model, before)


def spectral(chain):
    nn.utils.spectral_norm(chain, "original")


def new_weight_norm(chain):
    nn.utils.parametrizations.weight_norm(chain, "original")


def pruned(chain):
    prune.l1_unstructured(chain, "original", 0.5)


def pruned_globally(chain):
    prune.global_unstructured([(chain, "original")], prune.L1Unstructured, amount=0.5)


@pytest.mark.parametrize("change", [pruned, pruned_globally, spectral, new_weight_norm])
@pytest.mark.parametrize("inplace", [False, True])
def test_what_a_gate_multiplies_must_be_a_parameter(change, inplace):
    model = gated(torch.float64)
    change(model[0].parametrizations.weight)
    before = snapshot(model)
    with pytest.raises(InputError, match=r"'0': the 'weight' that its gate .*prune\.remove\("):
        fuse_asr(model, inplace=inplace)
    with pytest.raises(InputError, match="'0': the 'weight' that its gate"):
        model[0].reparameterize()
    assert_unchanged(model, before)


@pytest.mark.parametrize("inplace", [False, True])
def test_pruning_that_was_made_permanent_is_fused(inplace):
    model = gated(torch.float64).eval()
    chain, x = model[0].parametrizations.weight, images(dtype=torch.float64)
    pruned(chain)
    zeros = chain.original_mask == 0
    assert 0 < zeros.sum() < zeros.numel()
    wanted = model(x)
    prune.remove(chain, "original")
    fused = fuse_asr(model, inplace=inplace)
    weight = fused[0].weight
    assert isinstance(weight, nn.Parameter)
    assert weight.requires_grad
    assert torch.equal(weight == 0, zeros)
    assert (fused(x) - wanted).abs().max() <= 1e-12 * wanted.abs().max()
    fused(x).sum().backward()
    assert weight.grad.any()


def test_what_is_fused_inside_of_inference_mode_can_be_trained():
    model = gated()
    with torch.inference_mode():
        fused = fuse_asr(model, example=images())
    fused(images()).sum().backward()
    assert all(p.grad is not None for p in fused[0].parameters())
