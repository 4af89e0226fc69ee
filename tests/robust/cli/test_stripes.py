"""``robust stripes`` and ``robust train --record-attention``: pictures, arrays, the record."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from live_stripes import OPTIONS, data, known, press_after
from PIL import Image
from saved_models import randomise
from tiny_networks import save_tiny

from asr_core.models import Normalized, build
from asr_core.saving.model_facts import StockModel
from asr_core.saving.saved_model import save_model
from asr_core.stripes import AttentionRecord, chosen, gate_values, load_record
from asr_core.training import open_run
from robust.cli import main
from robust.stripes.measure import convergence
from robust.stripes.source import describe, open_source

CLASSES = 5
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    known(monkeypatch)


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(part) for part in arguments], prog_name="robust")


def failed(result: Result, *words: str) -> None:
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    *_, line = result.stderr.strip().splitlines()
    assert line.startswith("robust: error: "), result.stderr
    for word in words:
        assert word in line, line


def train(folder: Path, *arguments: object) -> Path:
    result = invoke("train", *OPTIONS, "--out", folder, *arguments)
    assert result.exit_code == 0, result.output
    return folder


def save(path: Path, attention: str = "se") -> Normalized:
    """A classifier with live gates that differ between pictures, on disk."""
    model = Normalized(
        randomised(build("resnet11", CLASSES, mode="live", attention=attention)), MEAN, STD
    )
    name = f"asr:resnet11+{attention}"
    save_model(path, model.eval(), StockModel(name, {"num_classes": CLASSES}, (3, 32, 32)))
    return model


def randomised(model: torch.nn.Module) -> torch.nn.Module:
    randomise(model)
    return model


def stripes(*arguments: object) -> dict[str, Any]:
    result = invoke("stripes", *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as found:
        return dict(found)


def pictures(folder: Path) -> set[str]:
    """Names of the pictures, each of which is there as PNG, SVG and NPZ."""
    names = {path.stem for path in folder.glob("*.png")}
    for name in names:
        with Image.open(folder / f"{name}.png") as image:
            assert min(image.size) > 150
            assert len(set(image.convert("L").get_flattened_data())) > 20, "not blank"
        assert "<svg" in (folder / f"{name}.svg").read_text()
        assert (folder / f"{name}.npz").is_file()
    return names


# --- a checkpoint ---------------------------------------------------------------------------------


def test_the_arrays_are_the_gates_of_the_chosen_images_and_channels(tmp_path: Path) -> None:
    path, out = tmp_path / "live.safetensors", tmp_path / "out"
    model = save(path)
    told = stripes(path, "--data", "small", "--max-images", 9, "--channels", 70, "--out", out)
    assert pictures(out) == {"stripes"}
    picked = chosen("images", 17, 9)
    images = data().test.images[picked].float() / 255
    values, _ = gate_values(model, [images])
    shown = arrays(out / "stripes.npz")
    assert list(shown) == list(values)
    for layer, (name, gate) in zip(told["layers"], values.items(), strict=True):
        channels = chosen("channels", gate.shape[1], 70)
        assert np.allclose(shown[name], gate[:, channels], atol=1e-6)
        assert shown[name].shape == (9, min(70, gate.shape[1]))
        score = gate.double().var(0, correction=0).mean() / gate.double().mean(0).var(correction=0)
        assert layer["stripe"] == pytest.approx(score.item(), rel=1e-3)
        assert score > 1e-6
        assert (layer["name"], layer["channels"]) == (name, gate.shape[1])
        assert layer["mean"] == pytest.approx(gate.mean().item(), rel=1e-5)
    assert json.loads((out / "stripes.json").read_text()) == told
    assert told["convergence"] is None


def test_the_same_seed_shows_the_same_images_and_channels_of_other_models(tmp_path: Path) -> None:
    """The second model gives each channel of each image another value, by a known amount."""
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    model = save(first)
    for stage in ("layer1", "layer2", "layer3"):
        getattr(model.model, stage)[0].attention.expand.bias.data.fill_(50.0)
    save_model(second, model, StockModel("asr:resnet11+se", {"num_classes": CLASSES}, (3, 32, 32)))
    for path, seed in ((first, 0), (first, 1), (second, 0)):
        out = tmp_path / f"{path.stem}{seed}"
        stripes(path, "--data", "small", "--max-images", 5, "--seed", seed, "--out", out)
    a, b, c = (arrays(tmp_path / name / "stripes.npz") for name in ("a0", "a1", "b0"))
    assert not np.allclose(a["layer1.0.attention"], b["layer1.0.attention"])
    assert all(np.allclose(values, 1) for values in c.values())
    scores = json.loads((tmp_path / "b0" / "stripes.json").read_text())["layers"]
    assert [layer["stripe"] for layer in scores] == [0.0, 0.0, 0.0]


def test_the_table_and_the_default_folder(tmp_path: Path) -> None:
    path = tmp_path / "live.safetensors"
    save(path)
    result = invoke("stripes", path, "--data", "small", "--max-images", 5)
    assert result.exit_code == 0, result.output
    head, *layers, png, svg, npz, report = result.stdout.splitlines()
    assert "stripe score" in head
    assert [line.split()[0] for line in layers] == [f"layer{i}.0.attention" for i in (1, 2, 3)]
    files = [Path(line) for line in (png, svg, npz, report)]
    assert [file.name for file in files] == [
        "stripes.png", "stripes.svg", "stripes.npz", "stripes.json",
    ]  # fmt: skip
    assert all(file.parent == tmp_path / "stripes" and file.is_file() for file in files)


@pytest.mark.parametrize("attention", ["se", "ie"])  # torch's layers, and parameters of its own
def test_eta2_stands_beside_an_untrained_network_and_a_permutation(
    tmp_path: Path, attention: str
) -> None:
    model = save(tmp_path / "net.safetensors", attention)
    told = stripes(tmp_path / "net.safetensors", "--data", "small", "--out", tmp_path / "out")
    indices = chosen("images", len(data().test), 100, seed=0)
    values, _ = gate_values(model, [data().test.test_batch(indices)])
    assert told["layers"]
    for layer in told["layers"]:
        gates = values[layer["name"]].double().numpy()
        within, between = gates.var(0).mean(), gates.mean(0).var()
        assert layer["eta2"] == pytest.approx(between / (between + within), rel=1e-4)
        assert layer["std_between_images"] == pytest.approx(gates.std(0).mean(), rel=1e-4)
        assert layer["std_between_images_trimmed"] <= layer["std_between_images"]
        assert layer["eta2_permuted"] < 0.5
        assert layer["std_between_images_untrained"] != layer["std_between_images"]
    if attention == "ie":  # γ̂ = 0 and β̂ = -1 at the start: a gate that sees no image
        assert {layer["std_between_images_untrained"] for layer in told["layers"]} == {0.0}
        assert {layer["eta2_untrained"] for layer in told["layers"]} == {None}
    again = stripes(tmp_path / "net.safetensors", "--data", "small", "--out", tmp_path / "again")
    assert again["layers"] == told["layers"]


def test_spatial_attention_of_cbam(tmp_path: Path) -> None:
    path, out = tmp_path / "cbam.safetensors", tmp_path / "out"
    model = save(path, "cbam")
    told = stripes(path, "--data", "small", "--out", out)
    assert pictures(out) == {"spatial"}
    assert told["layers"] == []
    assert [refused["name"] for refused in told["refused"]] == [
        f"layer{i}.0.attention" for i in (1, 2, 3)
    ]
    shown = arrays(out / "spatial.npz")
    images = data().test.images[chosen("images", 17, 100)[:6]].float() / 255
    assert np.allclose(shown.pop("images"), images)
    seen: list[torch.Tensor] = []
    spatial = model.model.layer3[0].attention.spatial  # type: ignore[index, union-attr]
    spatial.register_forward_hook(lambda _, __, logits: seen.append(logits.sigmoid()[:, 0]))
    with torch.no_grad():
        model(images)
    assert np.allclose(shown["layer3.0.attention"], seen[0], atol=1e-6)
    assert [values.shape for values in shown.values()] == [(6, 32, 32), (6, 16, 16), (6, 8, 8)]


def test_models_without_anything_to_show(tmp_path: Path) -> None:
    path = tmp_path / "plain.safetensors"
    plain = Normalized(build("resnet11", CLASSES), MEAN, STD)
    save_model(path, plain, StockModel("asr:resnet11", {"num_classes": CLASSES}, (3, 32, 32)))
    failed(invoke("stripes", path, "--data", "small"), "no live channel gates", "mode 'live'")
    failed(invoke("stripes", path), "not from a run", "name a data set")
    failed(invoke("stripes", save_tiny(tmp_path, "bn+asr", 0)), "a style network")


# --- runs -----------------------------------------------------------------------------------------


def test_a_run_shows_how_its_gates_moved(tmp_path: Path) -> None:
    folder = train(tmp_path / "run", "--mode", "live", "--epochs", 3, *STEPS, "--record-attention")
    record = load_record(folder / "attention.npz")
    assert record.images.tolist() == [0, 1, 3, 4, 6, 8, 9, 11]
    shown = data().validation.images[record.images].float() / 255
    values, _ = gate_values(open_run(folder).model, [shown])
    for name, gate in values.items():
        assert record.live[name].shape == (3, 8, gate.shape[1])
        assert torch.equal(record.live[name][-1], gate), "the last epoch's, by the saved model"
        assert not torch.equal(record.live[name][-2], gate), "training moved it"

    told = stripes(folder, "--threshold", "0.001")
    assert pictures(folder / "stripes") == {"stripes", "differences", "stripe-scores"}
    ratios = arrays(folder / "stripes" / "stripe-scores.npz")
    for name, live in record.live.items():
        gates = live.double().numpy()
        between_channels = gates.mean(1).var(1)
        assert np.allclose(ratios[name], gates.var(1).mean(1) / between_channels)
    steps = arrays(folder / "stripes" / "differences.npz")
    for name, live in record.live.items():
        assert np.array_equal(steps[name], np.abs(np.diff(live.numpy(), axis=0)))
    moved = np.concatenate([steps[name].reshape(2, -1) for name in record.live], axis=1)
    found = told["convergence"]
    assert found["epochs"] == 3
    assert found["at_decay"] == pytest.approx((moved[1] < 0.001).mean())
    assert found["before_decay"] == pytest.approx(torch.from_numpy(moved[0]).median().item())
    assert 0 < found["at_decay"] < 1, "not vacuous"
    assert set(found["layers"]) == set(record.live)
    result = invoke("stripes", folder)
    assert "95 % of gates change by less than 0.05 an epoch" in result.stdout
    assert "from the first decay of the learning rate on" in result.stdout


STEPS = ("--schedule", "multistep", "--milestones", "2", "--gamma", "0.1")


@pytest.mark.slow
def test_v_of_asr_beside_the_live_gates(tmp_path: Path) -> None:
    live = train(tmp_path / "live", "--mode", "live", "--record-attention")
    asr = train(tmp_path / "asr", "--record-attention")
    stripes(asr, "--beside", live, "--out", tmp_path / "out")
    assert pictures(tmp_path / "out") == {"scales"}
    shown = arrays(tmp_path / "out" / "scales.npz")
    v = open_run(asr).model.model.layer1[0].bn3.asr.scale()  # type: ignore[index, union-attr]
    assert np.allclose(shown["asr/layer1.0.bn3"][-1], v.detach())
    gates = load_record(live / "attention.npz").live["layer1.0.attention"]
    assert np.allclose(shown["live/layer1.0.attention"], gates.mean(1))
    assert shown["asr/layer1.0.bn3"].shape == shown["live/layer1.0.attention"].shape == (2, 64)
    stripes(asr)
    assert pictures(asr / "stripes") == {"scales"}, "alone, v over its epochs"

    bare = train(tmp_path / "bare", "--mode", "live", "--epochs", 1)
    assert not (bare / "attention.npz").exists()
    failed(invoke("stripes", asr, "--beside", bare), "both runs need a record")
    failed(invoke("stripes", live, "--beside", live), "one run with ASR and one with live ones")


def test_an_interrupted_run_ends_with_the_same_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        press_after(patch, 7)
        options = ("--mode", "live", "--record-attention")
        result = invoke("train", *OPTIONS, "--out", tmp_path / "run", *options)
        assert result.exit_code == 130, result.output
    assert load_record(tmp_path / "run" / "attention.npz").epochs == 1
    failed(
        invoke("train", *OPTIONS, "--out", tmp_path / "run", "--mode", "live"),
        "setting.record_attention (8, now None)",
    )
    train(tmp_path / "run", *options)
    train(tmp_path / "whole", *options)
    a, b = (load_record(tmp_path / name / "attention.npz") for name in ("run", "whole"))
    assert a.epochs == b.epochs == 2
    assert all(torch.equal(a.live[name], b.live[name]) for name in b.live)


def test_recording_leaves_the_run_as_it_is(tmp_path: Path) -> None:
    train(tmp_path / "with", "--record-attention")
    train(tmp_path / "without")
    for name in ("metrics.csv", "fused.safetensors"):
        first, second = ((tmp_path / run / name).read_bytes() for run in ("with", "without"))
        assert first == second


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--mode", "plain"], ["no gates to record;"]),
        (["--mode", "live", "--attention", "cbam"], ["'layer1.0.attention'", "spatial half"]),
    ],
)
def test_nothing_to_record_is_said_before_training(
    tmp_path: Path, options: list[str], words: list[str]
) -> None:
    line = ["train", *OPTIONS, "--out", tmp_path / "run", "--record-attention", *options]
    failed(invoke(*line), *words, "record none")
    assert not (tmp_path / "run").exists()


def test_milestones_that_are_no_numbers(tmp_path: Path) -> None:
    line = ["train", *OPTIONS, "--out", tmp_path / "run", "--milestones", "2;3"]
    failed(invoke(*line), "'2;3' is not like 81,122")


def test_a_damaged_record_is_one_line(tmp_path: Path) -> None:
    folder = train(tmp_path / "run", "--mode", "live", "--epochs", 1)
    (folder / "attention.npz").write_bytes(b"PK")
    failed(invoke("stripes", folder), "attention.npz", "damaged")


# --- figures --------------------------------------------------------------------------------------


def test_convergence_by_hand() -> None:
    """Two channels on one image: the first moves once, before the decay, the second always."""
    values = torch.tensor([[[0.1, 0.1]], [[0.5, 0.2]], [[0.5, 0.3]], [[0.5, 0.4]]])
    found = convergence(AttentionRecord(torch.arange(1), {"a": values}), threshold=0.05, decay=2)
    assert (found.settled, found.at_decay) == (None, 0.5)
    assert found.before_decay == pytest.approx(0.1)
    assert found.after_decay == pytest.approx(0.0)
    late = convergence(AttentionRecord(torch.arange(1), {"a": values}), threshold=0.2, decay=9)
    assert (late.settled, late.at_decay, late.before_decay) == (2, None, None)


def test_a_run_in_a_line(tmp_path: Path) -> None:
    folder = train(tmp_path / "run", "--mode", "both", "--epochs", 3, *STEPS)
    source = open_source(folder)
    assert source.config is not None
    assert describe(source.config) == (
        "resnet11-ASR(SE)+SE, small, decays at 2, weight decay 0.001"
    )
    assert source.decays == (2,)
    assert open_source(folder / "best.pt").decays == (2,)
