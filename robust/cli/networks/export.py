"""``robust export``: a model's checkpoint as a file for other tools, without gates."""

from __future__ import annotations

import click

from robust.cli import options
from robust.cli.output import say, say_json
from robust.cli.values import new_file


@click.command("export")
@click.argument("checkpoint", metavar="CHECKPOINT", type=options.CHECKPOINT)
@click.option(
    "--format", "suffix", required=True, type=click.Choice(["safetensors", "pt2", "onnx"])
)
@click.option(
    "--fold",
    is_flag=True,
    help="Fold batch norms into the layers before them too, parallel branches into one.",
)
@options.model()
@options.out("The file to write.", required=True)
@options.overwrite()
@options.as_json()
def export(
    checkpoint: str,
    suffix: str,
    fold: bool,
    model: str | None,
    out: str,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Write the plain model of CHECKPOINT, gates fused, for other tools.

    CHECKPOINT is a style network, the folder or last.pt or best.pt of a classifier's training run,
    or what asr_core.save_model wrote. pt2 (torch.export) and onnx take any batch size, those of
    style networks any sides that are multiples of 4; both are run against the model before the
    file is put in place. Where outputs differ nothing is written, and the exit code is 1.
    Normalisation of the images is part of the graph; of safetensors the header keeps it. Live
    attention stays, and so does what --fold may not fold, with the reason.
    """
    path = new_file(out, f".{suffix}", source=checkpoint, overwrite=overwrite)

    from dataclasses import asdict

    from asr_core.asr.affine import with_created_affine
    from asr_core.asr.report import created_affine, listed
    from asr_core.fold.model import FoldReport
    from asr_core.saving.export import export_onnx, export_pt2, require_onnx
    from robust.models.card import write_card
    from robust.models.files import Folds, open_model

    if suffix == "onnx":
        require_onnx()
    opened = open_model(checkpoint, builder=model)
    plain, parity = opened.fused()
    report = opened.folded(plain) if fold else FoldReport(plain)
    final = report.model
    folds = Folds(report.merged, report.pairs)
    merged = f", {len(folds.merged)} blocks merged" if folds.merged else ""
    folded = f", {len(folds.pairs)} batch norms folded" if folds.pairs else ""
    done = f"{opened.gates} gates fused{merged}{folded}"
    if suffix == "safetensors":
        opened.save(path, final, folds, step=f"{done}; {parity.message}")
        write_card(path)
    else:
        write = export_onnx if suffix == "onnx" else export_pt2
        parity = write(path, final, opened.examples()[0], size_step=opened.size_step)
        write_card(path, opened.facts, step=f"exported as {suffix}, {done}; {parity.message}")
    if as_json:
        left = {refusal.name: refusal.reason for refusal in report.left}
        counts = {"gates": opened.gates, "merged": len(folds.merged), "folded": len(folds.pairs)}
        say_json({"out": str(path), **counts, "left": left, "parity": asdict(parity)})
        return
    say(f"{path}: {done}; {parity.message}")
    if created := with_created_affine(final):
        say(created_affine(created))
    if report.left:
        say(f"{len(report.left)} left in place: {listed(report.left)}")
