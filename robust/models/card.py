"""Model cards: Markdown beside a saved network, from the facts in its file."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asr_core.data import DATASETS
from asr_core.saving.checkpoint import load_meta
from asr_core.saving.files import write_text
from asr_core.saving.model_facts import facts_of
from robust.models.names import names_code
from robust.report.escape import line, markdown
from robust.report.table import Table
from styletransfer import zoo

_MARK = (
    "<!-- Written by robust-asr, from the facts in the file. A card without this line is kept. -->"
)
_SAVED = ".safetensors"
_LICENCE = (
    "robust-asr is under the MIT licence, and claims no rights in the weights. They are their "
    "maker's; the terms of the data and of any weights that the training started from may bind "
    "those who use them."
)


def write_card(
    file: Path, facts: Mapping[str, Any] | None = None, *, step: str = ""
) -> Path | None:
    """Write the model card of ``file`` beside it; returns its path.

    The card of ``net.safetensors`` is ``net.md``, that of ``net.onnx`` is ``net.onnx.md``. A text
    in its place that is no card of ours is kept, and the answer is None.

    Args:
        file: a saved model or a style network; with ``facts``, a program exported from one.
        facts: those of the network; None reads them from ``file``.
        step: what was done to make a program of it.

    Raises:
        CheckpointError: the file is no network of ours.
        OSError: the folder cannot be written.
    """
    target = file.with_suffix(".md") if file.suffix == _SAVED else Path(f"{file}.md")
    if target.exists() and not target.read_bytes().startswith(_MARK.encode()):
        return None
    if facts is None:
        facts = load_meta(file)
        _ = zoo.describe(file) if facts.get("kind") == zoo.KIND else facts_of(file)  # checks them
    write_text(target, card(file.name, facts, step=step))
    return target


def card(name: str, facts: Mapping[str, Any], *, step: str = "") -> str:
    """The model card of the file called ``name``, in Markdown.

    Args:
        name: the file's name; its suffix says how it is loaded.
        facts: those of a saved model (:class:`asr_core.saving.model_facts.Facts`) or of a style
            network (:class:`styletransfer.zoo.NetworkFacts`).
        step: what was done last.
    """
    is_style = facts["kind"] == zoo.KIND
    what, how, numbers, steps = _of_style(facts) if is_style else _of_model(facts)
    steps = [*steps, *filter(None, [step])]
    parts = [_MARK, f"# {markdown(name)}", markdown(what), "## How it was made"]
    parts.append(_table(how) if how else "Its training is not recorded.")
    if steps:
        done = [f"{number}. {markdown(each)}" for number, each in enumerate(steps, 1)]
        parts += ["Afterwards:", "\n".join(done)]
    parts.append("## Numbers")
    parts.append(
        f"Of the network as it was trained.\n\n{_table(numbers)}" if numbers else "None recorded."
    )
    parts += ["## Licence", _LICENCE, "## Use", f"```python\n{_python(name, facts)}\n```"]
    if name.endswith(_SAVED):
        parts.append(f"```sh\n{_command(name, facts)}\n```")
    return "\n\n".join(part.strip() for part in parts) + "\n"


def shipped_card(folder: Path = zoo.WEIGHTS) -> str:
    """One model card, in Markdown, for all style networks in ``folder``, which has some."""
    networks = zoo.shipped(folder)
    facts = [load_meta(network.path) for network in networks]
    told = [_of_style(each)[1:3] for each in facts]
    columns = list(dict.fromkeys(name for _, numbers in told for name in numbers))
    same = {
        name: value
        for name, value in told[0][0].items()
        if all(name in how and how[name] == value for how, _ in told)
    }
    own = ["norm", "seed", *(name for name in ("style_weight",) if name not in same)]
    rows = [
        (
            network.path.name, network.style,
            *(_text(how.get(name, "")) for name in own),
            *(_text(numbers.get(name, "")) for name in columns),
        )
        for network, (how, numbers) in zip(networks, told, strict=True)
    ]  # fmt: skip
    table = Table(("file", "style", *own, *columns), rows, words=3)
    return _SHIPPED.format(
        count=len(networks),
        same=_table(same).strip(),
        table=table.markdown().strip(),
        python=_python(networks[0].path.name, facts[0]),
    )


_SHIPPED = """# {count} style networks

