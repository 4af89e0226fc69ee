"""robust.models.files: our backbones in each mode, normalised, through the commands.

The oracle is the stock backbone, built and normalised here, whose live attention is the model's
own and whose gates are hooks on outputs.
"""

import json
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
from header import change_facts
from model_commands import failed, invoke
from safetensors.torch import load_file, save_file
from saved_models import randomise
from tiny_networks import save_tiny
from torch import Tensor, nn
from torchvision.transforms import v2

from asr_core import StockModel, save_model
from asr_core.asr.parametrization import gated_layers
from asr_core.data import ImageSet, MemorySplit
from asr_core.models import BACKBONES, Normalized, build
from asr_core.models.named import named
from asr_core.recipes import load_recipe
from asr_core.saving.checkpoint import META, load_meta
from asr_core.training import TrainConfig, new_accelerator, train
from robust.models.files import StyleFile, open_model
from styletransfer.zoo import load_network

MEAN, STD = (0.5, 0.4, 0.3), (0.25, 0.2, 0.3)
CLASSES = 4
BLOCKS = 3
MODES = ("plain", "live", "asr", "both")


def trained(mode: str, backbone: str = "resnet11") -> Normalized:
    """Live attention and gates away from their start, and not the same."""
    live = mode in ("live", "both")
    model = build(backbone, CLASSES, mode="live" if live else "plain")
    randomise(model)
    if mode in ("asr", "both"):
        report = BACKBONES[backbone].insert(model)
        generator = torch.Generator().manual_seed(1)
        for parameter in report.parameters():
            parameter.data.copy_(torch.randn(parameter.shape, generator=generator))
    return Normalized(model, MEAN, STD).eval()


def save(path: Path, mode: str, backbone: str = "resnet11", side: int = 16) -> Normalized:
    model = trained(mode, backbone)
    name = named(backbone, "se" if mode in ("live", "both") else None)
    save_model(path, model, StockModel(name, {"num_classes": CLASSES}, (3, side, side)))
    return model


def expected(model: Normalized, mode: str, images: Tensor, backbone: str = "resnet11") -> Tensor:
    """The gated model's outputs, by the stock model's layers and products of their outputs."""
    live = mode in ("live", "both")
    stock = build(backbone, CLASSES, mode="live" if live else "plain").eval()
    gates = dict(gated_layers(model.model))
    stock.load_state_dict(
        {
            key.replace("parametrizations.", "").removesuffix(".original"): value
            for key, value in model.model.state_dict().items()
            if ".asr." not in key
        },
        strict=True,
    )
    for name, layer in gates.items():
        v = layer.asr.scale().detach()  # type: ignore[union-attr,operator]
        stock.get_submodule(name).register_forward_hook(
            lambda _, __, output, v=v: output * v[:, None, None]
        )
    with torch.no_grad():
        return stock(v2.functional.normalize(images, MEAN, STD))


def close(a: Tensor, b: Tensor) -> bool:
    return bool((a - b).abs().max() <= 1e-4 * b.abs().max())


