"""The pictures that an attack kept, to look at and to compare."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from asr_core.errors import InputError
from robust.norm_noise.severity import parse_severity
from robust.report.page.read import read_run
from robust.report.page.style_plots import CLEAN, colour_of, title_of
from robust.report.page.values import Compare, Picture, Pictures
from robust.style.names import OURS

BUDGET = 14 * 2**20
"""Bytes of pictures in a page, which base64 makes a third more: it must still go by mail."""
_FILE = re.compile(r"[\d-]+\.jpg|style\.jpg")


def index_of(folder: Path) -> dict[str, Any]:
    """The kept pictures; those of a run from before they were kept are none."""
    path = folder / "pictures" / "index.json"
    if not path.is_file():
        return {"contents": {}, "outputs": []}
    return read_run(path)


def _read(folder: Path, name: str) -> bytes:
    """A kept picture, by its name in the index.

    Raises:
        InputError: a name that no run gives, such as one that leads out of the folder.
    """
    if not _FILE.fullmatch(name):
        raise InputError(f"{folder / 'pictures'}: {name!r} is no name of a kept picture")
    return (folder / "pictures" / name).read_bytes()


def _severity_shown(summary: dict[str, Any], noise: str) -> str:
    """The strongest severity with an order, or else the last attack."""
    texts = list(dict.fromkeys(c["severity"] for c in summary["cells"] if c["noise"] == noise))
    attacks = [text for text in texts if not parse_severity(noise, text).is_control] or texts
    ordered = [text for text in attacks if parse_severity(noise, text).is_ordered]
    if noise == "batch" and ordered:
        return min(ordered, key=lambda text: int(text))
    return (ordered or attacks)[-1]


def strips_of(folder: Path, summary: dict[str, Any], index: dict[str, Any]) -> Iterator[Pictures]:
    """The first photograph, stylised by every variant under the strongest severity of a noise."""
    if not index["outputs"]:
        return
    image = index["outputs"][0]["image"]
    noise = next((each["noise"] for each in index["outputs"] if each["noise"] != CLEAN), CLEAN)
    text = _severity_shown(summary, noise) if noise != CLEAN else ""
    label = f"{noise} noise, {parse_severity(noise, text).label}" if text else CLEAN
    shown = [Picture(_read(folder, index["contents"][image]), f"{image}: photograph", "photograph")]
    for each in index["outputs"]:
        if (each["image"], each["noise"], each["severity"]) == (image, noise, text):
            name = title_of(each["norm"])
            shown.append(
                Picture(
                    _read(folder, each["file"]),
                    f"{image}, stylised by {name} under {label}",
                    name,
                    colour=colour_of(each["norm"]),
                )
            )
    seed = index["training_seed"]
    yield Pictures(shown, f"{image} under {label}; training seed {seed}, first draw.")


def compare_of(
    folder: Path, summary: dict[str, Any], index: dict[str, Any], budget: int = BUDGET
) -> Compare | None:
    """The kept pictures, as many images as ``budget`` bytes hold; None without any."""
    if not index["outputs"]:
        return None
    by_image: dict[str, dict[tuple[str, str, str], str]] = {
        name: {("content", CLEAN, ""): file} for name, file in index["contents"].items()
    }
    for each in index["outputs"]:
        key = each["norm"], each["noise"], each["severity"]
        by_image[each["image"]][key] = each["file"]
    pictures: list[dict[tuple[str, str, str], bytes]] = []
    spent = 0
    for found in by_image.values():
        read = {name: _read(folder, name) for name in dict.fromkeys(found.values())}
        spent += sum(map(len, read.values()))
        if pictures and spent > budget:
            break
        pictures.append({key: read[name] for key, name in found.items()})
    names = list(by_image)
    norms = list(dict.fromkeys(each["norm"] for each in index["outputs"]))
    noises = _noises(index["outputs"])
    noise = list(noises)[-1] if len(noises) < 2 else list(noises)[1]
    variants = [(norm, title_of(norm)) for norm in norms]
    variants += [(f"{norm}@clean", f"{title_of(norm)}, clean") for norm in norms]
    note = f"One training seed ({index['training_seed']}), the first draw."
    if len(pictures) < len(names):
        note += (
            f" The page holds the pictures of the first {len(pictures)} of {len(names)} "
            f"photographs ({budget // 2**20} MB); the run's folder has the others in pictures/: "
            f"{_some(names[len(pictures) :])}."
        )
    unkept = len(summary["images"]) - len(names)
    if unkept > 0:
        note += f" Of {unkept} photographs more the run kept no pictures."
    left = "bn" if "bn" in norms else norms[0]
    return Compare(
        names[: len(pictures)],
        noises,
        [*variants, ("content", "photograph")],
        pictures,
        {
            "picture": names[0],
            "noise": noise,
            "severity": _severity_shown(summary, noise) if noise != CLEAN else "",
            "left": left,
            "right": OURS if OURS in norms else norms[-1],
        },
        note,
    )


def _noises(outputs: Iterable[Mapping[str, str]]) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, dict[str, str]] = {}
    for each in outputs:
        noise, text = each["noise"], each["severity"]
        label = CLEAN if noise == CLEAN else parse_severity(noise, text).label
        found.setdefault(noise, {})[text] = label
    return {noise: list(labels.items()) for noise, labels in found.items()}


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
