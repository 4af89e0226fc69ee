"""Ways to damage bytes, JSON-like values, safetensors and torch files, drawn from a generator."""

from __future__ import annotations

import copy
import io
import json
import os
import pickle
import struct
import warnings
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import torch
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor

CANARY = "FUZZ_CANARY"
"""The environment variable that names the file which foreign code makes when it runs."""
TOUCH = f'touch "${CANARY}"'

DEEP = {f"@nested-{n}@": "[" * n + "]" * n for n in (100, 600, 100_000)}
"""Texts that stand for lists within lists: a writer of JSON could not write them."""

ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 3.5, 10**9, 2**31, 2**63, -(2**63), 10**26, 1e308, 1e-320,
    float("nan"), float("inf"), -float("inf"), "", "x", "1", "nan", "x" * 5000, "\x1b[31mred\x07",
    "$\\foo$", "=1+1", "../../outside", "/etc/passwd", "os:system", "torch.hub:load", "\ud800",
    [], {}, [[]], [None], [1, 2, 3], ["a", "a"], {"a": 1}, {"__class__": "os.system"}, [0] * 3000,
    [10**26], [-1, -1, -1], [3, 10**6, 10**6], *DEEP,
)  # fmt: skip


def damaged_bytes(rng: Random, data: bytes) -> tuple[bytes, str]:
    """``data`` with bits turned, parts cut, doubled, moved or overwritten; and what was done."""
    if not data:
        return b"\0" * rng.randint(1, 64), "zeros for nothing"
    out = bytearray(data)
    at = rng.randrange(min(len(out), rng.choice([16, 64, 1024, len(out)])))
    size = rng.choice([1, 4, 16, 256])
    way = rng.choice(["bits", "cut", "start", "zeros", "noise", "numbers", "double", "drop"])
    if way == "bits":
        for _ in range(rng.choice([1, 1, 4, 64])):
            out[rng.randrange(at, len(out))] ^= 1 << rng.randrange(8)
    elif way == "cut":
        del out[at:]
    elif way == "start":
        del out[: at + 1]
    elif way == "zeros":
        out[at : at + size] = bytes(size)
    elif way == "noise":
        out[at : at + size] = rng.randbytes(size)
    elif way == "numbers":  # lengths and sizes are such
        number = rng.choice([0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 0xFFFF, 0x10000])
        out[at : at + 4] = struct.pack(rng.choice("<>") + "I", number)
    elif way == "double":
        out[at:at] = out[at : at + size] * rng.choice([1, 2, 100])
    else:
        del out[at : at + size]
    return bytes(out), f"{way} at {at}"


def damaged_value(
    rng: Random, value: Any, odd: Callable[[Any], Any] | None = None
) -> tuple[Any, str]:
    """A copy of nested dicts and lists in which one place is odd, missing or new."""
    value = copy.deepcopy(value)
    odd = odd or (lambda _: rng.choice(ODD))
    if not isinstance(value, dict | list) or not value:
        return odd(value), "odd as a whole"
    places = list(_places(value, ()))
    if rng.random() < 0.5:  # long lists would get nearly all of the damage
        places = [p for p in places if len(p) <= 2]
    place = rng.choice(places)
    parent = value
    for step in place[:-1]:
        parent = parent[step]
    last, said = place[-1], ".".join(map(str, place))
    way = rng.choice(["odd", "odd", "odd", "gone", "new", "renamed"])
    if way == "odd":
        parent[last] = odd(parent[last])
        return value, f"{said} = {str(parent[last])[:40]!r}"
    if way == "gone":
        del parent[last]
    elif isinstance(parent, list):
        parent.insert(last, odd(None))
    elif way == "new":
        parent[rng.choice(["unknown", "", "x" * 300, "\x1b[2J", "schema "])] = odd(None)
    else:
        parent[f"{last}_"] = parent.pop(last)
    return value, f"{said} {way}"


