"""``robust stylize``: one network on the user's pictures."""

from __future__ import annotations

import click

from robust.cli.output import say, say_json

_TIMED_SIDE = 512
"""The speed is measured on no more of a picture than this, so that large ones do not wait."""


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
    from pathlib import Path

    from asr_core.errors import InputError
    from asr_core.saving.exclusive import exclusive
    from robust.device import choose_device
    from styletransfer.images.names import unique_names
    from styletransfer.images.read import find_images, read_images, write_image
    from styletransfer.stylize import fold_network, speed_ratio, stylize
    from styletransfer.zoo import load_network, new_twin, select, shipped

    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; --out names a folder")
    names = unique_names(find_images(images))
    existing = [file for name in names if (file := folder / f"{name}.{suffix}").exists()]
    if existing and not overwrite:
        exist = "exists" if len(existing) == 1 else f"and {len(existing) - 1} more exist"
        raise InputError(f"{existing[0]} {exist} already; choose another --out, or --overwrite")
    target = choose_device(device)
    path = model or select(shipped(), style=style, norm=norm, seed=train_seed)[0].path
    network = load_network(path)[0].to(target)
    instance = new_twin(network, norm="in").to(target) if fused else None
    if fused:
        network = fold_network(network)
    skipped: dict[str, str] = {}
    written: list[str] = []
    speed: dict[str, float] | None = None

    def skip(file: Path, reason: str) -> None:
        skipped[str(file)] = reason
        say(f"skipped {file}: {reason}", err=True)

    with exclusive(folder):
        try:
            for name, image in read_images(images, on_skip=skip, max_pixels=max_pixels, size=size):
                file = folder / f"{name}.{suffix}"
                batch = image[None].to(target)
                write_image(file, stylize(network, batch)[0])
                written.append(str(file))
                if instance is not None and speed is None:
                    part = batch[..., :_TIMED_SIDE, :_TIMED_SIDE]
                    slow, fast = speed_ratio(instance, network, part)
                    speed = {
                        "height": part.shape[2],
                        "width": part.shape[3],
                        "in_seconds": slow,
                        "fused_seconds": fast,
                        "ratio": slow / fast,
                    }
                if not as_json:
                    say(str(file))
        except KeyboardInterrupt as error:
            error.args = (f"{folder} keeps the {len(written)} finished pictures",)
            raise
    if skipped:
        say(f"files skipped: {len(skipped)}", err=True)
    if as_json:
        report = {"written": written, "skipped": skipped, "speed": speed}
        say_json(report)
    elif speed is not None:
        say(
            f"fused: {speed['fused_seconds'] * 1000:.0f} ms for {speed['width']} × "
            f"{speed['height']} pixels; IN network of the same width: "
            f"{speed['in_seconds'] * 1000:.0f} ms; {speed['ratio']:.2f} times as fast"
        )