@pytest.fixture(scope="module", params=MODES)
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of each mode, which is its name."""
    path = tmp_path_factory.mktemp("models") / f"{request.param}.safetensors"
    save(path, request.param)
    return path


def sigmoids(path: Path) -> int:
    """Gates, and live attention, end in one each; nothing else in the network has one."""
    if path.suffix == ".pt2":
        nodes = torch.export.load(path).graph.nodes
        return sum("sigmoid" in str(node.target) for node in nodes)
    return sum(node.op_type == "Sigmoid" for node in onnx.load(path).graph.node)


def run(path: Path, images: Tensor) -> Tensor:
    if path.suffix == ".pt2":
        return torch.export.load(path).module()(images).detach()
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {"images": images.numpy()})[0])


@pytest.mark.parametrize(("mode", "suffix"), [
    pytest.param("asr", "pt2", marks=pytest.mark.slow),
    pytest.param("live", "pt2", marks=pytest.mark.slow), ("both", "onnx"),
])  # fmt: skip
def test_a_program_takes_images_and_has_no_gate_but_live_attention(
    tmp_path: Path, mode: str, suffix: str
) -> None:
    path, out = tmp_path / "trained.safetensors", tmp_path / f"model.{suffix}"
    save(path, mode)
    result = invoke("export", path, "--format", suffix, "--out", out)
    assert result.exit_code == 0, result.output
    gated = mode in ("asr", "both")
    assert f"{BLOCKS if gated else 0} gates fused" in result.stdout
    images = torch.rand(3, 3, 16, 16)
    wanted = expected(trained(mode), mode, images)
    assert close(run(out, images), wanted)
    bare = build("resnet11", CLASSES).eval()
    assert not close(bare(images), wanted)
    assert sigmoids(out) == (BLOCKS if mode in ("live", "both") else 0)
    if suffix == "pt2":
        names = set(torch.export.load(out).state_dict)
    else:
        names = {tensor.name for tensor in onnx.load(out).graph.initializer}
    assert any("layer1" in name for name in names)
    assert not any("asr" in name or "psi" in name for name in names)


def test_a_plain_file_is_the_stock_backbones(saved: Path, tmp_path: Path) -> None:
    mode, out = saved.stem, tmp_path / "plain.safetensors"
    result = invoke("export", saved, "--format", "safetensors", "--out", out)
    assert result.exit_code == 0, result.output
    live = mode in ("live", "both")
    stock = build("resnet11", CLASSES, mode="live" if live else "plain")
    stock.load_state_dict(load_file(out), strict=True)
    meta = load_meta(out)
    assert meta["stock"] == ("asr:resnet11+se" if live else "asr:resnet11")
    assert meta["asr"] is None
    assert (tuple(meta["mean"]), tuple(meta["std"])) == (MEAN, STD)
    again = open_model(out)
    images = torch.rand(3, 3, 16, 16)
    wanted = expected(trained(mode), mode, images)
    with torch.no_grad():
        assert close(again.model(images), wanted)
        assert close(stock.eval()(v2.functional.normalize(images, MEAN, STD)), wanted)


def test_fuse_does_the_same_where_there_are_gates(saved: Path, tmp_path: Path) -> None:
    mode, out = saved.stem, tmp_path / "plain.safetensors"
    result = invoke("fuse", saved, "--out", out)
    if mode in ("plain", "live"):
        failed(result, "has no ASR: nothing to fuse")
        return
    assert result.exit_code == 0, result.output
    images = torch.rand(3, 3, 16, 16)
    with torch.no_grad():
        assert close(open_model(out).model(images), expected(trained(mode), mode, images))


def test_folded_files_keep_the_normalisation(saved: Path, tmp_path: Path) -> None:
    mode, out = saved.stem, tmp_path / "folded.safetensors"
    result = invoke("export", saved, "--format", "safetensors", "--fold", "--out", out)
    assert result.exit_code == 0, result.output
    meta = load_meta(out)
    assert ["conv1", "bn1"] in meta["folded"]
    again = open_model(out).model
    assert isinstance(again, Normalized)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in again.modules())
    images = torch.rand(3, 3, 16, 16)
    with torch.no_grad():
        assert close(again(images), expected(trained(mode), mode, images))


@pytest.mark.slow
def test_one_gate_for_several_branches(tmp_path: Path) -> None:
    path, out = tmp_path / "repvgg.safetensors", tmp_path / "plain.safetensors"
    model = save(path, "asr", "repvgg_a0", side=8)
    opened = open_model(path)
    assert len(load_meta(path)["asr"]["shared"]) == 22
    images = torch.rand(2, 3, 8, 8)
    with torch.no_grad():
        assert torch.equal(opened.model(images), model(images))
    plain, parity = opened.fused()
    assert parity.ok
    opened.save(out, plain, step="fused")
    build("repvgg_a0", CLASSES).load_state_dict(load_file(out), strict=True)
    with torch.no_grad():
        wanted = expected(model, "asr", images, "repvgg_a0")
        assert close(open_model(out).model(images), wanted)


# --- training runs --------------------------------------------------------------------------------


def pictures(n: int) -> MemorySplit:
    random = torch.Generator().manual_seed(n)
    pixels = torch.randint(256, (n, 3, 16, 16), generator=random, dtype=torch.uint8)
    return MemorySplit(pixels, torch.arange(n) % CLASSES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that ended, with two updates behind it."""
    path = tmp_path_factory.mktemp("runs") / "run"
    recipe = load_recipe("resnet29-embedded").override(backbone="resnet11", epochs=1, batch_size=4)
    config = TrainConfig(recipe=recipe)
    classes = tuple("abcd")
    splits = {"train": pictures(8), "validation": pictures(5), "test": pictures(6)}
    data = ImageSet(name=recipe.data, classes=classes, image_size=16, mean=MEAN, std=STD, **splits)
    train(config, data, path, accelerator=new_accelerator(config, path))
    return path


