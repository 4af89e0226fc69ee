"""robust.norm_noise.endings: the same function, with the norm and what follows it apart."""

from pathlib import Path

import timm
import torch
from saved_models import randomise
from torch import nn

from asr_core.saving.model_facts import StockModel
from asr_core.saving.saved_model import save_model
from robust.norm_noise import Noise, norm_layers, parse_severity, run_under
from robust.norm_noise.endings import apart
from robust.suites.subject import open_subject


def lite() -> nn.Module:
    with torch.random.fork_rng():
        model = timm.create_model("tf_efficientnet_lite0", num_classes=5)
    randomise(model)
    return model.eval()


IMAGES = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def test_it_computes_the_same_and_the_model_stays() -> None:
    model = lite()
    names = list(model.state_dict())
    parted = apart(model)
    with torch.no_grad():
        assert torch.equal(parted(IMAGES), model(IMAGES))
    assert list(model.state_dict()) == names
    assert len(norm_layers(parted)) == len(norm_layers(model)) == 49
    assert {type(layer) for layer in norm_layers(parted).values()} == {nn.BatchNorm2d}


def test_noise_comes_before_the_activation() -> None:
    """The oracle is the formula, computed on the one layer by hand."""
    joined = timm.layers.BatchNormAct2d(3, act_layer=nn.ReLU6)
    randomise(joined)
    layer = nn.Sequential(joined.eval())
    x = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(1))
    shape = (1, 3, 1, 1)
    mean, var, weight, bias = (
        tensor.view(shape)
        for tensor in (joined.running_mean, joined.running_var, joined.weight, joined.bias)
    )
    normal = (x - mean) / (var + joined.eps).sqrt()
    expected = (weight * (0.8 * normal + 0.5) + bias).clamp(0, 6)
    assert (expected == 0).any()
    with torch.no_grad():
        found = run_under(apart(layer), x, parse_severity("constant", "0.8,0.5"))
    assert torch.allclose(found, expected, atol=1e-5)


def test_batch_statistics_reach_it() -> None:
    parted = apart(lite())
    with torch.no_grad():
        clean = parted(IMAGES)
        found = run_under(parted, IMAGES, parse_severity("batch", "4"))
    assert not torch.allclose(clean, found, atol=1e-3)


def test_a_layer_under_two_names_stays_one() -> None:
    joined = timm.layers.BatchNormAct2d(3)
    parted = apart(nn.Sequential(joined, joined))
    assert parted[0] is parted[1]


def test_a_model_without_such_layers_is_the_answer() -> None:
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.ReLU())
    assert apart(model) is model
    with Noise(model.eval(), parse_severity("constant", "0.8,0.5")):
        pass


def test_a_classifier_under_test_has_them_apart(tmp_path: Path) -> None:
    stock = StockModel("timm:tf_efficientnet_lite0", {"num_classes": 5}, (3, 64, 64))
    model = lite()
    save_model(tmp_path / "lite.safetensors", model, stock)
    subject = open_subject(tmp_path / "lite.safetensors")
    assert subject.meta["batch_norms"] == 49
    with torch.no_grad():
        assert torch.equal(subject.model(IMAGES), model(IMAGES))
        run_under(subject.model, IMAGES, parse_severity("random", "0.1"))
