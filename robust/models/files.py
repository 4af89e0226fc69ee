"""Models on disk, rebuilt, with their ASR and without.

There are four kinds: saved models of asr_core, built by name (:mod:`robust.models.names`);
classifiers in the run folders of ``robust train``, finished or not; style networks
(:mod:`styletransfer.zoo`); and, where a name is given, state dicts of timm's and torchvision's
models (:mod:`robust.models.foreign`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from asr_core import FoldReport, fold_report, fuse_asr
from asr_core.asr.parametrization import gated_layers
from asr_core.data import ImageSet
from asr_core.errors import CheckpointError, InputError
from asr_core.models import Normalized
from asr_core.saving.checkpoint import load_meta, load_torch, save_checkpoint
from asr_core.saving.export import TOLERANCE
from asr_core.saving.model_facts import KIND, Facts, Made, StockModel, facts_of
from asr_core.saving.saved_model import load_model, save_model
from asr_core.training.folder import open_run
from asr_core.verify.divergence import require_agreement
from asr_core.verify.parity import ParityReport, evaluating
from robust.models.foreign import load_foreign
from robust.models.names import build_model, names_code
from styletransfer import zoo
from styletransfer.network import StyleNetwork

_BATCH = 4
_SEEDS = (0, 1, 2)


class Folds(NamedTuple):
    """What is folded into a model besides its ASR gates.

    Attributes:
        merged: names of the blocks of branches merged into one convolution.
        pairs: names (conv, bn) of the batch norms folded into the layer before them.
        frozen: names of live gates that a constant replaced.
    """

    merged: Sequence[str] = ()
    pairs: Sequence[tuple[str, str]] = ()
    frozen: Sequence[str] = ()


UNFOLDED = Folds()


class ModelFile(ABC):
    """A model read from disk, in eval mode.

    Attributes:
        model: with its gates, if it has any.
        input_shape: shape of one sample.
        size_step: for models that take images of any size: their sides are multiples of this.
        facts: what is told of it in a model card (:mod:`robust.models.card`).
    """

    model: nn.Module
    facts: dict[str, Any]
    input_shape: Sequence[int]
    size_step: int | None = None

    @property
    def gates(self) -> int:
        """Number of gated layers."""
        return sum(1 for _ in gated_layers(self.model))

    def examples(self) -> list[Tensor]:
        """Random inputs in [0, 1], the same each time: three batches of four."""
        dtype = next((p.dtype for p in self.model.parameters()), torch.float32)
        return [
            torch.rand(_BATCH, *self.input_shape, generator=torch.Generator().manual_seed(seed)).to(
                dtype
            )
            for seed in _SEEDS
        ]

    def fused(self) -> tuple[nn.Module, ParityReport]:
        """The plain model, after a check that its outputs are the gated one's.

        Raises:
            ParityError: they are not; naming the layer where they first differ.
        """
        plain = fuse_asr(self.model)
        return plain, require_agreement(self.model, plain, self.examples())

    def folded(self, plain: nn.Module) -> FoldReport:
        """The fused model with branches merged and batch norms folded too, checked.

        Raises:
            InputError: the forward cannot be traced, or there is nothing to merge or fold.
            ParityError: the outputs differ by more than rounding.
        """
        first, *others = self.examples()
        report = fold_report(plain, example=first)
        if not (report.merged or report.pairs or report.left):
            raise InputError(
                "the model has no batch norm and no branches: there is nothing to fold"
            )
        skip = report.changed
        require_agreement(plain, report.model, others, tolerance=TOLERANCE, skip=skip)
        return report

    @abstractmethod
    def save(self, path: Path, plain: nn.Module, folds: Folds = UNFOLDED, *, step: str) -> None:
        """Write the fused model, after ``folds``, so that :func:`open_model` reads it again.

        ``step`` is what was done, a sentence for the model card.

        Raises:
            InputError: a folded model of this kind cannot be read again.
        """


class SavedModel(ModelFile):
    """A model that :func:`asr_core.save_model` writes.

    Args:
        path: its file, for messages.
        model: the model, with gates or without.
        stock: what it is without gates.
        done: earlier folds.
        made: how it was made.

    Raises:
        CheckpointError: the model does not take inputs of the stock model's shape.
    """

    def __init__(
        self,
        path: Path,
        model: nn.Module,
        stock: StockModel,
        done: Folds = UNFOLDED,
        made: Made | None = None,
    ) -> None:
        self.model, self.stock, self._done, self._made = model, stock, done, made or Made()
        said = asdict(stock)
        self.facts = {"kind": KIND, "stock": said.pop("name"), **said, "made": asdict(self._made)}
        self.input_shape = stock.input_shape
        inputs = self.examples()[0]
        try:
            with torch.no_grad():
                model(inputs)
        except Exception as error:  # each layer raises its own kind
            raise CheckpointError(
                f"{path}: the model does not take inputs of shape {tuple(inputs.shape)}, "
                f"the input_shape saved with it: {error}"
            ) from error

    def save(self, path: Path, plain: nn.Module, folds: Folds = UNFOLDED, *, step: str) -> None:
        """Write the state dict, and the facts that rebuild the model."""
        save_model(
            path,
            plain,
            self.stock,
            frozen=[*self._done.frozen, *folds.frozen],
            merged=[*self._done.merged, *folds.merged],
            folded=[*self._done.pairs, *folds.pairs],
            made=self._made.then(step),
        )


class StyleFile(ModelFile):
    """A style network, ours or one of the public example's."""

    input_shape = (3, 64, 64)
    size_step = 4
    model: StyleNetwork

    def __init__(self, path: Path) -> None:
        self.model, self.facts = zoo.load_network(path)

    def save(self, path: Path, plain: nn.Module, folds: Folds = UNFOLDED, *, step: str) -> None:
        """Write the fused network as a plain one of norm ``bn``, in full precision."""
        if any(folds):
            raise InputError(
                "a folded style network has no norms left, so no style network can load it: "
                "export it as pt2 or onnx"
            )
        norm = self.model.config["norm"]
        config = {**self.model.config, "norm": "in" if norm == "in" else "bn"}
        meta = {**self.facts, "kind": zoo.KIND, "model": config, "fused_from": norm}
        save_checkpoint(path, plain.state_dict(), meta)


