"""``robust fuse``: a gated model's checkpoint becomes the plain model's, with proof."""

from __future__ import annotations

import click

from robust.cli import options
from robust.cli.output import say, say_json, speed_line
from robust.cli.values import new_file


@click.command("fuse")
@click.argument("checkpoint", metavar="CHECKPOINT", type=options.CHECKPOINT)
@options.model()
@options.out("The fused .safetensors file.", required=True)
@options.overwrite()
@options.as_json()
def fuse(checkpoint: str, model: str | None, out: str, overwrite: bool, as_json: bool) -> None:
    """Fold the gates of CHECKPOINT into its layers and write the plain model.

    CHECKPOINT is a style network, the folder or last.pt or best.pt of a classifier's training run,
    or what asr_core.save_model wrote. Both models are run in eval mode on the same inputs first:
    where they differ nothing is written, and the exit code is 1.
    """
    path = new_file(out, ".safetensors", source=checkpoint, overwrite=overwrite)

    from dataclasses import asdict

    from asr_core.asr.affine import with_created_affine
    from asr_core.asr.report import created_affine
    from asr_core.errors import InputError
    from robust.bench.speed import side_by_side
    from robust.models.card import write_card
    from robust.models.files import open_model

    opened = open_model(checkpoint, builder=model)
    if not opened.gates:
        raise InputError(f"{checkpoint} has no ASR: nothing to fuse")
    plain, parity = opened.fused()
    inputs = opened.examples()[0]
    before, after = side_by_side((opened.model, plain), inputs)
    opened.save(path, plain, step=f"{opened.gates} ASR gates fused; {parity.message}")
    write_card(path)
    created = with_created_affine(plain)
    if as_json:
        speed = {"shape": list(inputs.shape), "before_seconds": before, "after_seconds": after}
        figures = {"out": str(path), "gates": opened.gates, "created": created}
        say_json({**figures, "parity": asdict(parity), "speed": speed})
        return
    say(f"{path}: {opened.gates} gates fused; {parity.message}")
    if created:
        say(created_affine(created))
    say(speed_line(before, after, inputs.shape))
