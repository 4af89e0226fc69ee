"""``robust freeze``: live attention becomes constant, and is folded away."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import click

from robust.cli import options
from robust.cli.output import leave_busy_cores, say, say_json, speed_line
from robust.cli.values import Named, new_file

if TYPE_CHECKING:
    from asr_core.freeze import FrozenGate


@click.command("freeze")
@click.argument("checkpoint", metavar="CHECKPOINT", type=options.CHECKPOINT)
@options.data("Data set that the network was trained on.", required=True)
@options.data_folder()
@options.max_images("Training images for the means, at most.  [all]")
@options.split("Where accuracy is taken.", type=Named("split", ["test", "validation"]))
@options.batch_size(default=128)
@options.model()
@options.device()
@options.out("Write the plain model to this .safetensors file.")
@options.overwrite()
@options.as_json()
def freeze(
    checkpoint: str,
    data: str,
    data_folder: str | None,
    max_images: int | None,
    split: str,
    batch_size: int,
    model: str | None,
    device: str,
    out: str | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Replace CHECKPOINT's live channel gates by their means, and fold those into its layers.

    CHECKPOINT is what asr_core.save_model wrote, of a classifier with SE, ECA and the like: ours,
    torchvision's or timm's; or, with --model, a state dict of theirs as published. The means are
    over training images. How constant each gate was is told (a stripe score of 0: the same on every
    image), and what freezing does to accuracy.
    """
    path = None
    if out is not None:
        path = new_file(out, ".safetensors", source=checkpoint, overwrite=overwrite)

    from dataclasses import asdict
    from pathlib import Path

    from asr_core.data import open_data
    from robust.bench.speed import side_by_side
    from robust.device import choose_device
    from robust.models.card import write_card
    from robust.models.files import open_model
    from robust.models.freezing import freeze_classifier, require_classifier, save_frozen

    target = choose_device(device)
    leave_busy_cores()
    opened = require_classifier(open_model(checkpoint, builder=model))
    live = (opened.fused()[0] if opened.gates else opened.model).to(target)
    images = open_data(
        data,
        folder=None if data_folder is None else Path(data_folder),
        image_size=opened.input_shape[-1],
    ).to(target)
    frozen = freeze_classifier(
        live, images, max_images=max_images, split=split, batch_size=batch_size
    )
    report, accuracy = frozen.report, frozen.accuracy
    inputs = opened.examples()[0].to(target)
    before, after = side_by_side((live, frozen.model.eval()), inputs)
    live.cpu()
    frozen.model.cpu()
    gates = f"{len(report.gates)} gates frozen at their means over {report.images} training images"
    done = f"{gates} of {images.name}; folded against frozen: {report.parity.message}"
    accuracies = f"on the {split} images, {accuracy.sentence}"
    stock = None
    if path is not None:
        stock = save_frozen(opened, path, frozen, step=f"{done}; {accuracies}")
        write_card(path)
    if as_json:
        figures = {
            "out": None if path is None else str(path),
            "stock": stock,
            "data": {"name": images.name, "train_images": report.images, "split": split},
            "gates": [_figures(gate) for gate in report.gates],
            "live": [asdict(refusal) for refusal in report.refusals],
            "accuracy": {
                **asdict(accuracy), "change": accuracy.change, "answer": accuracy.answer
            },
            "parity": asdict(report.parity),
            "speed": {
                "shape": list(inputs.shape), "before_seconds": before, "after_seconds": after
            },
        }  # fmt: skip
        say_json(figures)
        return
    say(*repr(report).split("\n"))
    say(done)
    say(accuracies)
    say(speed_line(before, after, inputs.shape))
    if path is not None:
        say(f"{path}: {stock}")


def _figures(gate: FrozenGate) -> dict[str, Any]:
    statistics = gate.statistics
    return {
        "name": gate.name,
        "kind": gate.kind,
        "channels": gate.channels,
        "mean": statistics.mean.mean().item(),
        "std_between_images": statistics.std,
        # JSON knows no infinity: images differ, channels do not.
        "stripe": statistics.stripe if math.isfinite(statistics.stripe) else None,
        "side": gate.side,
        "layers": list(gate.layers),
        "reason": gate.reason,
    }
