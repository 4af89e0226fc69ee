import pytest
from small_net import assert_unchanged, net, snapshot
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

from asr_core import insert_asr
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
