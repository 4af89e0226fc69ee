"""``robust stylize``: one network on the user's pictures."""

from __future__ import annotations

import click


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
@click.option("--max-pixels", type=int, default=16_000_000, show_default=True)
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
    import json
    from pathlib import Path

    from asr_core.errors import InputError
    from robust.device import choose_device
    from styletransfer.images.read import read_images, write_image
    from styletransfer.stylize import fold_network, speed_ratio, stylize
    from styletransfer.zoo import load_network, new_twin, select, shipped

    target = choose_device(device)
    path = model or select(shipped(), style=style, norm=norm, seed=train_seed)[0].path
    network = load_network(path)[0].to(target)
    instance = new_twin(network, norm="in").to(target) if fused else None
    if fused:
        network = fold_network(network)
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; --out names a folder")
    skipped: dict[str, str] = {}
    written: list[str] = []
    ratio: dict[str, float] | None = None

    def skip(file: Path, reason: str) -> None:
        skipped[str(file)] = reason
        click.echo(f"skipped {file}: {reason}", err=True)

    for name, image in read_images(images, on_skip=skip, max_pixels=max_pixels, size=size):
        file = folder / f"{name}.{suffix}"
        if file.exists() and not overwrite:
            raise InputError(f"{file} exists already; choose another --out, or --overwrite")
        batch = image[None].to(target)
        write_image(file, stylize(network, batch)[0])
        written.append(str(file))
        if instance is not None and ratio is None:
            slow, fast = speed_ratio(instance, network, batch)
            ratio = {"in_seconds": slow, "fused_seconds": fast, "ratio": slow / fast}
        if not as_json:
            click.echo(str(file))
    if as_json:
        report = {"written": written, "skipped": skipped, "speed": ratio}
        click.echo(json.dumps(report, indent=2))
    elif ratio is not None:
        click.echo(
            f"fused: {ratio['fused_seconds'] * 1000:.0f} ms a picture; IN network of the same "
            f"width: {ratio['in_seconds'] * 1000:.0f} ms; {ratio['ratio']:.2f} times as fast"
        )
