"""``robust doctor``: what is installed, and what to install for what."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from importlib import metadata
from typing import Any

import click
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from asr_core.pretrained.cache import cached
from asr_core.pretrained.catalogue import PRETRAINED
from robust.cli import options
from robust.cli.output import say, say_json
from robust.report.table import Table

PACKAGE = "robust-asr"
EXTRAS = {
    "export": "robust export --format onnx",
    "notebook": "results as pandas tables",
    "ray": "robust sweep on a Ray cluster",
    "tensorboard": "robust train --tensorboard",
    "timm": "models named timm:NAME",
}
"""What each extra is for; those for development are left out."""


@click.command("doctor")
@options.as_json()
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Say what is installed, and what to install for what.

    The exit code is 1 where something that every command needs is missing or too old.
    """
    found = examine()
    if as_json:
        say_json(found)
    else:
        say(*_table(found).plain())
    if not found["ok"]:
        ctx.exit(1)


def examine() -> dict[str, Any]:
    """What is installed, JSON-able; ``ok`` is whether all is there that every command needs."""
    problems: list[dict[str, Any]] = []
    packages: dict[str, str | None] = {PACKAGE: _version(PACKAGE)}
    needed: list[Requirement] = []
    extras: list[str] = []
    python = platform.python_version()
    if packages[PACKAGE] is None:  # run from its sources
        problems.append(_problem(PACKAGE, None, "an installed package", "pip install ."))
    else:
        own = metadata.metadata(PACKAGE)
        needed = [Requirement(text) for text in own.get_all("Requires-Dist") or ()]
        extras = [name for name in own.get_all("Provides-Extra") or () if name in EXTRAS]
        wanted = SpecifierSet(own["Requires-Python"] or "")
        if not wanted.contains(python, prereleases=True):
            problems.append(_problem("python", python, str(wanted), f"Python {wanted}"))
    for each in needed:
        if each.marker is not None:
            continue
        packages[each.name] = _version(each.name)
        if not _meets(each):
            install = f"pip install '{each}'"
            problems.append(_problem(each.name, packages[each.name], str(each.specifier), install))
    devices: list[dict[str, str]] = []
    try:
        devices = _devices()
    except Exception as error:  # a broken torch raises errors of many kinds
        if not any(each["name"] == "torch" for each in problems):
            reason = f"a torch that can be imported ({error})"
            install = "pip install --force-reinstall torch"
            problems.append(_problem("torch", _version("torch"), reason, install))
    return {
        "ok": not problems,
        "python": python,
        "packages": packages,
        "problems": problems,
        "devices": devices,
        "extras": [_extra(name, needed) for name in extras],
        "weights": [
            {
                "name": name,
                "for": PRETRAINED[name].title,
                "file": str(file) if (file := cached(name)) else None,
                "install": f"robust weights get {name}",
            }
            for name in PRETRAINED
        ],
    }


def _problem(name: str, version: str | None, wanted: str, install: str) -> dict[str, Any]:
    return {"name": name, "version": version, "wanted": wanted, "install": install}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _meets(needed: Requirement) -> bool:
    version = _version(needed.name)
    return version is not None and needed.specifier.contains(version, prereleases=True)


def _extra(name: str, needed: Iterable[Requirement]) -> dict[str, Any]:
    own = [
        each for each in needed
        if each.marker is not None and each.marker.evaluate({"extra": name})
    ]  # fmt: skip
    return {
        "name": name,
        "for": EXTRAS[name],
        "packages": {each.name: _version(each.name) for each in own},
        "missing": [f"{each.name}{each.specifier}" for each in own if not _meets(each)],
        "install": f"pip install '{PACKAGE}[{name}]'",
    }


def _devices() -> list[dict[str, str]]:
    """The CPU and the accelerators that torch can use, by their names for ``--device``."""
    import torch

    cpu = f"{torch.get_num_threads()} threads"
    found = [{"name": "cpu", "for": f"{platform.machine()}, {cpu}"}]
    if not torch.accelerator.is_available():
        return found
    kind = torch.accelerator.current_accelerator().type  # type: ignore[union-attr]
    describe = getattr(torch.get_device_module(kind), "get_device_name", lambda _: kind)
    for index in range(torch.accelerator.device_count()):
        name = f"{kind}:{index}" if index else kind
        found.append({"name": name, "for": str(describe(index))})
    return found


def _table(found: dict[str, Any]) -> Table:
    packages = found["packages"]
    rows = [("Python", found["python"], "", "")]
    rows += [(name, packages.get(name) or "no", "", "") for name in (PACKAGE, "torch")]
    rows += [
        (each["name"], each["version"] or "no", f"all commands: {each['wanted']}", each["install"])
        for each in found["problems"]
    ]
    rows += [(f"device {each['name']}", "yes", each["for"], "") for each in found["devices"]]
    for each in [*found["extras"], *found["weights"]]:
        missing = each.get("missing")
        here = each["file"] is not None if missing is None else not missing
        lacking = "yes" if here else " ".join(["no", *(missing or ())])
        rows.append((each["name"], lacking, each["for"], "" if here else each["install"]))
    return Table(("what", "here", "for", "to get it"), rows, words=4)
