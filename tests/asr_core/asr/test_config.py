import json

import pytest
import torch
from layer_cases import AS_GATE, randomise
from small_net import images, net
from torch import nn
from torch.nn.utils import prune

from asr_core import asr_config, insert_asr
from asr_core.errors import InputError


@pytest.mark.parametrize("attention", AS_GATE)
@pytest.mark.parametrize(("delta", "control"), [(1, None), (3, None), (3, "frozen"), (3, "free-v")])
def test_a_fresh_model_loads_the_state_strictly(attention, delta, control):
    model = net()
    model.add_module("7", nn.Unflatten(1, (5, 1)))
    options = {"activation": "tanh", "psi": 0.3, "delta": delta, "attention_init": 0.2}
    options["control"] = control
    insert_asr(model, attention, targets=["*"], exclude="0", create_affine=True, **options)
    randomise(model, std=0.3)
    config = json.loads(json.dumps(asr_config(model)))
    targets = ["1", "3", "4", "6"]
    places = {"targets": targets, "inputs": [], "create_affine": True, "shared": None}
    assert config == {"attention": attention, **places, **options}

    fresh = net()
    fresh.add_module("7", nn.Unflatten(1, (5, 1)))
    insert_asr(fresh, **config)
    assert list(fresh.state_dict()) == list(model.state_dict())
    x = images()
    assert not torch.equal(fresh.eval()(x), model.eval()(x))
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(fresh(x), model(x))
    assert asr_config(fresh) == config


def test_a_preserved_model_is_rebuilt_from_its_state():
    model = net()
    insert_asr(model, targets="1", preserve=True)
    fresh = net()
    insert_asr(fresh, **asr_config(model))
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(fresh.eval()(images()), model.eval()(images()))


def test_shared_gates_are_named_and_shared_again():
    def branches():
        return nn.ModuleDict({name: nn.Conv2d(3, 4, 1) for name in "abcd"})

    model = branches()
    insert_asr(model, "eca", targets="*", shared=[("d", "b"), ("a",)])
    config = json.loads(json.dumps(asr_config(model)))
    assert config["targets"] == ["a", "b", "c", "d"]
    assert config["shared"] == [["b", "d"]]
    fresh = branches()
    insert_asr(fresh, **config)
    assert list(fresh.state_dict()) == list(model.state_dict())
    assert "d.asr.psi" not in fresh.state_dict()
    fresh.load_state_dict(model.state_dict(), strict=True)
    with torch.no_grad():
        fresh["b"].asr.psi.fill_(2.0)
        assert torch.equal(fresh["d"].asr.scale(), fresh["b"].asr.scale())
        assert not torch.equal(fresh["c"].asr.scale(), fresh["b"].asr.scale())
    assert asr_config(fresh) == config


def test_attention_is_named_by_its_output_projection():
    model = nn.TransformerEncoderLayer(8, 2, 16)
    insert_asr(model, targets="self_attn")
    config = asr_config(model)
    assert config["targets"] == ["self_attn.out_proj"]
    fresh = nn.TransformerEncoderLayer(8, 2, 16)
    insert_asr(fresh, **config)
    assert list(fresh.state_dict()) == list(model.state_dict())


def test_names_with_glob_characters_mean_themselves():
    model = nn.ModuleDict({"a[0]": nn.Linear(2, 2), "a0": nn.Linear(2, 2)})
    insert_asr(model, targets="a[[]0]")
    assert asr_config(model)["targets"] == ["a[0]"]
    fresh = nn.ModuleDict({"a[0]": nn.Linear(2, 2), "a0": nn.Linear(2, 2)})
    assert insert_asr(fresh, **asr_config(model)).names == ["a[0]"]


def test_through_a_compiled_wrapper():
    model = net()
    insert_asr(model, targets="1")
    assert asr_config(torch.compile(model))["targets"] == ["1"]


def test_a_group_that_lost_its_gate_has_no_description():
    model = net()
    insert_asr(model, targets=["0", "1"], shared=[["0", "1"]])
    model[0].reparameterize()
    with pytest.raises(InputError, match="shared its gate with '1' was fused alone"):
        asr_config(model)


def test_what_one_call_cannot_give_is_refused():
    with pytest.raises(InputError, match="the model has no ASR"):
        asr_config(net())
    model = net()
    insert_asr(model, targets="1")
    insert_asr(model, "ie", targets="3")
    with pytest.raises(InputError, match="gates at '1' and '3' were inserted with different"):
        asr_config(model)


def test_pruning_that_no_call_gives_is_no_part_of_the_arguments():
    model = net()
    insert_asr(model, targets="0")
    prune.l1_unstructured(model[0].parametrizations.weight, "original", 0.5)
    with pytest.raises(InputError, match=r"'0': the 'weight' .*prune\.remove"):
        asr_config(model)
    prune.remove(model[0].parametrizations.weight, "original")
    assert asr_config(model)["targets"] == ["0"]
