"""robust.models.names: what a name builds, and what is said about one that builds nothing."""

import sys
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from torch import nn

from asr_core.errors import InputError
from asr_core.models import resnet_cifar
from robust.models.names import build_model, names_code

OWN = """
import torch
from torch import nn

CONSTANT = 3

def tiny(width=4):
    return nn.Linear(width, 2)

def tiny_not_a_model():
    return [1]

def needs(width):
    return nn.Linear(width, 2)
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module beside the user, in a working directory that is on no import path."""
    (tmp_path / "own_models.py").write_text(OWN)
    (tmp_path / "own_broken.py").write_text("import no_such_package_at_all\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    monkeypatch.delitem(sys.modules, "own_models", raising=False)
    return "own_models"


def test_a_torchvision_name_builds_torchvisions_model() -> None:
    model = build_model("squeezenet1_1", {"num_classes": 7})
    stock = torchvision.models.squeezenet1_1(num_classes=7)
    assert type(model) is type(stock)
    assert {k: v.shape for k, v in model.state_dict().items()} == {
        k: v.shape for k, v in stock.state_dict().items()
    }


def test_nothing_is_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a download was tried")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", refuse)
    with pytest.raises(AssertionError, match="a download was tried"):
        torchvision.models.segmentation.lraspp_mobilenet_v3_large()  # what a bare call would do
    assert isinstance(build_model("lraspp_mobilenet_v3_large"), nn.Module)


def test_timms_names_with_their_prefix() -> None:
    model = build_model("timm:resnet10t", {"num_classes": 5})
    assert type(model) is type(timm.create_model("resnet10t", num_classes=5))
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 5)


def test_our_backbones_with_their_prefix() -> None:
    model = build_model("asr:resnet11", {"num_classes": 5})
    assert list(model.state_dict()) == list(resnet_cifar(11, 5).state_dict())
    live = build_model("asr:resnet11+eca")
    assert list(live.state_dict()) == list(resnet_cifar(11, 10, attention="eca").state_dict())


def test_a_factory_of_the_users_own(own: str) -> None:
    assert build_model(f"{own}:tiny", {"width": 6}).weight.shape == (2, 6)  # type: ignore[union-attr]


def test_a_factory_of_an_installed_package() -> None:
    assert isinstance(build_model("torch.nn:Identity"), nn.Identity)


@pytest.mark.parametrize(
    "name", ["squeezenet1_1", "asr:resnet11", "timm:resnet10t", "torch.nn:Identity"]
)
def test_torchs_random_state_is_left_alone(name: str) -> None:
    before = torch.random.get_rng_state()
    build_model(name)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("resnet19", ["unknown torchvision model 'resnet19'", "resnet18", "timm:NAME"]),
        ("resnet164", ["close matches: asr:resnet164, resnet34", "asr:NAME[+ATTENTION]"]),
        ("vit_s_16", ["asr:vit_s_16", "vit_b_16"]),
        ("vgg19_bm", ["close matches: vgg19_bn"]),
        ("asr:resnet165", ["unknown backbone 'resnet165'. Did you mean 'resnet164'"]),
        ("asr:resnet11+sse", ["unknown attention module 'sse'"]),
        ("qqqqqq", ["unknown torchvision model 'qqqqqq'", "package.module:factory"]),
        ("", ["unknown torchvision model ''"]),
        ("timm:resnet10x", ["unknown timm model 'resnet10x'", "resnet10t"]),
        ("timm:hf-hub:someone/model", ["unknown timm model"]),
        ("no_such_package:make", ["cannot be imported", "ModuleNotFoundError"]),
        ("own_broken:make", ["'own_broken' cannot be imported", "no_such_package_at_all"]),
        ("own_models:tini", ["has no 'tini'", "tiny"]),
        ("own_models:CONSTANT", ["is a int, not a factory"]),
        ("own_models:tiny_not_a_model", ["gives a list, not an nn.Module"]),
        ("own_models:needs", ["cannot be built", "missing 1 required", "'width'"]),
        ("own_models:", ["is no package.module:factory"]),
        ("./own_models.py:tiny", ["is no package.module:factory"]),
    ],
)
def test_a_name_that_builds_nothing(own: str, name: str, words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        build_model(name)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize("argument", ["weights", "weights_backbone", "pretrained"])
def test_weights_cannot_be_asked_for(argument: str) -> None:
    with pytest.raises(InputError, match=f"'{argument}' cannot be given"):
        build_model("squeezenet1_1", {argument: True})


def test_an_argument_that_the_builder_does_not_know() -> None:
    with pytest.raises(InputError, match=r"'squeezenet1_1' cannot be built: .*'depth'"):
        build_model("squeezenet1_1", {"depth": 3})


def test_timm_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError, match=r"pip install .*timm"):
        build_model("timm:resnet10t")


@pytest.mark.parametrize(
    ("name", "runs"),
    [
        ("resnet18", False),
        ("timm:resnet18", False),
        ("asr:resnet11+se", False),
        ("os:system", True),
    ],
)
def test_which_names_run_code_of_their_own(name: str, runs: bool) -> None:
    assert names_code(name) is runs
