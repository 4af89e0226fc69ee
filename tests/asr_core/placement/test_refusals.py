import pytest
import torch
from small_net import assert_unchanged, images, net, snapshot
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

from asr_core import fuse_asr, insert_asr
from asr_core.errors import TargetError


def test_second_insertion_is_refused():
    model = net()
    insert_asr(model, targets="1")
    before = snapshot(model)
    with pytest.raises(TargetError, match=r"'1' already has ASR, δ = 1: .* larger delta"):
        insert_asr(model, targets=["0", "1"], delta=2)
    assert_unchanged(model, before)
    insert_asr(model, targets="0")  # elsewhere is fine


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
        (weight_normed, r"'0': it is parametrized already \(weight\): remove that first"),
        (spectral_normed, r"'0': it is parametrized already \(weight\)"),
        (old_weight_normed, r"'0': its 'weight' is not a parameter of its own \(weight_norm"),
        (old_spectral_normed, r"'0': its 'weight' is not a parameter of its own"),
        (pruned, r"'0': its 'weight' is not a parameter of its own"),
        (has_asr_attribute, "'0': it has an attribute 'asr' of its own"),
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


def vector(model):
    """The parameters become stretches of one vector, as vector_to_parameters leaves them."""
    flat = nn.utils.parameters_to_vector(model.parameters()).detach().clone()
    nn.utils.vector_to_parameters(flat, model.parameters())


def columns(model):
    both = torch.randn(4, 8, dtype=torch.float64)
    for layer, start in ((model[0], 0), (model[1], 4)):
        layer.weight = nn.Parameter(both[:, start : start + 4])


@pytest.mark.parametrize("arrange", [vector, columns])
@pytest.mark.parametrize("preserve", [False, True])
def test_neighbours_in_one_storage_share_nothing(arrange, preserve):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)).double()
    arrange(model)
    x = torch.rand(3, 4, dtype=torch.float64)
    first, second = model[0](x), nn.functional.linear(model[0](x), *model[1].parameters())
    (position,) = insert_asr(model, targets="0", preserve=preserve).positions
    v = 1 if preserve else position.gate.scale()
    assert torch.allclose(model[0](x), first * v, atol=1e-12)
    assert torch.allclose(model[1](first), second, atol=1e-12)


def offset_view(model):
    whole = torch.randn(6, 4)
    model[0].weight = nn.Parameter(whole[:4])
    model[1].weight = nn.Parameter(whole[2:])


def transposed(model):
    model[1].weight = nn.Parameter(model[0].weight.detach().t())


def expanded_from(model):
    model[1].weight = nn.Parameter(model[0].weight.detach()[:1].expand(4, 4))


def every_other(model):
    model[1].weight = nn.Parameter(torch.randn(4, 8))
    model[0].weight = nn.Parameter(model[1].weight.detach()[:, ::2])


def buffer(model):
    model[1].register_buffer("copy", model[0].weight.detach())


def bias_in_weight(model):
    model[0].bias = nn.Parameter(model[0].weight.detach()[2])


def attribute(model):
    model[1].tied = model[0].weight.t()


def in_a_list(model):
    model[1].tied = {"decoder": [model[0].weight]}  # a list keeps it out of the parameters


def own_bytes(model):
    model[1].register_buffer("bytes", model[0].weight.detach().view(torch.uint8)[3:])


def scalar(model):
    model.register_parameter("first", nn.Parameter(model[0].weight.detach()[0, 0]))


@pytest.mark.parametrize(
    "tie",
    [
        offset_view,
        transposed,
        expanded_from,
        every_other,
        buffer,
        bias_in_weight,
        attribute,
        in_a_list,
        own_bytes,
        scalar,
    ],
)
@pytest.mark.parametrize("preserve", [False, True])
def test_tensors_over_the_same_memory_count_as_shared(tie, preserve):
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    tie(model)
    before = snapshot(model)
    with pytest.raises(TargetError, match=r"'0\.weight'.* (share memory|one shared parameter)"):
        insert_asr(model, targets="0", preserve=preserve)
    assert_unchanged(model, before)


def built_in_inference_mode(model):
    with torch.inference_mode():
        model[0] = nn.Linear(4, 4)


def statistics_of_inference_mode(model):
    with torch.inference_mode():
        model[0] = nn.BatchNorm1d(4)
    model[0].weight, model[0].bias = nn.Parameter(torch.ones(4)), nn.Parameter(torch.zeros(4))


def weight(value):
    def change(model):
        model[0].weight = nn.Parameter(value(), requires_grad=False)

    return change


@pytest.mark.filterwarnings("ignore:Sparse")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (built_in_inference_mode, r"it was built under torch\.inference_mode\(\)"),
        (statistics_of_inference_mode, r"it was built under torch\.inference_mode\(\)"),
        (weight(lambda: torch.ones(1, 4).expand(4, 4)), "its 'weight' is expanded"),
        (weight(lambda: torch.ones(7).as_strided((4, 4), (1, 1))), "its 'weight' is expanded"),
        (weight(lambda: torch.eye(4).to_sparse()), r"'weight' is torch\.sparse_coo, not dense"),
        (weight(lambda: torch.eye(4).to_sparse_csr()), r"'weight' is torch\.sparse_csr"),
        (weight(lambda: torch.eye(4, dtype=torch.complex64)), r"is torch\.complex64, not real"),
        (weight(lambda: torch.eye(4, dtype=torch.int8)), r"is torch\.int8, not real"),
        (weight(lambda: torch.eye(4).to(torch.float8_e4m3fn)), r"is torch\.float8_e4m3fn"),
    ],
)
@pytest.mark.parametrize("preserve", [False, True])
def test_tensors_that_no_gate_can_multiply(make, message, preserve):
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    make(model)
    before = (type(model[0]), list(model[0]._parameters.items()), list(model.state_dict()))
    with pytest.raises(TargetError, match=rf"'0': .*{message}"):
        insert_asr(model, targets=["1", "0"], preserve=preserve)
    assert before == (type(model[0]), list(model[0]._parameters.items()), list(model.state_dict()))
    assert type(model[1]) is nn.Linear


@pytest.mark.parametrize("preserve", [False, True])
@pytest.mark.parametrize("frozen", [False, True])
def test_weights_that_are_laid_out_otherwise_take_a_gate(preserve, frozen):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)).double()
    model[0].weight = nn.Parameter(torch.randn(4, 4).double().t(), requires_grad=not frozen)
    strides, x = model[0].weight.stride(), torch.rand(3, 4).double()
    stock = model[0](x)
    (position,) = insert_asr(model, targets="0", preserve=preserve).positions
    v = 1 if preserve else position.gate.scale()
    assert torch.allclose(model[0](x), stock * v, atol=1e-12)
    with pytest.warns(UserWarning, match="no gate has changed"):
        fused = fuse_asr(model)
    assert torch.allclose(fused[0](x), stock * v, atol=1e-12)
    assert fused[0].weight.stride() == strides
    assert fused[0].weight.requires_grad != frozen


def test_auto_says_why_it_leaves_out_what_inference_mode_built():
    with torch.inference_mode():
        model = net()
    with pytest.raises(TargetError, match=r"built under torch\.inference_mode\(\)"):
        insert_asr(model)


def test_gates_made_inside_of_inference_mode_can_be_trained():
    model = net()
    with torch.inference_mode():
        report = insert_asr(model, targets=["1", "4"], create_affine=True)
    model(images()).square().sum().backward()
    assert all(p.grad is not None for p in report.parameters())
