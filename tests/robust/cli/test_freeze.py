"""``robust freeze``: what is told is what numpy and hooks say, and what is written is plain."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from click.testing import Result
from model_commands import failed, invoke
from safetensors.torch import load_file
from saved_models import randomise
from tiny_networks import save_tiny
from torch import Tensor, nn

import asr_core.data
from asr_core import fuse_asr
from asr_core.data import ImageSet, MemorySplit
from asr_core.freeze import find_gates
from asr_core.models import Normalized, build
from asr_core.saving.checkpoint import load_meta
from asr_core.saving.model_facts import StockModel
from asr_core.saving.saved_model import save_model
from robust.models.files import open_model
from robust.models.freezing import plain_name
from robust.models.names import build_model
from robust.stats.accuracy_change import accuracy_change

CLASSES = 5
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)


def split(n: int, seed: int, labels: Tensor | None = None) -> MemorySplit:
    """Pictures that differ in contrast, so that gates differ between them."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(n, 3, 32, 32, generator=generator)
    images = images * torch.linspace(0.1, 1, n)[:, None, None, None]
    labels = torch.arange(n) % CLASSES if labels is None else labels
    return MemorySplit((images * 255).to(torch.uint8), labels)


def pictures(part: MemorySplit) -> Tensor:
    return part.images.float() / 255


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch) -> ImageSet:
    """What --data tiny opens; its splits can be replaced before the command runs."""
    parts = {"train": split(40, 0), "validation": split(20, 1), "test": split(30, 2)}
    found = ImageSet("tiny", tuple("abcde"), 32, MEAN, STD, **parts)

    def opened(name: str, **options: Any) -> ImageSet:
        assert (name, options) == ("tiny", {"folder": None, "image_size": 32})
        return found

    monkeypatch.setattr(asr_core.data, "open_data", opened)
    monkeypatch.setitem(asr_core.data.DATASETS._entries, "tiny", opened)
    return found


def relabel(data: ImageSet, part: str, labels: Tensor) -> None:
    getattr(data, part).labels = labels


def save(path: Path, name: str = "asr:resnet11+se", *, normalized: bool = True) -> nn.Module:
    """A model with live gates that differ between pictures, on disk."""
    arguments = {"num_classes": CLASSES}
    model = build_model(name, arguments)
    randomise(model)
    for site in find_gates(model)[0]:  # away from the middle of their sigmoids
        for parameter in model.get_submodule(site.name).parameters():
            parameter.data *= 3
    stock = StockModel(name, arguments, (3, 32, 32))
    if normalized:
        model = Normalized(model, MEAN, STD)
    save_model(path, model.eval(), stock)
    return model


def freeze(*arguments: object) -> Result:
    return invoke("freeze", *arguments, "--data", "tiny")


