"""``robust study``: the paper's declared endpoints, and a network that others trained."""

from __future__ import annotations

import click

from asr_core import limits
from robust.cli import options
from robust.cli.output import leave_busy_cores, say, say_json
from robust.cli.runs.report import finish
from robust.cli.values import Existing, Whole


@click.group("study")
def study() -> None:
    """Run a study: the paper's declared endpoints, or a network that others trained."""


@study.command("paper")
@options.data("Data set, or a folder of class folders.  [the protocol's: shapes]")
@options.data_folder()
@click.option(
    "--protocol",
    type=Existing("file"),
    help="A protocol of your own (.toml).  [the one that ships]",
)
@options.train_seeds(
    "Training seeds an arm, fixed before anything is seen.  [the protocol's]", "--seeds", "seeds"
)
@click.option(
    "--style", type=Existing("folder"), help="An attack with batch noise on style networks."
)
@options.workers("Runs at a time.", type=Whole(1, limits.WORKERS), default=1)
@options.device("Where to compute; the workers share an accelerator.", default="auto")
@click.option("--no-train", is_flag=True, help="Measure what is trained, and train nothing.")
@options.out("Folder of the study.  [runs/study-paper]")
@options.no_report()
@options.as_json()
@options.quiet()
@click.pass_context
def paper(
    ctx: click.Context,
    data: str | None,
    data_folder: str | None,
    protocol: str | None,
    seeds: int | None,
    style: str | None,
    workers: int,
    device: str,
    no_train: bool,
    out: str | None,
    no_report: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Train, measure and decide the five endpoints that were declared for the paper's claims.

    The declaration is written to --out before anything is trained; a folder with another one is
    refused. The same command goes on where it was interrupted: each run has a folder of its own,
    seed by seed, and scores.csv keeps what was measured. With fewer seeds than the protocol's least
    number there are estimates and intervals, but no verdicts.

    --style is the folder of `robust attack --noise batch --full`: its networks are the fifth
    endpoint's. If a run fails the rest goes on, the exit code is 1, and the run is named.
    """
    from pathlib import Path

    from robust.device import choose_device
    from robust.protocol.declared import SHIPPED, read_protocol
    from robust.protocol.report import PAGE, command_of, report
    from robust.protocol.study import Study

    choose_device(device)
    begun = Study.begin(
        *read_protocol(protocol or SHIPPED),
        Path(out or "runs/study-paper"),
        data=data,
        data_folder=data_folder,
        seeds=seeds,
    )
    failures = [] if no_train else begun.train(workers=workers, device=device, quiet=quiet)
    findings = begun.measure(device=device, style=None if style is None else Path(style))
    told = report(begun, findings, command_of(data, data_folder, protocol, begun.declaration.seeds))
    finish(begun.folder, no_report=no_report, quiet=quiet or as_json)
    if as_json:
        say_json(told.as_dict())
    else:
        say(*told.table.plain(), "What would decide what is open:", *told.lines)
        say(f"{begun.folder / PAGE}")
    for failure in failures:
        say(f"robust: failed: {failure}", err=True)
    if failures:
        ctx.exit(1)


@study.command("network")
@options.data("A data set of ImageNet's classes: accuracy on it.  [crops of photographs]")
@options.data_folder()
@click.option(
    "--crops", type=Whole(1, 1000), default=8, show_default=True, help="Of each photograph."
)
@options.max_images("Images of --data in each split, at most.", default=500)
@options.repeats("Draws of noise.", default=1)
@click.option("--rounds", type=Whole(1, 1000), default=7, show_default=True, help="Timed forwards.")
@options.out("Folder of network.json and network.md.", default="runs/study-network")
@options.as_json()
@options.quiet()
def network(
    data: str | None,
    data_folder: str | None,
    crops: int,
    max_images: int,
    repeats: int,
    rounds: int,
    out: str,
    as_json: bool,
    quiet: bool,
) -> None:
    """Test EfficientNet-Lite0 with its ImageNet weights under noise, and take it from ASR to INT8.

    Each noise has the strength that leaves about half of the answers on validation images, and is
    told for running, batch, blended and re-estimated statistics. Without --data the images are
    crops of held-out photographs, whose first class should stay what it was without noise. It
    takes a few minutes of one core.

    It needs `robust weights get efficientnet-lite0`, and the extras timm and export.
    """
    from pathlib import Path

    from asr_core.data import open_data
    from asr_core.saving.export import require_onnx
    from asr_core.saving.files import write_json, write_text
    from robust.models.files import check_classes
    from robust.models.lite0 import STOCK, efficientnet_lite0
    from robust.studies.real_network import found, sampled
    from robust.studies.real_network_page import lines, page, tables

    require_onnx()
    leave_busy_cores()
    model = efficientnet_lite0()
    images = None
    if data is not None:
        folder = None if data_folder is None else Path(data_folder)
        whole = open_data(data, folder=folder, image_size=STOCK.input_shape[-1])
        check_classes(STOCK.name, model, whole)
        images = sampled(whole, max_images)

    def tell(line: str) -> None:
        if not quiet:
            say(f"robust: {line}", err=True)

    measured = found(model, images, count=crops, repeats=repeats, rounds=rounds, tell=tell)
    write_json(Path(out) / "network.json", measured)
    write_text(Path(out) / "network.md", page(measured, "" if data is None else f"--data {data}"))
    if as_json:
        say_json(measured)
        return
    noise, steps = tables(measured)
    say(*noise.plain(), noise.caption, "", *steps.plain(), steps.caption, "", *lines(measured))
    say(f"{Path(out) / 'network.md'}")
