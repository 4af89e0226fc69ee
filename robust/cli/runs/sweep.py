"""``robust sweep``: a grid of training runs, and its table."""

from __future__ import annotations

import click

from asr_core import limits
from robust.cli import options
from robust.cli.output import say, say_json
from robust.cli.runs.report import finish
from robust.cli.values import Named, Whole


@click.command(
    "sweep", cls=options.Command, old={"--data": "--data-folder", "--seeds": "--train-seeds"}
)
@click.argument("name", metavar="NAME", type=Named("sweep", ["init", "delta"], or_path="file"))
@options.recipe("Recipe of every run.  [the sweep's: resnet11-embedded]")
@options.epochs()
@options.train_seeds("How many training seeds.  [the sweep's]", "seeds")
@options.data_folder("Where the files of the recipe's data set are.")
@options.precision("Number format of the training.  [no]", type=options.TRAINING, default=None)
@click.option("--channels-last", is_flag=True, help="Memory format of the feature maps.")
@options.workers(
    "Runs at a time.  [1; with Ray one for each GPU of the cluster, or else each CPU]",
    type=Whole(1, limits.WORKERS),
)
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="ray: on the machines of a Ray cluster.",
)
@click.option(
    "--address",
    metavar="HOST:PORT",
    help="Of the Ray cluster, or auto: this machine's.  [RAY_ADDRESS, this machine's, a new one]",
)
@options.device("Where to compute; the workers share an accelerator.", default="auto")
@options.out("Folder of the runs.  [runs/sweep-NAME]")
@options.no_report()
@options.as_json()
@options.quiet()
@click.pass_context
def sweep(
    ctx: click.Context,
    name: str,
    recipe: str | None,
    epochs: int | None,
    seeds: int | None,
    data_folder: str | None,
    precision: str | None,
    channels_last: bool,
    workers: int | None,
    engine: str,
    address: str | None,
    device: str,
    out: str | None,
    no_report: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Train a grid of classifiers, and set its table beside the paper's.

    NAME is `init` (Table 5: what ψ starts from), `delta` (Table 6: gates a position), or a file
    NAME.toml with a grid of your own (python -m pydoc robust.sweep.files shows the format). By
    default the network is small and the data embedded; --recipe resnet83-cifar100 and
    resnet164-cifar100 are the paper's.

    The same command goes on where it was interrupted; finished runs are not run again. If a run
    fails the rest goes on, the exit code is 1, and the run is named. --out holds the folders of
    the runs and sweep.csv, .json, .md and .tex, and report.html.

    With --engine ray (pip install 'robust-asr[ray]') runs are spread over a cluster. --out,
    --data-folder, the working folder and this Python have to be at the same places on all its
    machines, --out on a disk that they share; a run on --device auto gets a GPU, or a share of
    one, if the cluster has any.
    """
    from pathlib import Path

    from robust.device import choose_device
    from robust.sweep import load_sweep, run_sweep

    if engine == "local":
        choose_device(device)

    grid = load_sweep(name).override(
        seeds=seeds,
        recipe=recipe,
        epochs=epochs,
        precision=precision,
        channels_last=channels_last or None,
    )
    folder = Path(out or f"runs/sweep-{grid.name}")
    outcome = run_sweep(
        grid,
        folder,
        workers=workers,
        data_folder=data_folder,
        device=device,
        engine="ray" if engine == "ray" else "local",
        address=address,
        quiet=quiet,
        tell=lambda line: say(line, err=True),
    )
    finish(folder, no_report=no_report, quiet=quiet or as_json)
    if as_json:
        say_json(outcome.as_dict())
    else:
        say(*outcome.page().split("\n"))
    for failure in outcome.failures:
        say(f"robust: failed: {failure}", err=True)
    if outcome.failures:
        ctx.exit(1)
