"""Models on disk that can rebuild themselves: tensors, and JSON that says into what they go.

The JSON names the stock model; who builds it from the name is the caller's affair, so that reading
a file imports no code that the file chose.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from asr_core.checkpoint import load_checkpoint, load_meta, save_checkpoint
from asr_core.config import asr_config
from asr_core.errors import CheckpointError, InputError
from asr_core.fold.branches import merge_branches
from asr_core.fold.norms import fold_conv_bn
from asr_core.freeze.constant import restore_frozen
from asr_core.insert import insert_asr
from asr_core.models.normalized import CHANNELS, Normalized, check_statistics
from asr_core.parametrization import gated_layers
from asr_core.wrappers import unwrap

KIND = "asr-model"
_STOCK = {"stock", "arguments", "input_shape", "mean", "std"}
_FIELDS = {"schema", "sha256", "kind", *_STOCK, "frozen", "asr", "merged", "folded"}
_ASR = {"attention", "delta", "psi", "activation", "attention_init", "targets", "shared"}

Build = Callable[[str, Mapping[str, Any]], nn.Module]
"""From a stock model's name and arguments to the untrained model."""


@dataclass(frozen=True)
class StockModel:
    """The plain model that a saved one was made from.

    Attributes:
        name: what a builder knows it by ("resnet18", "asr:resnet164+se", "timm:resnet18",
            "package.module:factory").
        arguments: of the builder: numbers and booleans ({"num_classes": 10}).
        input_shape: of one sample, for example (3, 224, 224).
        mean: of the colour channels, by which :class:`asr_core.models.Normalized` takes images in
            [0, 1]; None where the model takes inputs as they are.
        std: likewise.
    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    input_shape: Sequence[int] = (3, 224, 224)
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None

    def check(self) -> None:
        """Raise where JSON could not hold this, or a file should not say it.

        Raises:
            InputError: an empty name, arguments that are not numbers or booleans, no shape, or
                one of mean and std alone, or for other inputs than images (3, H, W).
        """
        if not isinstance(self.name, str) or not self.name:
            raise InputError(f"the stock model's name must be text, got {self.name!r}")
        if not isinstance(self.arguments, Mapping):
            raise InputError(f"the arguments must be a mapping, got {self.arguments!r}")
        for name, value in self.arguments.items():
            # No text: builders take paths and addresses by it, and read what they find there.
            if not isinstance(value, bool | int | float):
                raise InputError(
                    f"argument {name!r} of {self.name!r} must be a number or boolean, got {value!r}"
                )
        shape = self.input_shape
        sizes = isinstance(shape, Sequence) and not isinstance(shape, str) and len(shape) > 0
        if not sizes or not all(type(n) is int and n > 0 for n in shape):
            raise InputError(f"input_shape must be sizes of one sample, got {shape!r}")
        if self.mean is None and self.std is None:
            return
        if self.mean is None or self.std is None:
            raise InputError(f"mean and std go together, got {self.mean!r} and {self.std!r}")
        check_statistics(self.mean, self.std)
        # One channel would be broadcast against the three of mean and std, silently.
        if len(shape) != 3 or shape[0] != CHANNELS:
            raise InputError(f"mean and std are of images (3, H, W), got input_shape {shape!r}")

    def normalized(self, model: nn.Module) -> nn.Module:
        """``model`` behind the normalisation, where there is any."""
        if self.mean is None or self.std is None:
            return model
        return Normalized(model, self.mean, self.std)


def save_model(
    path: Path | str,
    model: nn.Module,
    stock: StockModel,
    *,
    frozen: Sequence[str] = (),
    merged: Sequence[str] = (),
    folded: Sequence[tuple[str, str]] = (),
) -> None:
    """Write ``model``, gated or plain, and the JSON from which :func:`load_model` rebuilds it.

    Args:
        path: ends in .safetensors; the JSON is written beside it.
        model: the stock model, with ASR by one insertion or without; wrappers are taken off. Of a
            :class:`asr_core.models.Normalized` the backbone is written, under its own names.
        stock: what it was made from; mean and std of a Normalized are put in.
        frozen: names of the live gates that :func:`asr_core.freeze_attention` froze in it.
        merged: names of the blocks that :func:`asr_core.merge_branches` merged in it.
        folded: the (conv, bn) pairs that :func:`asr_core.fold_conv_bn` folded in it then.

    Raises:
        InputError: ``stock`` cannot be written, or names another mean or std than the model has;
            or gates of several insertions.
        CheckpointError: another suffix, or tensors that are not finite.
        OSError: the folder cannot be written, or the disk is full.
    """
    model = unwrap(model)
    if isinstance(model, Normalized):
        stock = _with_statistics(stock, model)
        model = model.model
        frozen = [_inside(name) for name in frozen]
        merged = [_inside(name) for name in merged]
        folded = [(_inside(conv), _inside(bn)) for conv, bn in folded]
    stock.check()
    gated = next(gated_layers(model), None)
    meta = {
        "kind": KIND,
        "stock": stock.name,
        "arguments": dict(stock.arguments),
        "input_shape": list(stock.input_shape),
        "mean": None if stock.mean is None else list(stock.mean),
        "std": None if stock.std is None else list(stock.std),
        "frozen": list(frozen),
        "asr": asr_config(model) if gated else None,
        "merged": list(merged),
        "folded": [list(pair) for pair in folded],
    }
    # Copies, since safetensors refuses parameters that share memory (tied weights).
    save_checkpoint(path, {name: t.clone() for name, t in model.state_dict().items()}, meta)


def stock_of(path: Path | str) -> StockModel:
    """The stock model that a saved one names, read from its JSON alone.

    Raises:
        CheckpointError: the JSON is missing, damaged, of another kind or schema, or has unknown or
            missing fields.
    """
    return _stock(path, load_meta(path))


def load_model(path: Path | str, build: Build) -> nn.Module:
    """The model that :func:`save_model` wrote, gates and all, in eval mode and its own dtype.

    With mean and std it is a :class:`asr_core.models.Normalized`, on images in [0, 1].

    Args:
        path: the .safetensors file.
        build: makes the untrained stock model from its name and arguments. The name comes from
            the file, so ``build`` should run no code that it is not meant to.

    Raises:
        CheckpointError: as :func:`stock_of` and :func:`asr_core.checkpoint.load_checkpoint`, and
            where the JSON's gates or the tensors do not fit the stock model; the first names that
            differ are told.
        InputError: whatever ``build`` raises.
    """
    tensors, meta = load_checkpoint(path)
    stock = _stock(path, meta)
    dtypes = {tensor.dtype for tensor in tensors.values() if tensor.is_floating_point()}
    dtype = dtypes.pop() if len(dtypes) == 1 else None
    model = build(stock.name, stock.arguments).to(dtype=dtype)
    try:
        if meta["frozen"]:
            model = restore_frozen(model, meta["frozen"], tensors)
        if meta["asr"] is not None:
            with torch.random.fork_rng(devices=[]):
                insert_asr(model, **meta["asr"])
        if meta["merged"]:
            model = merge_branches(model, meta["merged"])
        if meta["folded"]:
            model = fold_conv_bn(model, [(conv, bn) for conv, bn in meta["folded"]])
    except (TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path}: its JSON does not fit the stock model {stock.name!r}: {error}"
        ) from None
    _load_strictly(model, tensors, path, stock)
    return stock.normalized(model).to(dtype=dtype).eval()


def _stock(path: Path | str, meta: Mapping[str, Any]) -> StockModel:
    beside = Path(path).with_suffix(".json")
    if meta.get("kind") != KIND:
        raise CheckpointError(f"{path}: a checkpoint of kind {meta.get('kind')!r}, not {KIND!r}")
    _require_fields(beside, "", meta, _FIELDS)
    if meta["asr"] is not None:
        if not isinstance(meta["asr"], Mapping):
            raise CheckpointError(f"{beside}: 'asr' is {meta['asr']!r}, neither null nor an object")
        _require_fields(beside, " of 'asr'", meta["asr"], _ASR)
    for names in ("frozen", "merged"):
        if not isinstance(meta[names], list):
            raise CheckpointError(f"{beside}: {names!r} is {meta[names]!r}, no list of names")
    if meta["merged"] and meta["asr"] is not None:
        raise CheckpointError(f"{beside}: 'asr' beside 'merged': no gate is left in what is merged")
    if not isinstance(meta["folded"], list):
        raise CheckpointError(f"{beside}: 'folded' is {meta['folded']!r}, no list of pairs")
    stock = StockModel(
        meta["stock"], meta["arguments"], meta["input_shape"], meta["mean"], meta["std"]
    )
    try:
        stock.check()
    except InputError as error:
        raise CheckpointError(f"{beside}: {error}") from None
    return stock


def _inside(name: str) -> str:
    """The name in the backbone of a module of Normalized, as in the tensors' names."""
    return name.removeprefix("model").removeprefix(".")


