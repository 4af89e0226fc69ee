"""``robust stylize``: one network on the user's pictures."""

from __future__ import annotations

import click

from asr_core import limits
from robust.cli import names, options
from robust.cli.output import say, say_json
from robust.cli.values import Existing, Named, Whole


@click.command("stylize", cls=options.Command, old={"--model": "--checkpoint"})
@click.argument("images", nargs=-1, required=True, type=Existing("file or folder"))
@options.style("Style of a shipped network.", type=Named("style", names.styles), default="mosaic")
@options.norm("Norm variant of the network.", default="bn+asr")
@click.option(
    "--train-seed", type=int, default=0, show_default=True, help="Training seed of the network."
)
@options.checkpoint("Your own style network.", "model")
@click.option(
    "--fused", is_flag=True, help="Fold gates and batch norms away; print the speed ratio."
)
@options.size("Shorter side of the pictures.  [as they are]", type=Whole(1, limits.SIDE))
@click.option(
    "--format", "suffix", type=click.Choice(["png", "jpg"]), default="png", show_default=True
)
@options.max_pixels(default=16_000_000)
@options.device()
@options.out("Folder of the pictures.", required=True)
@options.overwrite()
@options.as_json()
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

    large: list[str] = []

    def said_of_large(name: str, side: int, learned: int) -> None:
        if not large:
            say(
                f"robust: hint: {name} has {side} pixels on its shorter side; the network saw "
                f"{learned}: strokes will look small; --size {2 * learned} makes them larger",
                err=True,
            )
        large.append(name)

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
        on_large=said_of_large,
        on_skip=lambda file, reason: say(f"skipped {file}: {reason}", err=True),
    )
    if len(large) > 1:
        say(f"pictures as large as that: {len(large)}", err=True)
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