def _places(value: Any, above: tuple[Any, ...]) -> Any:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield (*above, key)
        if isinstance(inner, dict | list):
            yield from _places(inner, (*above, key))


def json_bytes(value: Any) -> bytes:
    """JSON, NaN and infinity and all."""
    text = json.dumps(value, indent=1)
    for mark, nested in DEEP.items():
        text = text.replace(f'"{mark}"', nested)
    return text.encode("utf-8", "surrogatepass")


def damaged_json(rng: Random, data: bytes) -> tuple[bytes, str]:
    """A JSON file that still is one, mostly."""
    way = rng.random()
    if way < 0.1:
        return damaged_bytes(rng, data)
    if way < 0.15:
        return rng.choice(
            [b"", b"null", b"[]", b"{}", b"1", b"\xff\xfe", b"\xef\xbb\xbf" + data, data + data,
             b'"' + b"a" * 10**6 + b'"', b"9" * 5000, data.replace(b"{", b'{"a": 1, "a": 2, ', 1)]
        ), "another text"  # fmt: skip
    value, about = damaged_value(rng, json.loads(data))
    return json_bytes(value), about


# --- tensors --------------------------------------------------------------------------------------

FLOAT8 = (torch.float8_e4m3fn, torch.float8_e5m2)
_DTYPES = (
    torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int8, torch.uint8, torch.bool,
    torch.complex64, *FLOAT8,
)  # fmt: skip


def odd_tensor(rng: Random, tensor: Tensor, *, dense: bool) -> tuple[Tensor, str]:
    """``tensor`` in another type or shape, or with values that are no numbers.

    Args:
        dense: leave out what safetensors cannot hold (sparse, quantised and nested tensors).
    """
    ways = ["type", "type", "nan", "inf", "huge", "empty", "scalar", "longer", "turned", "ranks"]
    way = rng.choice([*ways, *([] if dense else ["sparse", "csr", "quantised", "view", "meta"])])
    flat = tensor.reshape(-1)
    if way == "type":
        dtype = rng.choice(_DTYPES)
        return tensor.to(dtype), str(dtype)
    if way in ("nan", "inf", "huge"):
        value = {"nan": float("nan"), "inf": float("inf"), "huge": 3e38}[way]
        out = tensor.float().clone()
        out.reshape(-1)[: rng.choice([1, max(1, flat.numel())])] = value
        return out, way
    made: dict[str, Callable[[], Tensor]] = {
        "empty": lambda: flat[:0],
        "scalar": lambda: flat.float().mean(),
        "longer": lambda: torch.cat([flat, flat]),
        "turned": lambda: tensor.transpose(0, -1).contiguous() if tensor.ndim > 1 else flat[None],
        "ranks": lambda: flat.reshape(*[1] * 30, -1),
        "sparse": lambda: tensor.float().to_sparse(),
        "csr": lambda: flat[None].float().to_sparse_csr(),
        "quantised": lambda: torch.quantize_per_tensor(flat.float(), 0.1, 0, torch.qint8),
        "view": lambda: torch.zeros(1).expand(10**6, 10**6),
        "meta": lambda: torch.empty(tensor.shape, device="meta"),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch is about to drop quantised tensors
        return made[way](), way


def damaged_safetensors(rng: Random, data: bytes) -> tuple[bytes, str]:
    """Damage to the bytes, to the header, to JSON in its metadata, or to the tensors."""
    way = rng.choice(["bytes", "header", "header", "tensors", "tensors", "tensors"])
    if way == "bytes":
        return damaged_bytes(rng, data)
    if way == "header":
        (length,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8 : 8 + length])
        about = _damage_metadata(rng, header) if rng.random() < 0.3 else ""
        if not about:
            header, about = damaged_value(rng, header)
        text = json_bytes(header)
        said = rng.choice([len(text)] * 4 + [2**63, 0, len(text) - 1, 10**8])
        return struct.pack("<Q", said) + text + data[8 + length :], f"header: {about}, {said}"
    tensors = load_safetensors(data)
    about = _damage_tensors(rng, tensors, dense=True)
    (length,) = struct.unpack("<Q", data[:8])
    metadata = json.loads(data[8 : 8 + length]).get("__metadata__")
    return save_safetensors({n: tensors[n].contiguous() for n in sorted(tensors)}, metadata), about


