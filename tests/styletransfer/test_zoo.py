"""styletransfer.zoo: networks come back as they were saved, and nothing else passes for one."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from header import as_old_pair
from pickles import Marking, called
from tiny_training import tiny_recipe
from torch import Tensor

from asr_core.errors import CheckpointError, InputError
from asr_core.saving.checkpoint import load_checkpoint, save_checkpoint, sha256
from styletransfer.network import NORMS, StyleNetwork
from styletransfer.train import new_network
from styletransfer.zoo import (
    StyleCheckpoint,
    describe,
    load_network,
    new_twin,
    save_network,
    select,
    shipped,
)

ALL_NORMS = NORMS.names()
HTML = b"<!DOCTYPE html><html><body>404: not found</body></html>"


def network(norm: str = "bn+asr", seed: int = 0) -> StyleNetwork:
    """As trained: no weight, statistic or ψ is as it started."""
    made = new_network(tiny_recipe(norm, seed=seed))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in made.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(0.1 * torch.rand(tensor.shape, generator=generator))
    return made.eval()


def picture() -> Tensor:
    return torch.rand(1, 3, 32, 40, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "net.safetensors"
    save_network(path, network(), style="mosaic", seed=4, facts={"recipe": {"steps": 3}})
    return path


# --- there and back -------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ALL_NORMS)
def test_a_network_comes_back_within_half_precision(tmp_path: Path, norm: str) -> None:
    path, original = tmp_path / "x.safetensors", network(norm)
    save_network(path, original, style="waves", seed=1, facts={})
    loaded, _ = load_network(path)
    assert loaded.config == original.config
    assert not loaded.training
    assert list(loaded.state_dict()) == list(original.state_dict())
    for name, tensor in loaded.state_dict().items():
        wanted = original.state_dict()[name]
        assert tensor.dtype == wanted.dtype
        if tensor.ndim > 1:
            assert torch.allclose(tensor, wanted, rtol=2**-11, atol=2**-24), name
            assert torch.equal(tensor, wanted.half().float())
        else:
            assert torch.equal(tensor, wanted), f"vectors keep their precision: {name}"
    with torch.no_grad():
        assert torch.allclose(loaded(picture()), original(picture()), atol=5e-3)


def test_the_file_is_half_the_size(saved: Path) -> None:
    whole = sum(t.numel() * t.element_size() for t in network().state_dict().values())
    assert saved.stat().st_size < 0.75 * whole


@pytest.mark.parametrize("norm", ALL_NORMS)
def test_weights_of_8_bits_are_off_by_half_a_step_at_most(tmp_path: Path, norm: str) -> None:
    path, original = tmp_path / "x.safetensors", network(norm)
    with torch.no_grad():
        original.conv2.conv2d.weight[3] = 0  # a channel without a scale
        original.conv3.conv2d.weight[0] *= 1000  # one of another scale than the rest
    save_network(path, original, style="waves", seed=1, facts={}, bits=8)
    half = tmp_path / "half.safetensors"
    save_network(half, original, style="waves", seed=1, facts={})
    assert path.stat().st_size < 0.8 * half.stat().st_size
    loaded, _ = load_network(path)
    assert list(loaded.state_dict()) == list(original.state_dict())
    for name, wanted in original.state_dict().items():
        tensor = loaded.state_dict()[name]
        assert tensor.dtype == wanted.dtype
        if name.endswith("psi"):
            assert torch.equal(tensor, wanted.half().float()), "no kernel: as with 16 bits"
        elif wanted.ndim == 4:
            largest = wanted.abs().amax(dim=(1, 2, 3))
            error = (tensor - wanted).abs().amax(dim=(1, 2, 3))
            assert (error <= 0.5001 * largest / 127).all(), name
            assert error.max() > 0, "it is not the half-precision file"
    assert not loaded.conv2.conv2d.weight[3].any()


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors, meta: tensors.pop("conv1.conv2d.weight.scale"),
        lambda tensors, meta: tensors.update({"conv1.conv2d.weight.scale": torch.ones(4, 3, 9, 9)}),
        lambda tensors, meta: tensors.update({"conv1.conv2d.weight.scale": torch.ones(1)}),
    ],
    ids=["missing", "of each weight", "of all"],
)
def test_weights_of_8_bits_need_a_scale_for_each_channel(
    tmp_path: Path, change: Callable[..., object]
) -> None:
    path = tmp_path / "x.safetensors"
    save_network(path, network(), style="waves", seed=1, facts={}, bits=8)
    rewrite(path, change)
    with pytest.raises(CheckpointError, match=r"scale.*conv1\.conv2d\.weight"):
        load_network(path)


@pytest.mark.parametrize("upsample", ["nearest", "bilinear", "binomial"])
def test_upsampling_comes_back_and_files_without_it_are_nearest(
    tmp_path: Path, upsample: Any
) -> None:
    path = tmp_path / "x.safetensors"
    made = StyleNetwork("in", width=4, blocks=0, upsample=upsample)
    save_network(path, made, style="waves", seed=0, facts={})
    assert load_network(path)[0].config["upsample"] == upsample
    rewrite(path, lambda tensors, meta: meta["model"].pop("upsample"))
    assert load_network(path)[0].config["upsample"] == "nearest"


def test_the_facts_come_back(saved: Path) -> None:
    _, meta = load_network(saved)
    assert meta["kind"] == "style-network"
    assert (meta["style"], meta["seed"], meta["recipe"]) == ("mosaic", 4, {"steps": 3})
    assert meta["model"] == network().config


def test_saving_again_what_was_loaded_changes_nothing(saved: Path) -> None:
    loaded, _ = load_network(saved)
    other = saved.with_name("other.safetensors")
    save_network(other, loaded, style="mosaic", seed=4, facts={"recipe": {"steps": 3}})
    assert sha256(other) == sha256(saved)


def test_loading_leaves_the_global_random_state_alone(saved: Path) -> None:
    state = torch.get_rng_state()
    loaded, _ = load_network(saved)
    new_twin(loaded, norm="in")
    assert torch.equal(torch.get_rng_state(), state)


def test_a_twin_has_the_shape_and_another_norm() -> None:
    twin = new_twin(network("bn+asr"), norm="in")
    assert twin.config == {**network("bn+asr").config, "norm": "in"}
    assert not twin.training
    assert list(twin.state_dict()) == list(network("in").state_dict())


def test_weights_beyond_half_precision_are_not_written(tmp_path: Path) -> None:
    large = network()
    with torch.no_grad():
        large.conv1.conv2d.weight[0, 0, 0, 0] = 1e5
    with pytest.raises(CheckpointError, match=r"conv1\.conv2d\.weight holds NaN or infinite"):
        save_network(tmp_path / "x.safetensors", large, style="x", seed=0, facts={})
    assert os.listdir(tmp_path) == []


def test_a_full_disk_leaves_no_broken_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save_network(tmp_path / "x.safetensors", network(), style="x", seed=0, facts={})
    assert os.listdir(tmp_path) == []


# --- what is no style network of ours -------------------------------------------------------------


def rewrite(path: Path, change: Callable[[dict[str, Tensor], dict[str, Any]], object]) -> None:
    """Change tensors and facts, with a hash that fits: what only a look inside can find."""
    tensors, meta = load_checkpoint(path)
    change(tensors, meta)
    save_checkpoint(path, tensors, meta)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda tensors, meta: tensors.pop("conv1.conv2d.bias"),
            r"another architecture: missing: conv1\.conv2d\.bias$",
        ),
        (
            lambda tensors, meta: tensors.update(extra=torch.ones(1)),
            r"another architecture: unexpected: extra$",
        ),
        (
            lambda tensors, meta: tensors.update({"conv1.conv2d.bias": torch.ones(5)}),
            r"another form: conv1\.conv2d\.bias \(5,\) .* for \(4,\)",
        ),
        (lambda tensors, meta: meta["model"].update(width=8), r"another architecture"),
        (lambda tensors, meta: meta["model"].update(norm="in"), r"another architecture"),
        (lambda tensors, meta: meta["model"].update(blocks=2), r"missing: .*res2"),
        (lambda tensors, meta: meta["model"].update(norm="ln"), r"describes no style network"),
        (lambda tensors, meta: meta["model"].update(depth=3), r"unknown field 'model.depth'"),
        (lambda tensors, meta: meta["model"].update(width="4"), r"model.width is '4'"),
        (lambda tensors, meta: meta["model"].update(width=10**9), r"model.width is .* 512$"),
        (lambda tensors, meta: meta["model"].update(blocks=10**9), r"model.blocks is .* 64$"),
        (lambda tensors, meta: meta["model"].update(width=512), r"describes a model of more than"),
        (lambda tensors, meta: meta.update(seed=2**70), "seed is .* at most 64"),
        (lambda tensors, meta: meta.update(colour="red"), "unknown field 'colour'"),
        (lambda tensors, meta: meta.update(model=[1]), r"model is \[1\]"),
        (lambda tensors, meta: meta.pop("model"), r"missing: model"),
        (lambda tensors, meta: meta.update(kind="mini-vgg"), r"of kind 'mini-vgg', not 'style-"),
        (lambda tensors, meta: meta.pop("kind"), r"of kind None"),
    ],
)
def test_another_content_is_refused(
    saved: Path, change: Callable[[dict[str, Tensor], dict[str, Any]], object], message: str
) -> None:
    rewrite(saved, change)
    with pytest.raises(CheckpointError, match=message):
        load_network(saved)


def test_a_missing_json_is_an_error_and_not_a_public_checkpoint(tmp_path: Path) -> None:
    """An instance-norm network of ours has the public names; taken for one it would misbehave."""
    path = tmp_path / "net.safetensors"
    save_network(path, network("in"), style="mosaic", seed=0, facts={})
    as_old_pair(path).unlink()
    for read in (load_network, describe):
        with pytest.raises(CheckpointError, match=r"net\.safetensors: .*no net\.json"):
            read(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [(b"{", "not JSON"), (HTML, "not JSON"), (b'{"schema": 9}', "schema 9; this version reads")],
)
def test_a_damaged_json_is_refused(saved: Path, text: bytes, message: str) -> None:
    as_old_pair(saved).write_bytes(text)
    for read in (load_network, describe):
        with pytest.raises(CheckpointError, match=message):
            read(saved)


@pytest.mark.parametrize("data", [b"", HTML, b"PK\x03\x04"])
@pytest.mark.parametrize("name", ["net.safetensors", "net.pth"])
def test_damaged_files_are_refused(saved: Path, name: str, data: bytes) -> None:
    path = saved.with_name(name)
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"not a whole safetensors file|is damaged"):
        load_network(path)


def test_a_truncated_file_is_refused(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        load_network(saved)


def test_another_networks_file_under_this_json_is_refused(saved: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    save_network(other, network(seed=1), style="mosaic", seed=4, facts={})
    as_old_pair(saved)
    as_old_pair(other)
    saved.write_bytes(other.read_bytes())
    with pytest.raises(CheckpointError, match="SHA-256"):
        load_network(saved)


def test_weights_that_are_not_finite_are_refused(saved: Path) -> None:
    data = bytearray(saved.read_bytes())
    data[-4:] = b"\x00\x00\xc0\x7f"  # a float32 NaN
    saved.write_bytes(data)
    with pytest.raises(CheckpointError, match="holds NaN or infinite values"):
        load_network(saved)


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path) -> None:
    path, marker = tmp_path / "net.pth", tmp_path / "marker"
    torch.save({"conv1.conv2d.weight": Marking(marker)}, path)
    with pytest.raises(CheckpointError, match="could run code"):
        load_network(path)
    assert not marker.exists()
    assert Marking.CALL in called(path.read_bytes()), "a careless reader would run it"


@pytest.mark.parametrize("name", ["gone.safetensors", "gone.pth"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    for read in (load_network, describe):
        with pytest.raises(CheckpointError, match=f"{name}: no such checkpoint"):
            read(tmp_path / name)


# --- describing and choosing ----------------------------------------------------------------------


def test_a_description_says_what_loading_would(saved: Path) -> None:
    assert describe(saved) == StyleCheckpoint("mosaic", "bn+asr", 4, saved, sha256(saved))


@pytest.mark.parametrize("field", ["style", "seed", "model"])
def test_a_json_without_a_field_is_refused(saved: Path, field: str) -> None:
    rewrite(saved, lambda tensors, meta: meta.pop(field))
    with pytest.raises(CheckpointError, match=f"missing: {field}"):
        describe(saved)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two styles, three norms, two seeds each, and checkpoints that are no style networks."""
    save_checkpoint(tmp_path / "other.safetensors", {"w": torch.ones(1)}, {"kind": "mini-vgg"})
    for style in ("waves", "mosaic"):
        for norm in ("in", "bn", "bn+asr"):
            for seed in (10, 2):
                path = tmp_path / f"{style}-{norm}-{seed}.safetensors"
                save_network(path, network(norm), style=style, seed=seed, facts={})
    return tmp_path


