"""Where stripes are measured: a training run with its record, or a model without one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from asr_core.data import ImageSet, open_data
from asr_core.errors import InputError
from asr_core.recipes import Recipe
from asr_core.saving.model_facts import StockModel
from asr_core.stripes import AttentionRecord, load_record
from asr_core.training import TrainConfig, is_run
from asr_core.training.folder import ATTENTION, CONFIG, read_config
from robust.models.files import SavedModel, open_model


@dataclass(frozen=True)
class Source:
    """A model and what is known about its training.

    Attributes:
        path: the folder or file.
        model: in eval mode; a model of ours takes images in [0, 1].
        data: the data set of its images.
        config: that of its run, if it has one.
        record: the gates that the run recorded, if it did.
        stock: what the model was before training, if that is known.
    """

    path: Path
    model: nn.Module
    data: ImageSet
    config: TrainConfig | None
    record: AttentionRecord | None
    stock: StockModel | None = None

    @property
    def folder(self) -> Path:
        """Where its pictures go by default."""
        return (self.path if self.path.is_dir() else self.path.parent) / "stripes"

    @property
    def decays(self) -> tuple[float, ...]:
        """The epochs after which the learning rate fell; empty for a cosine, or if unknown."""
        return () if self.config is None else self.config.recipe.milestones

    @property
    def title(self) -> str:
        """What was trained, in one line."""
        return self.path.stem if self.config is None else describe(self.config)


def describe(config: TrainConfig) -> str:
    """A run in one line: "resnet11-SE, embedded, decays at 4, 6, weight decay 0.0001"."""
    recipe, attention = config.recipe, config.attention.upper()
    asr = f"-ASR({attention})"
    kinds = {"plain": "", "live": f"-{attention}", "asr": asr, "both": f"{asr}+{attention}"}
    kind = kinds.get(config.mode, f"-{config.mode}({attention})")
    return (
        f"{recipe.backbone}{kind}, {recipe.data}, {_schedule(recipe)}, "
        f"weight decay {recipe.weight_decay:g}"
    )


def _schedule(recipe: Recipe) -> str:
    if recipe.schedule == "cosine":
        return "cosine"
    return f"decays at {', '.join(f'{m:g}' for m in recipe.milestones)}"


def open_source(
    path: Path | str,
    *,
    data: str | None = None,
    data_folder: Path | None = None,
    builder: str | None = None,
) -> Source:
    """Open the folder of a run, a state or a model in one, or a saved model.

    Args:
        path: what :func:`robust.models.files.open_model` takes.
        data: name of the data set, or a folder of class folders; None for the run's.
        data_folder: where the named set's files are.
        builder: as in :func:`robust.models.files.open_model`.

    Raises:
        InputError: a style network, or a model without a run and no ``data``.
        CheckpointError: the model or the record is missing or damaged.
    """
    path = Path(path)
    config, folder = _run(path)
    opened = open_model(path, builder=builder)
    if not isinstance(opened, SavedModel):
        raise InputError(f"{path} is a style network, which has no live attention")
    if data is None and config is None:
        raise InputError(f"{path} is not from a run, so its data is not known: name a data set")
    if data is None and config is not None:
        data = config.recipe.data
        if data_folder is None and config.data_folder is not None:
            data_folder = Path(config.data_folder)
    images = open_data(str(data), folder=data_folder, image_size=opened.input_shape[-1])
    kept = folder and folder / ATTENTION
    record = load_record(kept) if kept and kept.exists() else None
    return Source(path, opened.model, images, config, record, opened.stock)


def _run(path: Path) -> tuple[TrainConfig | None, Path | None]:
    folder = path if path.is_dir() else path.parent
    if not is_run(folder):
        return None, None
    return read_config(folder / CONFIG).config, folder
