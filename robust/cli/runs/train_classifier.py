"""``robust train``: train a classifier, to a fused and checked file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from robust.cli import names, options
from robust.cli.output import leave_busy_cores, say, say_json
from robust.cli.runs.report import finish
from robust.cli.runs.run_file import config_file, run_fields
from robust.cli.values import Named

F = TypeVar("F", bound=Callable[..., Any])


def _epochs(
    ctx: click.Context, option: click.Parameter, text: str | None
) -> tuple[float, ...] | None:
    """Epochs from "81,122"; whole ones as whole numbers.

    Raises:
        click.BadParameter: not numbers between commas.
    """
    if text is None:
        return None
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        raise click.BadParameter(f"{text!r} is not like 81,122") from None
    return tuple(int(number) if number.is_integer() else number for number in numbers)


_OPTIONS = (
    config_file,
    options.recipe("Recipe (`robust recipes`).", default="resnet29-embedded"),
    options.data(
        "Take the recipe of this set for the same network.",
        "data_set",
        type=Named("data set", names.data_sets),
    ),
    click.option(
        "--mode",
        type=Named("mode", names.MODES),
        default="asr",
        show_default=True,
        help="Where attention is; frozen, free-v: controls of its gate.",
    ),
    options.attention("Attention module; const: a control."),
    options.delta(),
    click.option("--psi", type=float, help="Start of ψ.  [0.1; ViT 0.001]"),
    click.option("--zero-gamma/--no-zero-gamma", help="Start the residual branches at 0."),
    options.data_folder("Where the files of the recipe's data set are."),
    click.option("--download", is_flag=True, help="Fetch the data set into --data-folder first."),
    click.option(
        "--skip-unreadable", is_flag=True, help="Try all image files first; leave out damaged ones."
    ),
    options.workers("Processes that decode files.  [one a core]"),
    options.epochs(),
    options.batch_size("Images a step, over all processes.  [recipe's]"),
    click.option("--lr", type=float, help="Learning rate.  [recipe's]"),
    click.option("--weight-decay", type=float, help="[recipe's]"),
    click.option("--schedule", type=Named("schedule", names.SCHEDULES), help="[recipe's]"),
    click.option(
        "--milestones",
        callback=_epochs,
        help="Epochs at which the rate decays: 81,122.  [recipe's]",
    ),
    click.option("--gamma", type=float, help="Factor of a decay.  [recipe's]"),
    click.option("--warmup-epochs", type=float, help="Linear warm-up.  [recipe's]"),
    click.option("--label-smoothing", type=float, help="[recipe's]"),
    click.option("--clip", type=float, help="Largest gradient norm.  [recipe's]"),
    click.option("--ema", type=float, help="Decay of an average of the weights.  [recipe's]"),
    options.training_noise,
    click.option("--mix", hidden=True),  # the old spelling of --severity N:COMPANIONS
    options.seed("Seed of the training."),
    options.precision("Number format of the training.", type=options.TRAINING),
    click.option(
        "--accumulate", type=int, default=1, show_default=True, help="Parts of each batch."
    ),
    click.option("--channels-last/--no-channels-last", help="Memory format of the feature maps."),
    click.option("--compile/--no-compile", help="Train through torch.compile."),
    options.device(default="auto"),
    click.option(
        "--record-attention/--no-record-attention",
        help="Keep the gates after each epoch (stripes).",
    ),
    click.option("--tensorboard", is_flag=True, help="Write TensorBoard events too."),
    options.out("Run folder.  [runs/RECIPE-MODE-ATTENTION-SEED]"),
    options.overwrite(),
    options.no_report(),
    options.quiet(),
    options.as_json(),
)


def _on(data: str, recipe: str | dict[str, Any]) -> str:
    """The name of the recipe of the same network for another data set."""
    from asr_core.recipes import Recipe, load_recipe

    whole = load_recipe(recipe) if isinstance(recipe, str) else Recipe.from_dict(recipe)
    return f"{whole.name.removesuffix(f'-{whole.data}')}-{data}"


def classifier_options(command: F) -> F:
    """Decorator: the options that :func:`train_classifier` takes."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def train_classifier(
    ctx: click.Context,
    *,
    config_file: str | None,
    data_set: str | None,
    download: bool,
    skip_unreadable: bool,
    workers: int | None,
    device: str,
    tensorboard: bool,
    out: str | None,
    overwrite: bool,
    no_report: bool,
    quiet: bool,
    as_json: bool,
    **fields: Any,
) -> None:
    """Train, fuse, check and write; of several processes only the main one prints."""
    import warnings
    from pathlib import Path

    from asr_core.data import open_data
    from asr_core.recipes import DEFAULT
    from asr_core.saving.text_files import read_json
    from asr_core.stripes import AttentionRecorder, require_gates
    from asr_core.training import DataFacts, Step, new_accelerator, train
    from asr_core.training.folder import RESULT, ClassifierFolder
    from asr_core.training.model import new_model
    from robust.device import accelerator_device
    from robust.models.card import write_card
    from robust.report.progress import progress_bar
    from robust.training.classifier import ClassifierRun

    given = run_fields(ctx, config_file, fields)
    if data_set is not None:
        given["recipe"] = _on(data_set, given.get("recipe", DEFAULT))
    run = ClassifierRun.from_fields(given)
    config = run.config
    recipe, data_folder = config.recipe, config.data_folder
    folder = Path(out or f"runs/{run.name}")
    ClassifierFolder(folder, overwrite).check()  # before data is read
    leave_busy_cores()
    accelerator = new_accelerator(
        config, folder, device=accelerator_device(device), tensorboard=tensorboard
    )
    main = accelerator.is_main_process
    # Only the main process downloads, and lists below what is skipped.
    with accelerator.main_process_first(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".* left out: ")
        data = open_data(
            recipe.data,
            folder=None if data_folder is None else Path(data_folder),
            download=download,
            image_size=recipe.image_size,
            on_unreadable="skip" if skip_unreadable else "stop",
            workers=workers,
        )
    if main and data.unreadable:
        for path, reason in data.unreadable:
            say(f"skipped {path}: {reason}", err=True)
        say(f"files skipped: {len(data.unreadable)}", err=True)
    record = None
    if run.record_attention:
        require_gates(new_model(config, DataFacts.of(data)).model)
        if main:
            record = AttentionRecorder(folder, data.validation.to(accelerator.device))
    with progress_bar(quiet=quiet or not main) as bar:
        task = bar.add_task(f"{recipe.backbone}, {run.variant}", total=recipe.epochs, note="")

        def show(step: Step) -> None:
            note = f"loss {step.loss:.3f}, {step.images_per_second:.0f} images/s"
            bar.update(task, completed=step.epoch + step.step / step.steps, note=note)

        result = train(
            config,
            data,
            folder,
            accelerator=accelerator,
            overwrite=overwrite,
            noise=run.noise.context(config.seed),
            setting=run.setting,
            on_step=show,
            on_epoch=record,
        )
    accelerator.end_training()
    if not main:
        return
    write_card(result.file)
    finish(folder, no_report=no_report, quiet=quiet or as_json)
    if as_json:
        say_json({"file": str(result.file), **read_json(folder / RESULT)})
        return
    say(str(result.file))
    test, fused = result.test, "fused" if result.gates else config.mode
    say(
        f"test top-1 {test.top1:.2%}, top-5 {test.top5:.2%} "
        f"(last epoch, {fused}, {test.n} images, {test.images_per_second:.0f} images/s)"
    )
