"""``robust stylize``: one network on the user's pictures."""

from __future__ import annotations

import click

from robust.cli.output import say, say_json


@click.command("stylize")
@click.argument("images", nargs=-1, required=True)
@click.option("--style", default="mosaic", show_default=True, help="Style of a shipped network.")
@click.option("--norm", default="bn+asr", show_default=True, help="Norm variant.")
@click.option("--train-seed", type=int, default=0, show_default=True, help="Which shipped network.")
@click.option("--model", help="An own checkpoint instead of a shipped network.")
@click.option(
    "--fused", is_flag=True, help="Fold gates and batch norms away; print the speed ratio."
)
@click.option("--size", type=int, help="Resize the shorter side to this many pixels.")
@click.option("--format", "suffix", type=click.Choice(["png", "jpg"]), default="png")
@click.option(
    "--max-pixels",
    type=int,
    default=16_000_000,
    show_default=True,
    help="Largest picture; the default takes 1 GB beside the model.",
)
@click.option("--device", default="cpu", show_default=True)
@click.option("--out", required=True, type=click.Path(), help="Folder for the pictures.")
@click.option("--overwrite", is_flag=True, help="Replace pictures that exist.")
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON.")
def stylize(
    images: tuple[str, ...],
    style: str,
    norm: str,
    train_seed: int,
    model: str | None,
    fused: bool,
    size: int | None,
    suffix: str,
    max_pixels: int,
    device: str,
    out: str,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Stylise IMAGES (files or folders) and write them to --out under their own names."""
    from dataclasses import asdict
    from pathlib import Path

    from robust.style.pictures import stylize_files

    def written(file: Path) -> None:
        if not as_json:
            say(str(file))

    done = stylize_files(
        images,
        out,
        style=style,
        norm=norm,
        train_seed=train_seed,
        model=model,
        fused=fused,
        size=size,
        suffix=suffix,
        max_pixels=max_pixels,
        device=device,
        overwrite=overwrite,
        on_written=written,
        on_skip=lambda file, reason: say(f"skipped {file}: {reason}", err=True),
    )
    if done.skipped:
        say(f"files skipped: {len(done.skipped)}", err=True)
    if as_json:
        say_json(asdict(done))
    elif done.speed is not None:
        say(
            f"fused: {done.speed['fused_seconds'] * 1000:.0f} ms for {done.speed['width']} × "
            f"{done.speed['height']} pixels; IN network of the same width: "
            f"{done.speed['in_seconds'] * 1000:.0f} ms; {done.speed['ratio']:.2f} times as fast"
        )