def _damage_metadata(rng: Random, header: dict[str, Any]) -> str:
    """Damage JSON that stands as text in the metadata, where there is any."""
    texts = {k: v for k, v in header.get("__metadata__", {}).items() if v[:1] in ("{", "[")}
    if not texts:
        return ""
    key = rng.choice(sorted(texts))
    found, about = damaged_json(rng, texts[key].encode())
    header["__metadata__"][key] = found.decode("utf-8", "replace")
    return about


def _damage_tensors(rng: Random, tensors: dict[str, Tensor], *, dense: bool) -> str:
    name = rng.choice(sorted(tensors))
    way = rng.choice(["odd", "odd", "odd", "all", "gone", "new", "renamed", "none"])
    if way == "odd":
        tensors[name], said = odd_tensor(rng, tensors[name], dense=dense)
        return f"{name} {said}"
    if way == "all":
        dtype = rng.choice(_DTYPES)
        tensors.update({n: t.to(dtype) for n, t in tensors.items()})
        return f"all {dtype}"
    if way == "new":
        new = rng.choice(["unknown", "", "\x1b[2J", "model." + name, name + ".x", "a" * 5000])
        tensors[new] = torch.zeros(3)
    elif way == "none":
        tensors.clear()
    else:
        tensor = tensors.pop(name)
        if way == "renamed":
            tensors["module." + name] = tensor
    return f"{name} {way}"


def torch_bytes(value: Any, **options: Any) -> bytes:
    """What ``torch.save`` writes."""
    out = io.BytesIO()
    torch.save(value, out, **options)
    return out.getvalue()


def damaged_torch(rng: Random, data: bytes) -> tuple[bytes, str]:
    """Damage to the bytes of a torch file, to its values, or code in it."""
    way = rng.choice(["bytes", "code", "values", "values", "values"])
    if way == "bytes":
        return damaged_bytes(rng, data)
    if way == "code":
        return malicious(rng)
    value = torch.load(io.BytesIO(data), weights_only=True)

    def odd(old: Any) -> Any:
        if isinstance(old, Tensor) and rng.random() < 0.7:
            return odd_tensor(rng, old, dense=False)[0]
        found = rng.choice(ODD)
        return [[[[]]]] if isinstance(found, str) and found in DEEP else found

    value, about = damaged_value(rng, value, odd)
    return torch_bytes(value), about


_CODE = f"import os; open(os.environ[{CANARY!r}], 'w')"
CALLS: list[tuple[Callable[..., Any], str]] = [
    (os.system, TOUCH), (exec, _CODE), (eval, f"exec({_CODE!r})"),
]  # fmt: skip
"""What malicious files call, and with which argument."""


class _Runs:
    """Its pickle runs code when it is read."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


def malicious(rng: Random) -> tuple[bytes, str]:
    """A file whose pickle makes the canary's file when it is read, in one of many forms."""
    payload = _Runs(*rng.choice(CALLS))
    holder = rng.choice([payload, {"state_dict": payload}, {"conv1.conv2d.weight": payload}])
    form = rng.choice(["zip", "legacy", "pickle", "pickle 0", "numpy"])
    if form == "zip":
        return torch_bytes(holder), form
    if form == "legacy":
        return torch_bytes(holder, _use_new_zipfile_serialization=False), form
    if form == "numpy":
        out = io.BytesIO()
        np.savez(out, epochs=np.array([payload], dtype=object))
        return out.getvalue(), form
    return pickle.dumps(holder, protocol=0 if form.endswith("0") else 4), form
