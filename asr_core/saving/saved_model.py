"""Models on disk: tensors, and the facts from which the model can be rebuilt.

The facts name the stock model, and the caller builds it from the name, so that reading a file
imports no code of the file's choice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from asr_core.asr.affine import create_affine, with_created_affine
from asr_core.asr.config import asr_config
from asr_core.asr.insert import insert_asr
from asr_core.asr.parametrization import gated_layers
from asr_core.errors import CheckpointError, InputError
from asr_core.fold.branches import merge_branches
from asr_core.fold.norms import fold_conv_bn
from asr_core.freeze.constant import restore_frozen
from asr_core.models.normalized import Normalized
from asr_core.modules.wrappers import unwrap
from asr_core.saving.checkpoint import load_checkpoint, load_strictly, save_checkpoint
from asr_core.saving.model_facts import KIND, Made, StockModel, read_facts
from asr_core.saving.sized import no_larger_than

Build = Callable[[str, Mapping[str, Any]], nn.Module]
"""From a stock model's name and arguments to the untrained model."""


def save_model(
    path: Path | str,
    model: nn.Module,
    stock: StockModel,
    *,
    frozen: Sequence[str] = (),
    merged: Sequence[str] = (),
    folded: Sequence[tuple[str, str]] = (),
    made: Made | None = None,
) -> None:
    """Write ``model``, gated or plain, with the facts from which :func:`load_model` rebuilds it.

    Args:
        path: ends in .safetensors.
        model: the stock model, with ASR from one insertion or without; wrappers are removed. Of a
            :class:`asr_core.models.Normalized`, the backbone is written, under its own names.
        stock: the model that it was made from; mean and std of a Normalized are added.
        frozen: names of the live gates that :func:`asr_core.freeze_attention` froze.
        merged: names of the blocks that :func:`asr_core.merge_branches` merged.
        folded: the (conv, bn) pairs that :func:`asr_core.fold_conv_bn` folded after that.
        made: how the model was made, for people.

    Raises:
        InputError: ``stock`` has another mean or std than the model, or the gates came from several
            insertions.
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
        "created": with_created_affine(model),
        "merged": list(merged),
        "folded": [list(pair) for pair in folded],
        **({} if made is None else {"made": asdict(made)}),
    }
    # Copies, because safetensors refuses parameters that share memory (tied weights).
    save_checkpoint(path, {name: t.clone() for name, t in model.state_dict().items()}, meta)


def load_model(path: Path | str, build: Build) -> nn.Module:
    """The model that :func:`save_model` wrote, with its gates, in eval mode and the saved dtypes.

    With mean and std it is a :class:`asr_core.models.Normalized`, on images in [0, 1].

    Args:
        path: the .safetensors file.
        build: makes the untrained stock model from its name and arguments. The name comes from
            the file, so ``build`` should run only trusted code.

    Raises:
        CheckpointError: as :func:`asr_core.saving.model_facts.facts_of` and
            :func:`asr_core.saving.checkpoint.load_checkpoint`; or the facts or tensors do not fit
            the stock model, with the first names that differ.
        InputError: raised by ``build``.
    """
    tensors, meta = load_checkpoint(path)
    facts = read_facts(path, meta)
    stock = facts.stock_model(path)
    with no_larger_than(tensors, str(path)):
        model = build(stock.name, stock.arguments)
        model = model.to(dtype=_main_dtype(tensors))
        try:
            create_affine(model, facts.created)
            if facts.frozen:
                model = restore_frozen(model, facts.frozen, tensors)
            if facts.asr is not None:
                with torch.random.fork_rng(devices=[]):
                    insert_asr(model, **asdict(facts.asr))
            if facts.merged:
                model = merge_branches(model, facts.merged)
            if facts.folded:
                model = fold_conv_bn(model, facts.folded, example=_example(model, stock))
        except CheckpointError:
            raise
        except (TypeError, ValueError) as error:
            raise CheckpointError(
                f"{path}: its facts do not fit the stock model {stock.name!r}: {error}"
            ) from None
    _take_dtypes(model, tensors)
    load_strictly(model, tensors, f"{path}: not the tensors of its stock model {stock.name!r}")
    whole = stock.normalized(model)
    if isinstance(whole, Normalized):
        whole.mean, whole.std = (each.to(_main_dtype(tensors)) for each in (whole.mean, whole.std))
    return whole.eval()


def _main_dtype(tensors: Mapping[str, Tensor]) -> torch.dtype | None:
    """The floating dtype of most of the numbers, and so of inputs; None without any."""
    numbers: Counter[torch.dtype] = Counter()
    for tensor in tensors.values():
        if tensor.is_floating_point():
            numbers[tensor.dtype] += tensor.numel()
    return numbers.most_common(1)[0][0] if numbers else None


def _take_dtypes(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Give parameters and buffers their saved floating dtypes: norms often have full precision."""
    own = chain(
        model.named_parameters(remove_duplicate=False), model.named_buffers(remove_duplicate=False)
    )
    for name, tensor in own:
        saved = tensors.get(name)
        if saved is not None and saved.is_floating_point() and tensor.is_floating_point():
            tensor.data = tensor.data.to(saved.dtype)


def _inside(name: str) -> str:
    """The name in the backbone of a module of Normalized."""
    return name.removeprefix("model").removeprefix(".")


def _with_statistics(stock: StockModel, model: Normalized) -> StockModel:
    mean, std = model.statistics
    for name, said, own in (("mean", stock.mean, mean), ("std", stock.std, std)):
        if said is not None and tuple(said) != own:
            raise InputError(f"the model normalises by {name} {own}, the stock model has {said}")
    return replace(stock, mean=mean, std=std)


def _example(model: nn.Module, stock: StockModel) -> Tensor:
    """Two inputs of the stock model's shape, the same each time."""
    like = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    random = torch.Generator("cpu").manual_seed(0)
    return torch.rand((2, *stock.input_shape), generator=random).to(like)