They paint photographs (N, 3, H, W) in [0, 1] whose sides are multiples of 4. Networks of a style
and seed share data, recipe and initial convolutions; only the norm differs. Weights of the
convolutions have 8 bits.

## How they were made

From the photographs that ship with the package's dependencies and styles drawn by code, by
`python scripts/weights/style_networks.py`, which also writes this page from the facts in the files.
All have in common:

{same}

## Numbers

Losses of the files as they ship; less is better. The validation pictures chose the recipe, the
held-out pictures chose nothing.

{table}

## Licence

MIT, as the package.

## Use

```python
{python}
```

```sh
robust stylize PICTURE --style mosaic --norm in --out FOLDER
```
"""
_Parts = tuple[str, dict[str, Any], dict[str, Any], list[str]]


def _of_model(facts: Mapping[str, Any]) -> _Parts:
    shape = " × ".join(map(str, facts["input_shape"]))
    arguments = "".join(f", {name}={value}" for name, value in facts["arguments"].items())
    what = f"The network {facts['stock']}{arguments}, for inputs of {shape}"
    if facts["mean"]:
        statistics = [_text(list(map(float, facts[each]))) for each in ("mean", "std")]
        what += ": images in [0, 1], which it normalises (mean {}, std {})".format(*statistics)
    made = facts.get("made") or {}
    return f"{what}.", made.get("how", {}), made.get("numbers", {}), made.get("steps", [])


def _of_style(facts: Mapping[str, Any]) -> _Parts:
    model = facts["model"]
    what = (
        f"A style network: it paints images (N, 3, H, W) in [0, 1], with sides that are multiples "
        f"of 4, in the style {facts['style']!r}. Norm variant {model['norm']}, width "
        f"{model['width']}, {model['blocks']} residual blocks."
    )
    plain = ("images", "stroke_size", "loss_network", "torch")
    how = {
        **(facts.get("recipe") or {}),
        "seed": facts["seed"],
        **{name: facts[name] for name in plain if facts.get(name) is not None},
        **{f"noise: {name}": value for name, value in (facts.get("noise") or {}).items()},
    }
    numbers = {
        f"{words} {name} loss": value
        for words, field in (("validation", "validation"), ("held-out", "held_out"))
        for name, value in (facts.get(field) or {}).items()
    }
    before = facts.get("fused_from")
    return what, how, numbers, [f"gates of {before} fused"] if before else []


def _table(rows: Mapping[str, Any]) -> str:
    return Table(
        ("what", "value"), ((name, _text(value)) for name, value in rows.items())
    ).markdown()


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return ", ".join(map(_text, value)) if isinstance(value, list | tuple) else str(value)


def _python(name: str, facts: Mapping[str, Any]) -> str:
    shape = (3, 64, 64) if facts["kind"] == zoo.KIND else tuple(facts["input_shape"])
    images = f"images = torch.rand(2, {', '.join(map(str, shape))})"
    if name.endswith(".onnx"):
        return (
            "import onnxruntime, torch\n\n"
            f"{images}\n"
            f"session = onnxruntime.InferenceSession({_quoted(name)})\n"
            '(outputs,) = session.run(None, {"images": images.numpy()})'
        )
    if name.endswith(".pt2"):
        return (
            f"import torch\n\n{images}\n"
            f"model = torch.export.load({_quoted(name)}).module()\noutputs = model(images)"
        )
    stock = facts.get("stock", "")
    builder = f", builder={_quoted(stock)}" if names_code(stock) else ""
    return (
        "import torch\nfrom robust.models.files import open_model\n\n"
        f"{images}\nmodel = open_model({_quoted(name)}{builder}).model\noutputs = model(images)"
    )


def _quoted(text: str) -> str:
    """A literal of Python in double quotes, where that needs no escape."""
    literal = repr(text)
    return literal if '"' in literal else f'"{literal[1:-1]}"'


def _command(name: str, facts: Mapping[str, Any]) -> str:
    quoted = line(shlex.quote(name))
    if facts["kind"] == zoo.KIND:
        return f"robust stylize PICTURE --checkpoint {quoted} --out FOLDER"
    data = ((facts.get("made") or {}).get("how") or {}).get("data")
    known = data if data in DATASETS.names() and data != "folder" else "FOLDER"
    model = f" --model {line(shlex.quote(facts['stock']))}" if names_code(facts["stock"]) else ""
    return f"robust evaluate {quoted}{model} --data {known}"