def figures(*arguments: object) -> dict[str, Any]:
    result = freeze(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def gates_of(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """Each gate (n, C) on ``images``, by a hook on the attention module."""
    found: dict[str, Tensor] = {}
    handles = [
        model.get_submodule(site.gate).register_forward_hook(
            lambda _, __, gate, name=site.name: found.update({name: gate.flatten(1)})
        )
        for site in find_gates(model)[0]
    ]
    with torch.no_grad():
        model(images)
    for handle in handles:
        handle.remove()
    return found


def at_means(model: nn.Module, images: Tensor) -> nn.Module:
    """``model`` with its gates at their means over ``images``, by hooks."""
    means = {name: gate.mean(0) for name, gate in gates_of(model, images).items()}
    for site in find_gates(model)[0]:
        model.get_submodule(site.gate).register_forward_hook(
            lambda _, __, gate, v=means[site.name]: v.reshape(1, *gate.shape[1:]).expand_as(gate)
        )
    return model


def test_the_file_is_the_plain_backbones_with_the_means_in_it(
    tmp_path: Path, data: ImageSet
) -> None:
    path, out = tmp_path / "live.safetensors", tmp_path / "plain.safetensors"
    live = save(path)
    told = figures(path, "--out", out)
    assert told["stock"] == "asr:resnet11"
    meta = load_meta(out)
    assert (meta["stock"], meta["frozen"], meta["mean"]) == ("asr:resnet11", [], list(MEAN))
    plain = build("resnet11", CLASSES)
    plain.load_state_dict(load_file(out), strict=True)

    images = pictures(data.test)
    with torch.no_grad():
        before = live(images)
        wanted = at_means(live, pictures(data.train))(images)
        again = open_model(out).model(images)
    assert torch.allclose(again, wanted, rtol=1e-4, atol=1e-4 * wanted.abs().max())
    assert not torch.allclose(before, wanted, rtol=1e-2, atol=1e-3), "freezing changes something"


def test_the_figures(tmp_path: Path, data: ImageSet) -> None:
    path = tmp_path / "live.safetensors"
    live = save(path)
    told = figures(path, "--batch-size", 7)
    gates = gates_of(live, pictures(data.train))
    assert [gate["name"] for gate in told["gates"]] == [
        name.removeprefix("model.") for name in gates
    ]
    for figure, gate in zip(told["gates"], gates.values(), strict=True):
        g = gate.double().numpy()
        assert figure["channels"] == g.shape[1]
        assert figure["kind"] == "SE"
        assert figure["mean"] == pytest.approx(g.mean(), rel=1e-5)
        assert figure["std_between_images"] == pytest.approx(g.std(0).mean(), rel=1e-4)
        stripe = g.var(0).mean() / g.mean(0).var()
        assert figure["stripe"] == pytest.approx(stripe, rel=1e-3)
        assert stripe > 1e-4, "these gates are not constant"
        assert figure["layers"] == [figure["name"].replace("attention", "bn3")]
        assert figure["side"] == "output"
    assert told["live"] == []
    assert told["data"] == {"name": "tiny", "train_images": 40, "split": "test"}
    assert told["parity"]["max_rel"] <= told["parity"]["tolerance"]
    assert told["speed"]["shape"] == [4, 3, 32, 32]
    assert (told["out"], told["stock"]) == (None, None)
    assert len(list(tmp_path.iterdir())) == 1, "nothing is written without --out"


def test_few_images_are_drawn_from_the_training_split_alone(tmp_path: Path, data: ImageSet) -> None:
    path = tmp_path / "live.safetensors"
    live = save(path)
    gates = gates_of(live, pictures(data.train))["model.layer1.0.attention"].double()
    told = figures(path, "--max-images", 3)
    assert told["data"]["train_images"] == 3
    assert figures(path, "--max-images", 3)["gates"] == told["gates"], "the same each time"
    triples = [
        gates[[i, j, k]].mean().item() for i in range(40) for j in range(i) for k in range(j)
    ]
    closest = min(abs(mean - told["gates"][0]["mean"]) for mean in triples)
    assert closest <= 1e-6, "the mean of three training images"


def classes(model: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        return model(images).argmax(1)


def test_a_loss_of_accuracy_is_said(tmp_path: Path, data: ImageSet) -> None:
    """Labels are what the live model says, so that it is always right."""
    path = tmp_path / "live.safetensors"
    live, images = save(path), pictures(data.test)
    with torch.no_grad():  # so that no class is every picture's
        live.model.fc.bias -= live(images).median(0).values  # type: ignore[union-attr,operator]
    save_model(path, live, open_model(path).stock)  # type: ignore[attr-defined]
    relabel(data, "test", classes(live, images))
    assert len(set(data.test.labels.tolist())) > 2
    before = np.ones(len(images), dtype=bool)
    after = (classes(at_means(live, pictures(data.train)), images) == data.test.labels).numpy()
    assert after.mean() < 0.8, "freezing does lose"
    change = accuracy_change(before, after)
    told = figures(path)["accuracy"]
    assert told["answer"] == "loses accuracy"
    assert (told["before"], told["after"]) == (1.0, after.mean())
    assert (told["low"], told["high"]) == (change.low, change.high)
    *_, accuracy, speed = freeze(path).stdout.splitlines()
    assert accuracy == f"on the test images, {change.sentence}"
    assert speed.startswith("speed: ")


def test_accuracy_on_the_validation_split(tmp_path: Path, data: ImageSet) -> None:
    path = tmp_path / "live.safetensors"
    live = save(path)
    relabel(data, "validation", classes(live, pictures(data.validation)))
    told = figures(path, "--split", "validation")
    assert told["data"]["split"] == "validation"
    assert (told["accuracy"]["before"], told["accuracy"]["n"]) == (1.0, 20)


def test_the_table(tmp_path: Path, data: ImageSet) -> None:
    path, out = tmp_path / "live.safetensors", tmp_path / "plain.safetensors"
    save(path)
    head, first, _, _, parity, accuracy, speed, written = freeze(
        path, "--out", out
    ).stdout.splitlines()
    assert head.startswith("gate ")
    assert "stripe score" in head
    assert first.startswith("layer1.0.attention  SE ")
    assert first.endswith("output of layer1.0.bn3")
    assert parity.startswith("3 gates frozen at their means over 40 training images of tiny; ")
    assert "outputs agree" in parity
    assert "95 % interval" in accuracy
    assert "times as fast" in speed
    assert written == f"{out}: asr:resnet11"


# --- models of other kinds ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("live", "plain"),
    [
        ("timm:seresnet50", "timm:resnet50"),
        ("timm:ecaresnet50d", "timm:resnet50d"),
        ("timm:seresnext50_32x4d", "timm:resnext50_32x4d"),
        ("asr:resnet164+se", "asr:resnet164"),
        ("asr:vgg19_bn+srm", "asr:vgg19_bn"),
        ("timm:resnet50", None),
        ("timm:efficientnet_b0", None),
        ("mobilenet_v3_small", None),
        ("asr:resnet164", None),
    ],
)
def test_the_names_of_plain_twins(live: str, plain: str | None) -> None:
    assert plain_name(live) == plain
    if live.startswith("timm:"):
        assert all(timm.is_model(name.removeprefix("timm:")) for name in (live, plain) if name)


def test_a_model_without_a_plain_twin_says_which_gates_are_gone(
    tmp_path: Path, data: ImageSet
) -> None:
    name = "mobilenet_v3_small"
    path, out = tmp_path / "live.safetensors", tmp_path / "plain.safetensors"
    save(path, name, normalized=False)
    told = figures(path, "--out", out)
    assert told["stock"] == name
    meta = load_meta(out)
    assert meta["frozen"] == [gate["name"] for gate in told["gates"]]
    assert len(meta["frozen"]) == 9
    assert sum(t.numel() for t in load_file(out).values()) < sum(
        t.numel() for t in load_file(path).values()
    )
    # It is still the same model after another command has read and written it.
    folded = tmp_path / "folded.safetensors"
    arguments = ["--format", "safetensors", "--fold", "--out", folded]
    assert invoke("export", out, *arguments).exit_code == 0
    images = pictures(data.test)
    with torch.no_grad():
        a, b = (open_model(file).model(images) for file in (out, folded))
    assert torch.allclose(a, b, atol=1e-5 * a.abs().max())


def test_a_folded_file_that_is_written_again_is_still_read(tmp_path: Path) -> None:
    path, once, twice = (tmp_path / f"{name}.safetensors" for name in ("live", "once", "twice"))
    save(path, "asr:resnet11")
    assert invoke("export", path, "--format", "safetensors", "--fold", "--out", once).exit_code == 0
    assert invoke("export", once, "--format", "safetensors", "--out", twice).exit_code == 0
    assert load_file(once).keys() == load_file(twice).keys() != load_file(path).keys()
    open_model(twice)


def test_asr_beside_live_attention_is_fused_first(tmp_path: Path, data: ImageSet) -> None:
    path, out = tmp_path / "both.safetensors", tmp_path / "plain.safetensors"
    model = build("resnet11", CLASSES, mode="both", attention="se")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("psi"):
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
    model = Normalized(model, MEAN, STD).eval()
    save_model(path, model, StockModel("asr:resnet11+se", {"num_classes": CLASSES}, (3, 32, 32)))
    assert figures(path, "--out", out)["stock"] == "asr:resnet11"
    images = pictures(data.test)
    wanted = at_means(fuse_asr(model), pictures(data.train))
    with torch.no_grad():
        a, b = open_model(out).model(images), wanted(images)
    assert torch.allclose(a, b, rtol=1e-4, atol=1e-5)


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("asr:resnet11+cbam", ["layer1.0.attention", "spatial half"]),
        ("asr:resnet11+dia", ["LSTM"]),
        ("asr:resnet11", ["no live channel gate", "Known are"]),
    ],
)
def test_models_without_a_gate_to_freeze(
    tmp_path: Path, data: ImageSet, name: str, words: list[str]
) -> None:
    path, out = tmp_path / "live.safetensors", tmp_path / "plain.safetensors"
    save(path, name)
    failed(freeze(path, "--out", out), *words)
    assert not out.exists()


def test_a_data_set_of_other_classes(tmp_path: Path, data: ImageSet) -> None:
    path = tmp_path / "live.safetensors"
    model = Normalized(build("resnet11", 7, mode="live"), MEAN, STD)
    save_model(path, model, StockModel("asr:resnet11+se", {"num_classes": 7}, (3, 32, 32)))
    failed(freeze(path), "(1, 7) for an image", "'tiny' has 5 classes")


def test_a_style_network(tmp_path: Path, data: ImageSet) -> None:
    path = save_tiny(tmp_path, "bn+asr", 0)
    failed(freeze(path), "a style network has no live attention to freeze")