def _with_statistics(stock: StockModel, model: Normalized) -> StockModel:
    mean, std = model.statistics
    for name, said, own in (("mean", stock.mean, mean), ("std", stock.std, std)):
        if said is not None and tuple(said) != own:
            raise InputError(f"the model normalises by {name} {own}, the stock model says {said}")
    return replace(stock, mean=mean, std=std)


def _require_fields(beside: Path, where: str, found: Mapping[str, Any], fields: set[str]) -> None:
    missing, unknown = sorted(fields - set(found)), sorted(set(found) - fields)
    if missing or unknown:
        raise CheckpointError(
            f"{beside}: fields{where}: missing {', '.join(missing) or 'none'}, "
            f"unknown {', '.join(unknown) or 'none'}"
        )


def _load_strictly(
    model: nn.Module, tensors: Mapping[str, Tensor], path: Path | str, stock: StockModel
) -> None:
    own = model.state_dict()
    missing = [name for name in own if name not in tensors]
    unexpected = [name for name in tensors if name not in own]
    others = [
        f"{name} {tuple(tensors[name].shape)} {tensors[name].dtype} for "
        f"{tuple(own[name].shape)} {own[name].dtype}"
        for name in own
        if name in tensors
        and (tensors[name].shape, tensors[name].dtype) != (own[name].shape, own[name].dtype)
    ]
    problems = {"missing": missing, "unexpected": unexpected, "of another form": others}
    said = "; ".join(f"{what}: {', '.join(names[:3])}" for what, names in problems.items() if names)
    if said:
        raise CheckpointError(f"{path}: not the tensors of its stock model {stock.name!r}: {said}")
    model.load_state_dict(dict(tensors))
