"""Models with norms without γ and β through the commands: what is written opens again."""

import importlib
import json
import sys
from pathlib import Path

import onnxruntime
import pytest
import torch
from model_commands import failed, invoke
from torch import Tensor, nn

from asr_core import insert_asr
from asr_core.saving.model_facts import StockModel
from asr_core.saving.saved_model import save_model
from robust.models.files import open_model

OWN = """
from torch import nn

def make():
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6, affine=False), nn.ReLU(),
        nn.Conv2d(6, 4, 3), nn.InstanceNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1), nn.Flatten(),
    )
"""
NAME = "own_norms:make"
OPTIONS = {"moved": {}, "created": {"targets": ["1", "4"], "create_affine": True}}


@pytest.fixture(params=OPTIONS)
def gated(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of a gated model that the user's own code builds; its stem says where v is."""
    (tmp_path / "own_norms.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    monkeypatch.delitem(sys.modules, "own_norms", raising=False)
    path = tmp_path / f"{request.param}.safetensors"
    save_model(path, randomised(**OPTIONS[request.param]), StockModel(NAME, {}, (3, 8, 8)))
    return path


def stock() -> nn.Module:
    sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module("own_norms").make()  # type: ignore[no-any-return]
    finally:
        sys.path.pop(0)


def randomised(**options: object) -> nn.Module:
    torch.manual_seed(0)
    model = stock()
    insert_asr(model, **options)  # type: ignore[arg-type]
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                value.add_(torch.rand(value.shape) if "var" in name else torch.randn(value.shape))
    return model.eval()


def by_hooks(path: Path) -> nn.Module:
    """The stock model with the norms' outputs × v, from outside."""
    gates = open_model(path, builder=NAME).model
    tensors = {
        name.replace("parametrizations.", "").replace(".original", ""): value
        for name, value in gates.state_dict().items()
        if ".asr." not in name
    }
    model = stock()
    model.load_state_dict({name: tensors[name] for name in model.state_dict()})
    places = {"moved": (("1", "3"), ("4", "6")), "created": (("1", "1"), ("4", "4"))}
    for norm, holder in places[path.stem]:
        layer = gates.get_submodule(holder)
        v = layer.asr.scale().detach()[:, None, None]  # type: ignore[union-attr,operator]
        # γ and β may be anything by now.
        affine = [tensors.get(f"{norm}.{own}") for own in ("weight", "bias")]
        w, b = (None if t is None else t[:, None, None] for t in affine)
        model.get_submodule(norm).register_forward_hook(
            lambda _, __, out, v=v, w=w, b=b: (out if w is None else out * w + b) * v
        )
    return model.eval()


def agree(a: Tensor, b: Tensor) -> bool:
    return bool((a - b).abs().max() <= 1e-4 * b.abs().max())


def test_a_fused_file_opens_and_says_what_it_is(gated: Path, tmp_path: Path) -> None:
    out = tmp_path / "plain.safetensors"
    result = invoke("fuse", gated, "--model", NAME, "--out", out)
    assert result.exit_code == 0, result.output
    created = gated.stem == "created"
    assert ("created for '1', '4'" in result.stdout) == created
    assert ("no longer the stock model" in result.stdout) == created
    plain = open_model(out, builder=NAME).model
    x = torch.rand(3, 3, 8, 8)
    with torch.no_grad():
        wanted = by_hooks(gated)(x)
        assert agree(plain(x), wanted)
        assert not agree(stock().eval()(x), wanted)
    assert (set(plain.state_dict()) == set(stock().state_dict())) == (not created)
    if not created:
        stock().load_state_dict(plain.state_dict(), strict=True)
    figures = json.loads(
        invoke("fuse", gated, "--model", NAME, "--out", out, "--overwrite", "--json").stdout
    )
    assert figures["created"] == (["1", "4"] if created else [])


@pytest.mark.parametrize(
    ("suffix", "fold"),
    [
        ("safetensors", []),
        ("safetensors", ["--fold"]),
        ("pt2", []),
        pytest.param("onnx", ["--fold"], marks=pytest.mark.slow),
    ],
    ids=["safetensors", "safetensors-folded", "pt2", "onnx-folded"],
)
def test_exported_from_the_gated_file_and_from_the_fused_one(
    gated: Path, tmp_path: Path, suffix: str, fold: list[str]
) -> None:
    fused = tmp_path / "fused.safetensors"
    assert invoke("fuse", gated, "--model", NAME, "--out", fused).exit_code == 0
    x = torch.rand(3, 3, 8, 8)
    with torch.no_grad():
        wanted = by_hooks(gated)(x)
    for source in (gated, fused) if suffix == "safetensors" else (fused,):
        out = tmp_path / f"exported.{suffix}"
        arguments = (source, "--model", NAME, "--format", suffix, *fold, "--out", out)
        result = invoke("export", *arguments, "--overwrite")
        assert result.exit_code == 0, result.output
        names = ("'4'" if fold else "'1', '4'") if gated.stem == "created" else "never"
        assert (f"created for {names}:" in result.stdout) == (gated.stem == "created")
        if suffix == "pt2":
            got = torch.export.load(out).module()(x).detach()
        elif suffix == "onnx":
            session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
            got = torch.from_numpy(session.run(None, {"images": x.numpy()})[0])
        else:
            got = open_model(out, builder=NAME).model(x).detach()
        assert agree(got, wanted)


def test_inspect_shows_the_side_and_the_norm(gated: Path) -> None:
    arguments = () if gated.stem == "moved" else ("--targets", "1", "--create-affine")
    result = invoke("inspect", NAME, *arguments)
    assert result.exit_code == 0, result.output
    assert ("v of '1', without γ, is in the inputs of '3'" in result.stdout) == (not arguments)
    assert ("created for '1'" in result.stdout) == bool(arguments)
    found = json.loads(invoke("inspect", NAME, *arguments, "--json").stdout)["positions"][0]
    assert (found["name"], found["side"], found["norms"]) == (
        ("1", "output", []) if arguments else ("3", "input", ["1"])
    )
    failed(invoke("inspect", NAME, "--targets", "1"), "no gate on '1'", "create_affine")
