"""asr_core.saving.checkpoint: tensors and facts come back as they were, or not at all."""

import errno
import hashlib
import json
import multiprocessing
import os
import pickle
import signal
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from header import as_old_pair, write_facts
from hypothesis import given
from hypothesis import strategies as st
from pickles import Marking, called
from safetensors.torch import save_file
from torch import Tensor, nn

from asr_core.errors import CheckpointError
from asr_core.saving.checkpoint import (
    load_checkpoint,
    load_meta,
    load_tensors,
    load_torch,
    save_checkpoint,
    sha256,
)

HTML = b"<!DOCTYPE html><html><body>404: not found</body></html>"


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A checkpoint with several dtypes and shapes."""
    path = tmp_path / "net.safetensors"
    save_checkpoint(path, tensors(), {"kind": "test", "losses": [0.5, 0.25]})
    return path


def tensors() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "conv.weight": torch.randn(4, 3, 3, 3, generator=generator).half(),
        "norm.running_var": torch.rand(4, generator=generator),
        "norm.num_batches_tracked": torch.tensor(7),
        "psi": torch.randn(2, generator=generator, dtype=torch.float64),
    }


# --- writing --------------------------------------------------------------------------------------


def test_tensors_come_back_bit_for_bit(saved: Path) -> None:
    loaded, _ = load_checkpoint(saved)
    assert loaded.keys() == tensors().keys()
    for name, tensor in tensors().items():
        assert loaded[name].dtype == tensor.dtype
        assert torch.equal(loaded[name], tensor)


def test_the_facts_come_back_with_schema_and_hash(saved: Path) -> None:
    _, meta = load_checkpoint(saved)
    assert meta == {
        "schema": 1, "sha256": meta["sha256"], "kind": "test", "losses": [0.5, 0.25]
    }  # fmt: skip
    assert len(bytes.fromhex(meta["sha256"])) == 32
    assert load_meta(saved) == meta
    assert os.listdir(saved.parent) == ["net.safetensors"], "one file, made visible in one step"


def test_the_file_is_safetensors_by_its_published_layout(saved: Path) -> None:
    """Oracle: eight bytes of length, a JSON header, then the raw numbers."""
    data = saved.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    entry = header["conv.weight"]
    assert entry["dtype"] == "F16"
    start, end = entry["data_offsets"]
    numbers = np.frombuffer(data[8 + length :][start:end], dtype="<f2").reshape(entry["shape"])
    assert np.array_equal(numbers, tensors()["conv.weight"].numpy())


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
        st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=4),
        max_size=3,
    )
)
def test_any_finite_state_comes_back(
    tmp_path_factory: pytest.TempPathFactory, state: dict[str, list[float]]
) -> None:
    state.pop("__metadata__", None)  # the one name that the format keeps for itself
    path = tmp_path_factory.mktemp("any") / "x.safetensors"
    save_checkpoint(path, {name: torch.tensor(values) for name, values in state.items()}, {})
    loaded, _ = load_checkpoint(path)
    assert {name: tensor.tolist() for name, tensor in loaded.items()} == state


def test_strided_and_trained_tensors_are_taken(tmp_path: Path) -> None:
    layer = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    assert not layer.weight.is_contiguous()
    save_checkpoint(tmp_path / "x.safetensors", dict(layer.named_parameters()), {})
    loaded, _ = load_checkpoint(tmp_path / "x.safetensors")
    assert torch.equal(loaded["weight"], layer.weight)


def test_facts_of_another_checkpoint_do_not_bring_its_hash_along(saved: Path) -> None:
    _, meta = load_checkpoint(saved)
    other = saved.with_name("other.safetensors")
    save_checkpoint(other, {"w": torch.ones(1)}, meta)
    _, copied = load_checkpoint(other)
    assert copied["sha256"] != meta["sha256"]
    assert list(copied) == list(meta)


def test_the_file_can_be_read_by_whom_the_umask_allows(saved: Path) -> None:
    plain = saved.with_name("plain")
    plain.write_bytes(b"")
    assert stat.S_IMODE(saved.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


@pytest.mark.parametrize("name", ["net.pt", "net", "net.json"])
def test_another_suffix_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(CheckpointError, match=r"checkpoints end in \.safetensors"):
        save_checkpoint(tmp_path / name, tensors(), {})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_could_not_be_read_again_is_not_written(saved: Path, value: float) -> None:
    before = saved.read_bytes()
    bad = {"ok": torch.ones(2), "norm.weight": torch.tensor([1.0, value])}
    with pytest.raises(CheckpointError, match=r"norm\.weight holds NaN or infinite values"):
        save_checkpoint(saved, bad, {})
    assert saved.read_bytes() == before
    load_checkpoint(saved)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_no_broken_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(tmp_path / "net.safetensors", tensors(), {})
    assert os.listdir(tmp_path) == []


def test_facts_that_are_not_json_leave_the_old_checkpoint(saved: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        save_checkpoint(saved, {"w": torch.ones(1)}, {"loss": float("nan")})
    assert load_checkpoint(saved)[0].keys() == tensors().keys()
    assert len(os.listdir(saved.parent)) == 1


# --- the pairs of older versions ------------------------------------------------------------------


def test_an_old_pair_is_read(saved: Path) -> None:
    _, meta = load_checkpoint(saved)
    as_old_pair(saved)
    loaded, old = load_checkpoint(saved)
    assert {**old, "sha256": ""} == {**meta, "sha256": ""}
    assert old["sha256"] == sha256(saved)
    assert all(torch.equal(loaded[name], tensor) for name, tensor in tensors().items())


def test_a_new_file_takes_the_place_of_an_old_pair(saved: Path) -> None:
    as_old_pair(saved)
    save_checkpoint(saved, {"w": torch.ones(1)}, {"kind": "new"})
    assert load_checkpoint(saved)[1]["kind"] == "new"
    assert os.listdir(saved.parent) == ["net.safetensors"]


@pytest.mark.parametrize("text", ["{}", "my own notes", '{"schema": 1}', '{"sha256": "0"}'])
def test_json_of_another_kind_beside_it_is_left_alone(saved: Path, text: str) -> None:
    saved.with_suffix(".json").write_text(text)
    save_checkpoint(saved, {"w": torch.ones(1)}, {})
    assert saved.with_suffix(".json").read_text() == text
    assert load_checkpoint(saved)[0].keys() == {"w"}, "the header says it all"


@pytest.mark.parametrize("old", [False, True])
def test_a_kill_at_any_step_of_overwriting_leaves_a_whole_checkpoint(
    tmp_path: Path, old: bool
) -> None:
    """A process is killed before each call that changes the folder, in turn."""

    def save(path: Path, calls: int) -> None:
        left = iter(range(calls))

        def killed(call: Callable[..., object]) -> Callable[..., object]:
            def before(*args: object, **kwargs: object) -> object:
                if next(left, None) is None:
                    os.kill(os.getpid(), signal.SIGKILL)
                return call(*args, **kwargs)

            return before

        for name in ("replace", "fsync"):
            setattr(os, name, killed(getattr(os, name)))
        for name in ("unlink", "write_bytes"):
            setattr(Path, name, killed(getattr(Path, name)))
        save_checkpoint(path, {"w": torch.ones(2)}, {"which": "new"})

    seen = []
    for calls in range(9):
        path = tmp_path / str(calls) / "net.safetensors"
        save_checkpoint(path, {"v": torch.zeros(3)}, {"which": "old"})
        if old:
            as_old_pair(path)
        process = multiprocessing.get_context("fork").Process(target=save, args=(path, calls))
        process.start()
        process.join()
        loaded, meta = load_checkpoint(path)
        seen.append((meta["which"], *loaded))
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
    assert seen[0] == ("old", "v")
    assert seen[-1] == ("new", "w")
    assert len(seen) > 3
    assert set(seen) == {("old", "v"), ("new", "w")}


# --- reading what is damaged or hostile -----------------------------------------------------------


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for load in (load_checkpoint, load_meta, load_tensors):
        with pytest.raises(CheckpointError, match=r"gone\.safetensors: no such checkpoint"):
            load(tmp_path / "gone.safetensors")


def test_missing_facts_are_named(saved: Path) -> None:
    as_old_pair(saved).unlink()
    with pytest.raises(CheckpointError, match=r"net\.safetensors: .*net\.json"):
        load_checkpoint(saved)


FACTS = [
    (b"{", "not JSON"),
    (HTML, "not JSON"),
    (b"[" * 100_000, "not JSON, nested"),
    (b'{"schema": 1, "sha256": "0", "x": ' + b"[" * 40 + b"]" * 40 + b"}", "x.0.0.0 nested"),
    (b'{"schema": 1, "sha256": "0", "x": NaN}', "x is nan"),
    (b'{"schema": 1, "sha256": "0", "x": [1e999]}', "x.0 is inf"),
    (b'{"schema": 1, "sha256": "0", "x": 100000000000000000000000000}', "x is 1.000e\\+26"),
    (b'{"schema": 1, "sha256": "0", "x": ' + b"9" * 5000 + b"}", "not JSON"),
    (b'{"schema": 1, "schema": 1, "sha256": "0"}', "not JSON .*'schema'"),
    (b'{"schema": 1, "sha256": "0", "x": "\\ud800"}', "x is .*, which is no text"),
    (b'{"schema": 1, "sha256": "0", "\\u0000": 1}', "it is .*, which is no text"),
    (b"[]", "schema None; this version reads schema 1"),
    (b'{"sha256": "0"}', "schema None"),
    (b'{"schema": true, "sha256": "0"}', "schema True"),
    (b'{"schema": 2, "sha256": "0"}', "schema 2; this version reads schema 1"),
    (b'{"schema": 1}', "has no SHA-256"),
    (b'{"schema": 1, "sha256": null}', "has no SHA-256"),
]


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize(("text", "message"), FACTS, ids=range(len(FACTS)))
def test_facts_of_another_kind_are_refused(
    saved: Path, text: bytes, message: str, old: bool
) -> None:
    if old:
        as_old_pair(saved).write_bytes(text)
    else:
        write_facts(saved, text.decode())
    with pytest.raises(CheckpointError, match=rf"net\.(json|safetensors): {message}"):
        load_checkpoint(saved)


def test_json_that_is_not_utf_8_or_too_large_is_refused(saved: Path) -> None:
    beside = as_old_pair(saved)
    beside.write_bytes(b"\xff\xfe")
    with pytest.raises(CheckpointError, match=r"net\.json: not UTF-8"):
        load_checkpoint(saved)
    with beside.open("wb") as file:
        file.truncate(10**11)  # sparse: it takes no room, but would in memory
    with pytest.raises(CheckpointError, match=r"net\.json: larger than 67108864 bytes"):
        load_checkpoint(saved)


@pytest.mark.parametrize("name", ["net.safetensors", "net.pt", "net.json"])
def test_a_named_pipe_is_not_waited_for(saved: Path, name: str) -> None:
    as_old_pair(saved)
    pipe = saved.with_name(name)
    pipe.unlink(missing_ok=True)
    os.mkfifo(pipe)
    load, path = (load_torch, pipe) if name == "net.pt" else (load_checkpoint, saved)
    with pytest.raises(CheckpointError, match=name):
        load(path)


def test_a_changed_number_is_found_by_the_hash(saved: Path) -> None:
    data = bytearray(saved.read_bytes())
    data[-1] ^= 1
    saved.write_bytes(data)
    load_tensors(saved)  # by itself it is a whole file
    with pytest.raises(CheckpointError, match=r"SHA-256 is .*copy it again"):
        load_checkpoint(saved)


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_a_truncated_file_is_refused(saved: Path, keep: int) -> None:
    saved.write_bytes(saved.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        load_tensors(saved)


@pytest.mark.parametrize("load", [load_tensors, load_checkpoint, load_meta])
def test_what_follows_the_tensors_is_not_read(saved: Path, load: Callable[[Path], Any]) -> None:
    with saved.open("r+b") as file:
        file.truncate(10**11)  # sparse: it takes no room, but would in memory
    with pytest.raises(CheckpointError, match="100000000000 bytes"):
        load(saved)


@pytest.mark.parametrize("name", ["page.safetensors", "page.pth"])
def test_an_html_page_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(HTML)
    with pytest.raises(CheckpointError, match=r"not a whole safetensors file|it is damaged"):
        load_tensors(tmp_path / name)


@pytest.mark.parametrize("suffix", [".pth", ".pt", ""])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_with_code_is_refused_and_not_run(
    tmp_path: Path, suffix: str, zipped: bool, recwarn: pytest.WarningsRecorder
) -> None:
    path, marker = tmp_path / f"net{suffix}", tmp_path / "marker"
    content = {"weight": torch.ones(1), "x": Marking(marker)}
    if zipped:
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    for load in (load_tensors, load_torch):
        with pytest.raises(CheckpointError, match=r"or a pickle that could run code$"):
            load(path)
    assert not marker.exists()
    assert not list(recwarn), "the refusal is all there is to say"
    assert Marking.CALL in called(path.read_bytes()), "a careless reader would call it"


@pytest.mark.parametrize("keep", [0, 50, -200])
def test_a_truncated_torch_file_is_refused(tmp_path: Path, keep: int) -> None:
    torch.save(tensors(), tmp_path / "net.pth")
    data = (tmp_path / "net.pth").read_bytes()
    (tmp_path / "net.pth").write_bytes(data[:keep])
    with pytest.raises(CheckpointError, match=r"net\.pth: refused: it is damaged"):
        load_tensors(tmp_path / "net.pth")


@pytest.mark.parametrize("wrap", [dict, lambda state: {"state_dict": state, "epoch": 3}])
@pytest.mark.parametrize("legacy", [False, True])
def test_state_dicts_of_torch_are_read(
    tmp_path: Path, wrap: Callable[[dict[str, Tensor]], object], legacy: bool
) -> None:
    path = tmp_path / "net.pth"
    torch.save(wrap(tensors()), path, _use_new_zipfile_serialization=not legacy)
    loaded = load_tensors(path)
    assert all(torch.equal(loaded[name], tensor) for name, tensor in tensors().items())


@pytest.mark.parametrize(
    "content", [[1, 2], {"weight": "text"}, torch.ones(3), {1: torch.ones(1)}, {"a": {}}]
)
def test_what_is_no_state_dict_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=r"holds no state dict .*torch\.save"):
        load_tensors(tmp_path / "x.pth")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    torch.save({"a": torch.ones(2), "b": torch.tensor([0.0, value])}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=r"x\.pth: b holds NaN or infinite values"):
        load_tensors(tmp_path / "x.pth")


ODD = ["float8", "complex", "sparse", "sparse-rows", "quantised", "repeated", "meta", "nested"]


def odd_tensors() -> dict[str, Tensor]:
    ones = torch.ones(2, 2)
    return {
        "float8": ones.to(torch.float8_e4m3fn),
        "complex": ones.to(torch.complex64),
        "sparse": ones.to_sparse(),
        "sparse-rows": ones.to_sparse_csr(),
        "quantised": torch.quantize_per_tensor(ones, 0.1, 0, torch.qint8),
        "repeated": torch.ones(1).expand(10**10),
        "meta": torch.empty(2, device="meta"),
        "nested": torch.nested.nested_tensor([torch.ones(1), torch.ones(2)]),
    }


@pytest.mark.filterwarnings("ignore")  # torch's remarks on sparse, quantised and nested tensors
@pytest.mark.parametrize("kind", ODD)
def test_tensors_that_no_model_has_are_refused(tmp_path: Path, kind: str) -> None:
    path, odd = tmp_path / "x.pth", odd_tensors()[kind]
    torch.save({"a": torch.ones(2), "b": odd}, path)
    with pytest.raises(CheckpointError, match=r"x\.pth: (b is|refused)"):
        load_tensors(path)
    if kind != "repeated":
        with pytest.raises(CheckpointError, match=r"net\.safetensors: b is"):
            save_checkpoint(tmp_path / "net.safetensors", {"b": odd}, {})


def test_safetensors_of_other_types_are_refused(tmp_path: Path) -> None:
    save_file({"b": torch.ones(2).to(torch.float8_e4m3fn)}, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match=r"x\.safetensors: b is of type"):
        load_tensors(tmp_path / "x.safetensors")


def test_a_compressed_torch_file_is_not_unpacked(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(1000)}, tmp_path / "x.pt")
    with (
        zipfile.ZipFile(tmp_path / "x.pt") as stored,
        zipfile.ZipFile(tmp_path / "y.pt", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for part in stored.infolist():
            packed.writestr(part.filename, stored.read(part))
    assert torch.load(tmp_path / "y.pt", weights_only=True)["w"].shape == (1000,), "torch would"
    for load in (load_torch, load_tensors):
        with pytest.raises(CheckpointError, match=r"y\.pt: refused: it is compressed"):
            load(tmp_path / "y.pt")


def test_a_name_that_is_not_utf_8(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff.safetensors")
    save_checkpoint(path, tensors(), {})
    assert load_checkpoint(path)[0].keys() == tensors().keys()


@given(at=st.integers(0, 400), value=st.integers(0, 255), end=st.integers(0, 700))
def test_damaged_bytes_are_refused_or_change_nothing(
    tmp_path_factory: pytest.TempPathFactory, at: int, value: int, end: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.safetensors"
    save_checkpoint(path, tensors(), {"kind": "test"})
    data = bytearray(path.read_bytes())
    data[at] = value
    path.write_bytes(data[: end if end < 500 else None])
    try:
        loaded, _ = load_checkpoint(path)
    except CheckpointError:
        return
    assert all(torch.equal(loaded[name], tensor) for name, tensor in tensors().items())


def test_torch_files_may_hold_plain_containers(tmp_path: Path) -> None:
    content = {"step": 3, "names": ["a"], "tensor": torch.arange(3), "nested": {"x": (1.5, None)}}
    torch.save(content, tmp_path / "state.pt")
    loaded = load_torch(tmp_path / "state.pt")
    assert torch.equal(loaded.pop("tensor"), content.pop("tensor"))
    assert loaded == content


def test_a_file_that_cannot_be_opened_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        load_torch(tmp_path)


def test_the_hash_is_that_of_the_standard(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    assert sha256(tmp_path / "abc").startswith("ba7816bf8f01cfea414140de5dae2223b00361a3")
    large = os.urandom(3 << 20)
    (tmp_path / "large").write_bytes(large)
    assert sha256(tmp_path / "large") == hashlib.sha256(large).hexdigest()
