"""The classifier under test, and what is known about its training."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from asr_core.data import ImageSet, open_data
from asr_core.errors import CheckpointError, InputError
from asr_core.saving.checkpoint import sha256
from asr_core.saving.files import in_utf8
from asr_core.saving.schema import Text, parse, record
from asr_core.training import TrainConfig
from asr_core.training.folder import BEST, CONFIG, FUSED, LAST, MODEL, read_config
from robust.models.files import SavedModel, check_classes, open_model
from robust.norm_noise import norm_layers
from robust.norm_noise.endings import apart
from robust.norm_noise.training import parse_train_noise


@record
@dataclass(frozen=True)
class _Noise:
    """The noise in a run's config (:meth:`robust.norm_noise.training.TrainNoise.setting`)."""

    noise: Text | None = None
    severity: Text | None = None
    mix: Text | None = None


@dataclass(frozen=True)
class Subject:
    """A classifier read from disk.

    Attributes:
        name: that of its run or file, after which results are named.
        file: the file of its weights.
        opened: the model with its gates, in eval mode on the CPU.
        config: that of its run; None if the file is not in a run's folder.
        trained_under: the noise of its training, such as "constant 0.5,0.5"; "" for none.
    """

    name: str
    file: Path
    opened: SavedModel
    config: TrainConfig | None = None
    trained_under: str = ""

    @cached_property
    def model(self) -> nn.Module:
        """Images (N, 3, H, W) in [0, 1] -> logits (N, K); norms and activations are apart."""
        return apart(self.opened.model)

    @property
    def meta(self) -> dict[str, Any]:
        """What a result says about the model, JSON-able."""
        config, norms = self.config, norm_layers(self.model).values()
        meta: dict[str, Any] = {
            "name": self.name,
            "file": in_utf8(self.file),
            "sha256": sha256(self.file),
            "model": self.opened.stock.name,
            "gates": self.opened.gates,
            "trained_under": self.trained_under,
            "norm_layers": len(norms),
            "batch_norms": sum(isinstance(norm, _BatchNorm) for norm in norms),
        }
        if config is not None:
            meta |= {
                "variant": variant(config),
                "mode": config.mode,
                "attention": config.attention if config.mode != "plain" else "",
                "zero_gamma": config.zero_gamma,
                "recipe": config.recipe.name,
                "seed": config.seed,
            }
        return meta


def open_subject(path: Path | str, *, builder: str | None = None) -> Subject:
    """Read a classifier: a run's folder (its last state) or a file of it, or a saved model.

    Args:
        path: the folder of a run of ``robust train``, ``last.pt``, ``best.pt``, or a
            ``.safetensors`` of :func:`asr_core.save_model`.
        builder: as in :func:`robust.models.files.open_model`.

    Raises:
        CheckpointError: missing, damaged, or of another kind.
        InputError: a style network, or what ``open_model`` refuses.
    """
    path = Path(path)
    opened = open_model(path, builder=builder)
    if not isinstance(opened, SavedModel):
        raise InputError(f"{path} is a style network, which has no accuracy")
    folder, file = (path, path / LAST) if path.is_dir() else (path.parent, path)
    name = file.stem
    if file.name in (LAST, BEST, FUSED, MODEL):
        place = os.path.basename(os.path.realpath(folder))
        name = place if path.is_dir() else f"{place}-{file.stem}"
        if (folder / CONFIG).is_file():
            return Subject(in_utf8(name), file, opened, *_origin(folder / CONFIG))
    return Subject(in_utf8(name), file, opened)


def open_subjects(paths: Sequence[str], *, builder: str | None = None) -> list[Subject]:
    """Read several, with different names.

    Raises:
        InputError: none, or two of the same name; and as :func:`open_subject`.
    """
    if not paths:
        raise InputError("no checkpoint was given")
    subjects = [open_subject(path, builder=builder) for path in paths]
    by_name: dict[str, Subject] = {}
    for subject in subjects:
        if (other := by_name.setdefault(subject.name, subject)) is not subject:
            raise _same_name(other, subject)
    return subjects


def shared_data(
    subjects: Sequence[Subject], name: str | None, *, folder: Path | None = None
) -> ImageSet:
    """The data set that all subjects are tested on, in their image size.

    Args:
        subjects: one or more.
        name: a name or folder, as in :func:`asr_core.data.open_data`; None for the set that they
            were trained on.
        folder: where the named set's files are; None for its usual place, or the run's.

    Raises:
        InputError: no name, and no run to take it from; the subjects differ in data or size; the
            set cannot be opened, or has another number of classes than a subject.
    """
    sizes = {subject.opened.input_shape[-1] for subject in subjects}
    if len(sizes) > 1:
        raise InputError(
            f"the models take images of {', '.join(map(str, sorted(sizes)))} pixels; test them "
            "one by one"
        )
    if name is None:
        known = {s.config.recipe.data if s.config else None for s in subjects}
        if None in known:
            unknown = next(s for s in subjects if s.config is None)
            raise InputError(f"{unknown.file} does not say what it was trained on; name a data set")
        if len(known) > 1:
            raise InputError(
                f"the models were trained on {', '.join(sorted(filter(None, known)))}; name the "
                "data set to test on"
            )
        config = next(s.config for s in subjects if s.config)
        name = config.recipe.data
        if folder is None and config.data_folder is not None:
            folder = Path(config.data_folder)
    data = open_data(name, folder=folder, image_size=sizes.pop())
    for subject in subjects:
        check_classes(subject.file, subject.model, data)
    return data


def with_twin(subjects: list[Subject], path: str, *, builder: str | None = None) -> Subject:
    """Read the model to compare with, and append it to ``subjects`` unless it is among them.

    Raises:
        InputError: another file among them goes by its name; and as :func:`open_subject`.
    """
    twin = open_subject(path, builder=builder)
    alike = [subject for subject in subjects if subject.name == twin.name]
    if not alike:
        subjects.append(twin)
    elif os.path.realpath(alike[0].file) != os.path.realpath(twin.file):
        raise _same_name(alike[0], twin)
    return twin


def _same_name(a: Subject, b: Subject) -> InputError:
    return InputError(
        f"{a.file} and {b.file} are both called {a.name!r}; results go by that name: rename one, "
        "or test them one by one"
    )


def variant(config: TrainConfig) -> str:
    """The network's name in tables: "plain", "SE", "ASR(SE)", "const", "frozen(SE)", "zero γ", …"""
    name = config.attention.upper()
    gate = "const" if config.attention == "const" else f"ASR({name})"
    labels = {"plain": "plain", "live": name, "asr": gate, "both": f"{name} + {gate}"}
    label = labels.get(config.mode, f"{config.mode}({name})")
    if not config.zero_gamma:
        return label
    return "zero γ" if config.mode == "plain" else f"{label}, zero γ"


def _origin(file: Path) -> tuple[TrainConfig, str]:
    """The run's config, and the noise that it was trained under."""
    run = read_config(file)
    said, where = run.setting.get("noise"), f"{file}: setting.noise"
    noise = parse(_Noise, {} if said is None else said, where=where, error=CheckpointError)
    try:
        disturbance = parse_train_noise(noise.noise, noise.severity, noise.mix)
    except InputError as error:
        raise CheckpointError(f"{file}: {error}") from None
    return run.config, disturbance.text or ""
