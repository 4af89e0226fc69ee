"""The tables and the page of :mod:`robust.studies.real_network`, from its data alone."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from asr_core.saving.files import write_json
from robust.norm_noise import RUNNING, parse_statistics
from robust.report.table import Table
from robust.studies.real_network import STATISTICS, WANTED
from robust.studies.sections import put_section

Found = Mapping[str, Any]

PAGE = """# A network that people know

Made by `robust study network`{command}: EfficientNet-Lite0 with its published ImageNet weights
(`robust weights get efficientnet-lite0`).

{data}

{noise}

{lines}

## ASR in the trained network

An attention gate is inserted at each residual branch so that outputs stay (`preserve=True`), fused,
batch norms are folded into their convolutions, and the result is exported to ONNX and quantised
(onnxruntime, dynamic INT8). No gate was trained: this is about the tools, not about accuracy.

{steps}
"""


def tables(found: Found) -> tuple[Table, Table]:
    """Of the noise, a column for each of the statistics; and of the steps from ASR to INT8."""
    names = [RUNNING, *(parse_statistics(text).name for text in STATISTICS)]
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for row in found["noise"]:
        decides = row["noise"] == "batch"  # its severity is the statistics
        column = RUNNING if decides else row["statistics"]
        rows.setdefault((row["noise"], row["severity"]), {})[column] = _share(row)
    noise = Table(
        ("noise", "severity", *names),
        ((*key, *(cells.get(name, "–") for name in names)) for key, cells in rows.items()),
        words=2,
        caption=f"{_of(found)}, %, with the 95 % interval over {_units(found)}; batch noise "
        "decides the statistics itself",
    )
    first = found["steps"][0]["seconds"]
    steps = Table(
        ("step", "largest difference", "first class stays, %", "ms an image", "speed", "MB"),
        (
            (
                row["step"],
                f"{row['difference']:.1e}" if row["difference"] else "0",
                f"{100 * row['share']:.1f}",
                f"{1000 * row['seconds']:.1f}",
                f"{first / row['seconds']:.2f}×",
                f"{row['bytes'] / 1e6:.1f}" if row["bytes"] else "",
            )
            for row in found["steps"]
        ),
        caption="difference of logits, relative to the largest; times in turns, medians, "
        f"batches of 8, CPU threads: {found['threads']}",
    )
    return noise, steps


def lines(found: Found) -> list[str]:
    """What the tables rest on, a sentence each."""
    told = []
    low, high = (100 * end for end in WANTED)
    for noise, kept in {
        row["noise"]: row["calibrated"] for row in found["noise"] if row["calibrated"] is not None
    }.items():
        outside = (
            "" if WANTED[0] <= kept <= WANTED[1] else "; no strength that was tried comes closer"
        )
        told.append(
            f"{noise} noise leaves {100 * kept:.0f} % on the validation images, where its strength "
            f"was chosen ({low:.0f} to {high:.0f} % are wanted){outside}."
        )
    if found["labelled"] is not None:
        right, of = found["labelled"]["right"], found["labelled"]["of"]
        told.append(f"Of the {of} photographs with an ImageNet label it has {right} right.")
    return told


def page(found: Found, command: str = "") -> str:
    """The page, in Markdown; ``command`` is what followed the command's name."""
    noise, steps = tables(found)
    if found["photographs"]:
        data = (
            f"It is asked about {found['images']} crops of {found['photographs']} photographs that "
            "nothing was chosen on: how many keep the first class that they had without noise. The "
            "strength of each noise was chosen on other photographs, and re-estimated statistics "
            "are those of the training photographs."
        )
    else:
        data = f"Accuracy on {found['images']} images of the data set {found['data']}."
    return PAGE.format(
        command=f" `{command}`" if command else "",
        data=data,
        noise=noise.markdown().strip(),
        lines="\n".join(f"- {line}" for line in lines(found)),
        steps=steps.markdown().strip(),
    )


def study(runs: Path, docs: Path) -> None:
    """Write the page and its data into ``docs``, from what the command left in ``runs``."""
    found = json.loads((runs / "network.json").read_text(encoding="utf-8"))
    write_json(docs / "real-network.json", found)
    # A section's headings begin at the second level.
    put_section(docs, "real-network", re.sub("^#", "##", page(found), flags=re.MULTILINE))


def _of(found: Found) -> str:
    kept = "crops whose first class stays what it was clean"
    return kept if found["photographs"] else "images whose first class is right"


def _units(found: Found) -> str:
    return f"{found['photographs']} photographs" if found["photographs"] else "images"


def _share(row: Mapping[str, Any]) -> str:
    text = f"{100 * row['share']:.1f}"
    ends: Sequence[float | None] = (row["low"], row["high"])
    if None in ends or ends[0] == ends[1]:
        return text
    return f"{text} [{100 * max(0, ends[0]):.0f}, {100 * min(1, ends[1]):.0f}]"  # type: ignore[type-var, operator]