@pytest.mark.parametrize("inside", ["", "last.pt", "best.pt"])
def test_a_run_fuses_to_what_it_wrote_itself(folder: Path, tmp_path: Path, inside: str) -> None:
    out = tmp_path / "plain.safetensors"
    result = invoke("fuse", folder / inside, "--out", out)
    assert result.exit_code == 0, result.output
    assert "3 gates fused" in result.stdout
    own, found = load_file(folder / "fused.safetensors"), load_file(out)
    assert own.keys() == found.keys()
    assert all(torch.equal(own[name], found[name]) for name in own)
    one, other = load_meta(folder / "fused.safetensors"), load_meta(out)
    made, made_again = one.pop("made"), other.pop("made")
    assert one == other
    assert made["how"] == made_again["how"]
    assert made["numbers"]["test top1"] >= 0
    assert made_again["numbers"] == ({} if inside == "best.pt" else made["numbers"])


def test_a_run_is_exported(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "plain.safetensors"
    result = invoke("export", folder, "--format", "safetensors", "--fold", "--out", out)
    assert result.exit_code == 0, result.output
    images = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        assert close(open_model(out).model(images), open_model(folder).model(images))


def test_what_is_no_run(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "plain.safetensors"
    failed(invoke("fuse", tmp_path, "--out", out), "last.pt: no such state of a run")
    failed(invoke("fuse", tmp_path / "last.pt", "--out", out), "last.pt: no such checkpoint")
    result = invoke("fuse", folder, "--model", "resnet18", "--out", out)
    failed(result, "is a training run, which 'resnet18' does not build")
    (tmp_path / "code.pt").write_bytes(b"no torch file")
    failed(invoke("fuse", tmp_path / "code.pt", "--out", out), "it is damaged, or a pickle")


def test_a_torch_file_may_be_a_style_network(tmp_path: Path) -> None:
    network = load_network(save_tiny(tmp_path, "in", 0))[0]
    torch.save(network.state_dict(), tmp_path / "candy.pt")
    assert isinstance(open_model(tmp_path / "candy.pt"), StyleFile)


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"stock": "asr:resnet29"}, ["stock model 'asr:resnet29'", "missing: layer1.1.conv1.weig"]),
        ({"stock": "asr:resnet11+se"}, ["missing: layer1.0.attention."]),
        ({"stock": "asr:resnet12"}, ["unknown backbone 'resnet12'", "resnet164"]),
        ({"stock": "asr:resnet11+sse"}, ["unknown attention module 'sse'", "srm"]),
        ({"stock": "resnet50"}, ["describes a model of more than"]),
        ({"arguments": {"depth": 11}}, ["takes num_classes alone, got depth"]),
        ({"arguments": {"num_classes": 5}}, ["fc.weight (4, 256) torch.float32 for (5, 256)"]),
        ({"input_shape": [1, 16, 16]}, ["mean and std are of images (3, H, W)", "(1, 16, 16)"]),
        ({"input_shape": [3, 16]}, ["mean and std are of images (3, H, W)", "(3, 16)"]),
        ({"mean": None}, ["mean and std go together"]),
        ({"mean": [120, 110, 100]}, ["mean must be of images in [0, 1]"]),
    ],
)
@pytest.mark.parametrize("command", [["fuse"], ["export", "--format", "safetensors"]])
def test_files_that_do_not_fit(
    tmp_path: Path, command: list[str], fields: dict[str, object], words: list[str]
) -> None:
    path = tmp_path / "asr.safetensors"
    save(path, "asr")
    change_facts(path, **fields)
    out = tmp_path / "plain.safetensors"
    failed(invoke(*command, path, "--out", out), *words)
    assert not out.exists()


@pytest.mark.parametrize("name", ["fc.bias", "layer2.0.bn3.asr.psi", "bn1.running_var"])
@pytest.mark.parametrize("command", [["fuse"], ["export", "--format", "safetensors"]])
def test_values_that_are_not_finite(tmp_path: Path, command: list[str], name: str) -> None:
    path = tmp_path / "asr.safetensors"
    save(path, "asr")
    tensors = load_file(path)
    tensors[name].flatten()[0] = torch.inf
    save_file(tensors, path, metadata={META: json.dumps(load_meta(path))})
    out = tmp_path / "plain.safetensors"
    failed(invoke(*command, path, "--out", out), f"{name} holds NaN or infinite values")
    assert not out.exists()