def open_model(path: Path | str, *, builder: str | None = None) -> ModelFile:
    """Read a model of any kind.

    Args:
        path: what ``save_model`` wrote; the folder of a classifier's training run, or its
            ``last.pt`` or ``best.pt``; or a style network.
        builder: the name to build a saved model from (:func:`robust.models.names.build_model`)
            instead of the one in its header. Required if that name points to the user's code, and
            for a state dict that others trained (:func:`robust.models.foreign.load_foreign`).

    Raises:
        CheckpointError: missing, damaged, unsafe, or of another kind or architecture.
        InputError: the stock model cannot be built, or ``builder`` is missing or has no use.
    """
    path = Path(path)
    if _is_run(path):
        _no_builder(path, "a training run", builder)
        run = open_run(path)
        return SavedModel(path, run.model, run.stock, made=run.made)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint")
    if builder is not None and _is_foreign(path):
        model, stock, made = load_foreign(path, builder)
        return SavedModel(path, model, stock, made=made)
    kind = load_meta(path).get("kind") if path.suffix == ".safetensors" else zoo.KIND
    if kind == KIND:
        return _saved_model(path, builder)
    if kind != zoo.KIND:
        raise CheckpointError(f"{path}: of kind {kind!r}; known: {KIND!r}, {zoo.KIND!r}")
    _no_builder(path, "a style network", builder)
    return StyleFile(path)


def check_classes(what: Path | str, model: nn.Module, data: ImageSet) -> None:
    """Refuse a data set with another number of classes than ``model`` gives logits.

    Raises:
        InputError: naming the model as ``what``.
    """
    with torch.no_grad(), evaluating(model):
        logits = model(data.test.test_batch(torch.arange(1)))
    if logits.ndim != 2 or logits.shape[1] != data.num_classes:
        raise InputError(
            f"{what} gives outputs of shape {tuple(logits.shape)} for an image, but "
            f"{data.name!r} has {data.num_classes} classes; name the set that it was trained on"
        )


def _is_run(path: Path) -> bool:
    """Whether it is a folder, or the state of a run; other torch files may be style networks."""
    if path.suffix != ".pt" or not path.is_file():
        return path.is_dir()
    state = load_torch(path)
    return isinstance(state, dict) and "identity" in state


def _is_foreign(path: Path) -> bool:
    """Whether it has no facts of ours; what is damaged is found when it is read."""
    if path.suffix != ".safetensors":
        return True
    try:
        load_meta(path)
    except CheckpointError:
        return True
    return False


def _saved_model(path: Path, builder: str | None) -> SavedModel:
    facts = facts_of(path)
    stock = facts.stock_model(path)
    name = builder or stock.name
    if builder is None and names_code(name):
        raise InputError(
            f"{path} is built by code that it names, {name!r}: "
            f"if you trust that code, give {name} as the model to build"
        )

    def build(_: str, arguments: Mapping[str, Any]) -> nn.Module:
        return build_model(name, arguments)

    model = load_model(path, build)
    done = _folds(facts, "model." if isinstance(model, Normalized) else "")
    return SavedModel(path, model, replace(stock, name=name), done, facts.made)


def _folds(facts: Facts, prefix: str) -> Folds:
    """The folds of a saved model, under the names of its modules now."""
    return Folds(
        [prefix + name for name in facts.merged],
        [(prefix + conv, prefix + bn) for conv, bn in facts.folded],
        [prefix + name for name in facts.frozen],
    )


def _no_builder(path: Path, what: str, builder: str | None) -> None:
    if builder is not None:
        raise InputError(f"{path} is {what}, which {builder!r} does not build")
