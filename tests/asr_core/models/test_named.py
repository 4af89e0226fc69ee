"""asr_core.models.named: one name for a backbone and its live attention."""

import pytest
import torch
from representative import some_of

from asr_core.attention import ATTENTIONS
from asr_core.errors import InputError
from asr_core.models import BACKBONES, build, build_named
from asr_core.models.named import backbone_of, named


def shapes(model):
    return {key: value.shape for key, value in model.state_dict().items()}


@pytest.mark.parametrize("backbone", some_of(sorted(BACKBONES), ["resnet11", "vit_s_16"]))
def test_every_backbone_has_a_name(backbone):
    classes = 10 if min(BACKBONES[backbone].sizes) == 32 else 1000
    with torch.device("meta"):
        assert shapes(build_named(f"asr:{backbone}")) == shapes(build(backbone, classes))
        found = build_named(f"asr:{backbone}", {"num_classes": 3})
        assert shapes(found) == shapes(build(backbone, 3))
    assert backbone_of(f"asr:{backbone}") is backbone_of(f"asr:{backbone}+se")
    assert backbone_of(f"asr:{backbone}") is BACKBONES[backbone]


@pytest.mark.parametrize("attention", sorted(set(ATTENTIONS) - {"const"}))
def test_live_attention_is_part_of_the_name(attention):
    live = build_named(f"asr:resnet11+{attention}", {"num_classes": 3})
    assert shapes(live) == shapes(build("resnet11", 3, mode="live", attention=attention))
    assert set(shapes(live)) > set(shapes(build("resnet11", 3)))


def test_names_are_put_together():
    assert named("resnet11") == "asr:resnet11"
    assert named("resnet11", "se") == "asr:resnet11+se"


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("asr:resnet2", {}, r"unknown backbone 'resnet2'\. Did you mean 'resnet29'.*vit_s_16"),
        ("asr:", {}, "unknown backbone ''"),
        ("asr:resnet11+es", {}, "unknown attention module 'es'.*spa"),
        ("asr:resnet11+", {}, "unknown attention module ''"),
        ("asr:vgg19_bn+dia", {}, "only the ResNets have it"),
        ("resnet11", {}, "'resnet11' names no backbone of ours"),
        ("asr:resnet11", {"depth": 3}, "takes num_classes alone, got depth"),
        ("asr:resnet11", {"num_classes": 0}, "num_classes is 0; it must be a whole number from 1"),
        (
            "asr:resnet11",
            {"num_classes": 2.0},
            "num_classes is 2.0; it must be a whole number from 1",
        ),
        (
            "asr:resnet11",
            {"num_classes": True},
            "num_classes is True; it must be a whole number from 1",
        ),
    ],
)
def test_names_that_build_nothing(name, arguments, message):
    with pytest.raises(InputError, match=message):
        build_named(name, arguments)
