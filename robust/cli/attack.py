"""``robust attack``: the main job."""

from __future__ import annotations

import click


@click.command("attack")
@click.option(
    "--noise", default="batch", show_default=True, help="batch, constant, random, or all."
)
@click.option(
    "--severity",
    "severities",
    multiple=True,
    help="Repeatable: n, n:photos or n:noise (batch); SCALE,SHIFT (constant); 0..1 or uniform "
    "(random).  [each noise's defaults]",
)
@click.option("--norm", "norms", multiple=True, help="Repeatable norm variant.  [all]")
@click.option(
    "--style", help="A style by name, or the style image of --model's networks.  [mosaic]"
)
@click.option(
    "--model", "models", multiple=True, help="Own checkpoints instead of the shipped ones."
)
@click.option("--images", multiple=True, help="Files or folders.  [held-out photographs]")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the draws of noise.")
@click.option("--train-seeds", type=int, help="How many training seeds.  [all that ship]")
@click.option("--repeats", type=int, help="Draws per image of a noise that depends on chance.")
@click.option("--size", type=int, default=256, show_default=True, help="Side of the pictures.")
@click.option(
    "--batch-size", type=int, default=4, show_default=True, help="n of --statistics batch."
)
@click.option(
    "--statistics",
    default="running",
    show_default=True,
    help="What BN normalises by under constant and random noise: running, batch or re-estimated.",
)
@click.option(
    "--granularity",
    default="layer",
    show_default=True,
    help="Random noise drawn per layer, channel or sample.",
)
@click.option("--full", is_flag=True, help="All pictures, severities and more draws: minutes.")
@click.option("--vgg-weights", help="VGG16 weights for the losses: a file, or 'cached'.")
@click.option("--max-pixels", type=int, default=50_000_000, show_default=True)
@click.option("--device", default="cpu", show_default=True)
@click.option("--out", type=click.Path(), help="Run folder.  [runs/attack-NOISE-TIME]")
@click.option("--overwrite", is_flag=True, help="Replace the files of an earlier run in --out.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON, and no table.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
def attack(as_json: bool, quiet: bool, **options: object) -> None:
    """Stylise photographs clean and under normalisation noise, measure, and answer.

    Writes grid.png, metrics.csv, summary.json and run.json. Without options the style networks that
    ship with the package are attacked on held-out photographs; nothing is downloaded.
    """
    import json
    import sys

    from rich.console import Console

    from robust.attack.options import job_from_options
    from robust.attack.report import print_report
    from robust.cli.progress import progress_bar

    job = job_from_options(**options, command=["robust", *sys.argv[1:]])  # type: ignore[arg-type]
    click.echo(job.announcement, err=True)
    with progress_bar(quiet=quiet) as bar:
        task = bar.add_task("stylising", total=job.total, note="")
        outcome = job.run(
            on_output=lambda image: bar.update(task, advance=1, note=image),
            on_skip=lambda path, reason: bar.console.print(f"skipped {path}: {reason}"),
        )
    if outcome.skipped:
        click.echo(f"{len(outcome.skipped)} files skipped; run.json names them", err=True)
    if as_json:
        click.echo(json.dumps(outcome.summary, indent=2))
    else:
        print_report(outcome.summary, Console(width=None if sys.stdout.isatty() else 150))
        click.echo(f"\n{job.folder.path}: {', '.join(outcome.files)}")