def test_a_folders_networks_come_in_order(folder: Path) -> None:
    found = [(n.style, n.norm, n.seed) for n in shipped(folder)]
    assert found == sorted(found)
    assert len(found) == 12
    assert found[0] == ("mosaic", "bn", 2)


def test_networks_are_chosen_by_style_norm_and_seed(folder: Path) -> None:
    networks = shipped(folder)
    assert select(networks) == networks
    assert {n.norm for n in select(networks, norm="bn")} == {"bn"}
    assert len(select(networks, style="waves")) == 6
    (one,) = select(networks, style="waves", norm="in", seed=10)
    assert (one.style, one.norm, one.seed) == ("waves", "in", 10)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (
            {"style": "wave"},
            r"unknown style .*'wave'\. Did you mean 'waves'\? Known: mosaic, waves",
        ),
        ({"norm": "ln"}, r"unknown norm .*'ln'.*Known: bn, bn\+asr, in"),
        ({"style": "waves", "seed": 7}, r"unknown seed .*'7'\. Known: 10, 2"),
    ],
)
def test_what_is_not_there_lists_what_is(
    folder: Path, wanted: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        select(shipped(folder), **wanted)


@pytest.mark.parametrize("name", ["net.pth", "net.safetensors"])
def test_what_is_no_checkpoint_is_refused_before_it_is_hashed(tmp_path: Path, name: str) -> None:
    with (tmp_path / name).open("wb") as file:
        file.truncate(10**12)  # sparse; to hash it takes a quarter of an hour
    with pytest.raises(CheckpointError, match=name):
        describe(tmp_path / name)
