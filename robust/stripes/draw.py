"""All pictures and figures of a source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from asr_core import limits
from asr_core.asr.report import listed
from asr_core.data.split import Split
from asr_core.errors import InputError
from asr_core.saving.exclusive import exclusive
from asr_core.saving.files import write_json
from asr_core.stripes import AttentionRecord, gate_values
from robust.stripes.epochs import draw_differences, draw_scales, draw_scores
from robust.stripes.heat_maps import draw_spatial, draw_stripes
from robust.stripes.measure import (
    BATCH,
    Convergence,
    Gates,
    convergence,
    figures,
    measure,
    untrained,
)
from robust.stripes.source import Source


@dataclass(frozen=True)
class Drawn:
    """What was measured and drawn.

    Attributes:
        gates: the attention on the images.
        convergence: of the live gates over epochs; None without a record of two epochs.
        files: the files written.
        report: all figures, JSON-able, as in ``stripes.json``.
    """

    gates: Gates
    convergence: Convergence | None
    files: Sequence[Path]
    report: dict[str, Any]


def draw(
    source: Source,
    split: Split,
    folder: Path,
    *,
    images: int = 100,
    channels: int = 100,
    seed: int = 0,
    threshold: float,
    beside: Source | None = None,
) -> Drawn:
    """Draw what the source has: stripes, spatial attention, changes, scores and v over epochs.

    Args:
        source: the model, and its run's record if there is one.
        split: the images, on the model's device.
        folder: takes the pictures and ``stripes.json``.
        images: number of images in the heat maps, at least 2.
        channels: per layer in the heat maps, in all in the pictures over epochs.
        seed: draws the images and channels.
        threshold: a smaller change in an epoch counts as none.
        beside: a second run; of an ASR run and a live one, v is drawn beside the mean gates.

    Raises:
        InputError: a number is out of range, there is no attention to draw, or another process
            writes to ``folder``.
    """
    limits.whole("images", images, 2, limits.PICTURED)
    limits.whole("channels", channels, 1, limits.PICTURED)
    gates = measure(source.model, split, images=images, seed=seed)
    record = source.record
    recorded = record is not None and record.epochs > 1
    files: list[Path] = []
    shown: dict[str, Any] = {"title": source.title, "channels": channels, "seed": seed}
    with exclusive(folder):
        if gates.values:
            files += draw_stripes(gates.values, folder, **shown)
        if gates.spatial:
            files += draw_spatial(gates, folder, title=source.title)
        settling = None
        if record is not None and recorded and record.live:
            decays = source.decays
            settling = convergence(record, threshold=threshold, decay=decays[0] if decays else None)
            files += draw_differences(record, folder, **shown, threshold=threshold, decays=decays)
            files += draw_scores(record, folder, title=source.title, decays=decays)
        asr, live, decays = _pair(source, beside)
        if asr is not None:
            files += draw_scales(asr, live, folder, **shown, decays=decays)
        if not files:
            raise InputError(_nothing(source, gates))
        fresh: dict[str, Tensor] = {}
        if gates.values and source.stock is not None:
            parts = gates.images.split(BATCH)
            stream = split.test_stream(parts)
            model = untrained(source.stock, stream, split.device, seed=seed)
            fresh = gate_values(model, split.test_stream(parts))[0]
        report = {
            "source": str(source.path),
            "title": source.title,
            "data": source.data.name,
            "images": len(gates.images),
            "seed": seed,
            "layers": figures(gates, fresh, seed=seed),
            "refused": [asdict(refusal) for refusal in gates.refusals],
            "convergence": None if settling is None else asdict(settling),
            "pictures": [path.name for path in files if path.suffix == ".png"],
        }
        write_json(folder / "stripes.json", report)
        return Drawn(gates, settling, [*files, folder / "stripes.json"], report)


def _pair(
    source: Source, beside: Source | None
) -> tuple[AttentionRecord | None, AttentionRecord | None, tuple[float, ...]]:
    """The record with ASR and the live one, where there are such, and the first one's decays."""
    both = [
        (each.record, each.decays)
        for each in (source, beside)
        if each is not None and each.record is not None
    ]
    if beside is not None and len(both) < 2:
        raise InputError("both runs need a record: train them with their attention recorded")
    asr, decays = next(((r, at) for r, at in both if r.asr), (None, ()))
    live = next((record for record, _ in both if record is not asr and record.live), None)
    if beside is not None and (asr is None or live is None):
        raise InputError("to draw v beside live gates give one run with ASR and one with live ones")
    return asr, live, decays


def _nothing(source: Source, gates: Gates) -> str:
    why = f": {listed(gates.refusals)}" if gates.refusals else ""
    return (
        f"{source.path} has no live channel gates{why}. Train in mode 'live', or record the "
        "attention of an ASR run to draw v over epochs"
    )
