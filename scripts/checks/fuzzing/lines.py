"""Command lines, drawn from the click tree itself, and TOML of sweeps and recipes."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from random import Random
from typing import Any

import click

from asr_core.attention import ATTENTIONS
from asr_core.data import DATASETS
from asr_core.models import BACKBONES
from asr_core.recipes import recipes
from asr_core.recipes.files import FOLDER as RECIPES
from fuzzing.case import Case, Files, Special
from fuzzing.damage import DEEP, ODD, damaged_bytes, damaged_value
from robust.cli import main
from robust.norm_noise import NOISES
from robust.suites import SUITES
from robust.sweep.files import FOLDER as SWEEPS
from styletransfer.network import NORMS

SMALL: Mapping[str, tuple[str, ...]] = {
    "attack": ("--size", "64", "--images", "picture.png", "--train-seeds", "1", "--norm", "in",
               "--noise", "constant", "--repeats", "1"),
    "stylize": ("picture.png", "--size", "16", "--out", "out"),
    "train style": ("--style", "picture.png", "--size", "64", "--width", "1", "--steps", "1"),
    "evaluate": ("net.safetensors", "--data", "data", "--batch-size", "4"),
    "inspect": ("resnet18",),
    "fuse": ("net.safetensors", "--out", "out.safetensors"),
    "export": ("net.safetensors", "--format", "safetensors", "--out", "out.safetensors"),
    "freeze": ("live.safetensors", "--data", "data", "--max-images", "4"),
    "stripes": ("live.safetensors", "--data", "data", "--max-images", "4", "--out", "out"),
    "bench": ("--model", "asr:resnet11", "--batch-size", "1", "--rounds", "1"),
    "study paper": ("--no-train", "--data", "data", "--seeds", "2", "--out", "out"),
    "sweep": ("grid.toml",),
}  # fmt: skip
"""Lines of known commands that are little work, to which others are added. A command that is not
here gets its own options alone."""

_NUMBERS = (
    "0", "-1", "1", "2", "3", "7", "0.5", "1e-3", "1e9", "1000000000", "2147483648",
    "9223372036854775808", "1" + "0" * 26, "1" + "0" * 5000, "nan", "inf", "-inf", "1e400", "0x10",
    "1_000", "１", "", " 1", "1,5", "true",
)  # fmt: skip
_WHOLE = tuple(n for n in _NUMBERS if n.lstrip("-").isdigit() and len(n) < 30)
_TEXTS = (
    "", " ", "x", "x" * 3000, "\x1b[31mred\x07", "$\\foo$", "=1+1", "é", "\udcff", "a\nb", "*",
    "[", "**", "../..", "-", "--", "a:b", "os:system", "timm:", "asr:", "asr:x+y", "timm:resnet18",
    "torchvision.models:resnet18", "here:factory", "resnet18", "1,2,3", "4:photos", "0.5,0.5",
    "uniform", "%s", "{}", "[red]", "localhost:1", "auto", "http://127.0.0.1:1/x",
    "all", "batch", "cached",
)  # fmt: skip
_PATHS = (
    "picture.png", "net.safetensors", "net.json", "style.safetensors", "public.pth", "run",
    "live.safetensors", "run/last.pt", "run/config.json", "data", "grid.toml", "nowhere",
    "nowhere/x", "pipe", "loop", "folder", "empty", "sparse.safetensors", "sparse.pt", "sparse.png",
    ".", "", "out", "out.safetensors", "o.pt2", "a" * 250, "\udcff", "esc\x1b[31m", "a\nb",
    "picture.png/x", "x" * 5000,
)  # fmt: skip
_PLACED: Files = {
    "pipe": Special("fifo"), "loop": Special("link", "loop"), "folder": Special("folder"),
    "empty": b"", **{f"sparse{end}": Special("sparse", str(2**36)) for end in
                     (".safetensors", ".pt", ".png")},
    # Modules that hide others where the working folder is on the path before them.
    **{f"{name}.py": b"import os; open(os.environ['FUZZ_CANARY'], 'w')\n" for name in
       ("torch", "json", "click", "robust", "sitecustomize")},
}  # fmt: skip


@cache
def tree() -> Mapping[str, click.Command]:
    """Every command that does something, by its words: "train style"."""
    return dict(_commands(main, click.Context(main), ()))


def _commands(
    command: click.Command, ctx: click.Context, words: tuple[str, ...]
) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            if inner := command.get_command(ctx, name):
                yield from _commands(inner, ctx, (*words, name))
        if not command.invoke_without_command:
            return
    yield " ".join(words), command


def commands(rng: Random, name: str, parts: Mapping[str, Files]) -> Case:
    """A command line: one that works, with options drawn, lost, doubled or misspelt."""
    words = rng.choice(sorted(tree()))
    parameters = tree()[words].params
    line = list(SMALL.get(words, ())) if rng.random() < 0.9 else []
    for parameter in rng.choices(parameters, k=rng.choice([0, 1, 1, 2, 4])) if parameters else []:
        line += _given(rng, parameter)
    if not any("--quiet" in p.opts for p in parameters) or rng.random() < 0.5:
        line = [part for part in line if part != "--quiet"]
    about = "drawn"
    if rng.random() < 0.25:
        line, about = _misspelt(rng, line)
    files: dict[str, bytes | Special] = {**_PLACED}
    for part in ("model", "live", "style", "public", "run", "data", "grid.toml", "picture.png"):
        files |= parts[part]
    return Case(name, about, files, (*words.split(), *line), work=True)


def _given(rng: Random, parameter: click.Parameter) -> list[str]:
    values = [_value(rng, parameter) for _ in range(max(1, parameter.nargs))]
    if isinstance(parameter, click.Argument):
        return values
    option = rng.choice([*parameter.opts, *parameter.secondary_opts])
    if isinstance(parameter, click.Option) and (parameter.is_flag or parameter.count):
        return [option]
    return [f"{option}={values[0]}"] if rng.random() < 0.1 else [option, *values]


def _value(rng: Random, parameter: click.Parameter) -> str:
    kind, way = parameter.type, rng.random()
    if way < 0.1:
        return rng.choice([*_NUMBERS, *_TEXTS, *_PATHS])
    if isinstance(kind, click.Choice):
        choice = str(rng.choice(list(kind.choices)))
        return choice if way < 0.9 else f"{choice.upper()}x"
    if isinstance(kind, click.types.IntParamType):
        return rng.choice(_WHOLE)
    if isinstance(kind, click.types.FloatParamType):
        return rng.choice(_NUMBERS)
    if isinstance(kind, click.Path | click.File):
        return rng.choice(_PATHS)
    own = _words_of(f"{getattr(parameter, 'help', '')} {parameter.default}")
    return rng.choice(rng.choice([_TEXTS, _PATHS, _words(), own or _words(), own or _WHOLE]))


@cache
def _words() -> tuple[str, ...]:
    """Names that commands take, and the words of their help pages."""
    pages = [f"{c.help} " + " ".join(p.opts[-1] for p in c.params) for c in tree().values()]
    names = [name for known in (ATTENTIONS, BACKBONES, DATASETS, NOISES, NORMS) for name in known]
    names += [*recipes(), *SUITES, *(f"asr:{name}" for name in BACKBONES)]
    return tuple(sorted({*names, *(word for page in pages for word in _words_of(page))}))


def _words_of(page: str) -> tuple[str, ...]:
    return tuple(sorted(set(re.findall(r"[a-z0-9][\w.,+:-]*\w", page))))


def _misspelt(rng: Random, line: list[str]) -> tuple[list[str], str]:
    way = rng.choice(["drop", "double", "swap", "unknown", "dashes", "letter", "many"])
    if not line or way == "unknown":
        return [
            *line,
            rng.choice(["--unknown", "--", "-", "-xyz", "--=", "--out=", "---"]),
        ], "unknown"
    at = rng.randrange(len(line))
    if way == "drop":
        return line[:at] + line[at + 1 :], way
    if way == "double":
        return [*line[:at], line[at], *line[at:]], way
    if way == "swap":
        return rng.sample(line, len(line)), way
    if way == "dashes":
        return [*line[:at], "--", *line[at:]], way
    if way == "many":
        return line + [line[at]] * 3000, way
    word = line[at]
    cut = rng.randrange(len(word) + 1)
    return [
        *line[:at],
        word[:cut] + rng.choice("x=-é\x1b ") + word[cut + 1 :],
        *line[at + 1 :],
    ], way


# --- TOML -----------------------------------------------------------------------------------------


def toml(rng: Random, name: str, parts: Mapping[str, Files]) -> Case:
    """The TOML file of a sweep or of recipes, damaged."""
    sweep = rng.random() < 0.7
    sources = [*sorted(SWEEPS.glob("*.toml")), None] if sweep else sorted(RECIPES.glob("*.toml"))
    source = rng.choice(sources)
    data = parts["grid.toml"]["grid.toml"] if source is None else source.read_bytes()
    assert isinstance(data, bytes)
    file = "own.toml" if sweep else "recipes.toml"
    found, about = _damaged_toml(rng, data)
    files = {**parts["sweep"], file: found}
    line = ("sweep", file, "--out", "sweep", "--quiet") if sweep else (file,)
    return Case(name, about, files, line, work=True)


def _damaged_toml(rng: Random, data: bytes) -> tuple[bytes, str]:
    way = rng.random()
    if way < 0.2:
        return damaged_bytes(rng, data)
    text = data.decode()
    if way < 0.3:
        return rng.choice(
            [b"", b"\xff", b"\xef\xbb\xbf" + data, data + data, b"[" * 10**5,
             b"a = " + b"[" * 10**5, b"a." * 10**5 + b"b = 1", b"x = '''" + b"a" * 10**6,
             b"title = 1979-05-27T07:32:00Z\n" + data, b"seeds = 1_000_000_000\n" + data,
             b"axes = 1\n" + data, b"[axes]\nseeds = [1]\n", b"[axes.a.b]\nc = 1\n"]
        ), "another text"  # fmt: skip
    if way < 0.45:
        return _grown(rng, text)
    value, about = damaged_value(rng, tomllib.loads(text), lambda _: rng.choice([*ODD, *_NAMED]))
    return written(value).encode("utf-8", "surrogatepass"), about


_NAMED = (
    "se", "asr", "plain", "cosine", "embedded", "resnet11-embedded", "resnet164-cifar100",
    ["se", "se"], ["se", "ie"], [1, 2], [0.1], [[1], [2]], ["x" * 300], ["a/b"], [" "], [""],
    ["a\nb"],
)  # fmt: skip


def _grown(rng: Random, text: str) -> tuple[bytes, str]:
    """A grid of very many cells or seeds."""
    many = rng.choice([100, 1000, 32_000])
    axes = rng.sample(["delta", "epochs", "batch_size", "accumulate"], rng.choice([1, 2, 3]))
    seeds = rng.choice([1, 1000, 10**9, 2**63])
    body = "".join(f"{axis} = {list(range(1, many + 1))}\n" for axis in axes)
    return f"seeds = {seeds}\n[axes]\n{body}".encode(), f"{many}^{len(axes)} cells, {seeds} seeds"


def written(value: Mapping[str, Any]) -> str:
    """TOML of nested values: all below the first level in one line each."""
    return "".join(f"{json.dumps(key)} = {_inline(inner)}\n" for key, inner in value.items())


def _inline(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(k)} = {_inline(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    if value is None:
        return "nothing"
    if isinstance(value, float):
        return {"Infinity": "inf", "-Infinity": "-inf", "NaN": "nan"}.get(
            json.dumps(value), repr(value)
        )
    return DEEP.get(value, json.dumps(value)) if isinstance(value, str) else json.dumps(value)
