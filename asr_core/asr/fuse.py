"""Fusing: the plain backbone again, with v in its parameters."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import nn

from asr_core.asr.folded import folded_tensors
from asr_core.asr.lifecycle import detach
from asr_core.asr.parametrization import gate_of, gated_layers, scales
from asr_core.modules.copies import copy_model
from asr_core.modules.wrappers import unwrap
from asr_core.verify.parity import check_parity


# Copies that are made in inference mode could never be trained.
@torch.inference_mode(False)
def fuse_asr(model: nn.Module, *, inplace: bool = False, example: Any = None) -> nn.Module:
    """The plain model, with every gate's v multiplied into its layer's parameters.

    Module classes, state-dict keys and their order, shapes, dtypes and devices are the stock
    model's, except that γ and β created by :func:`asr_core.insert_asr` (``create_affine``) stay,
    so that the result is no longer the stock model. Parameters are leaves that keep
    ``requires_grad``. A model without ASR comes back unchanged (as a copy, unless ``inplace``).
    Nothing changes until these checks pass: the fused tensors are finite and bit-equal to those
    that the gated layers use; each gated layer's output is its stock output times v (or that on
    its input times v), to 1e-12 in float64; the whole model's output on ``example`` is the same.

    Args:
        model: a model with ASR, in any mode, which is kept; DDP, torch.compile and AveragedModel
            wrappers are removed.
        inplace: fuse ``model`` itself; its parameters stay the same objects.
        example: input (or tuple of inputs) for the end-to-end check; None skips it.

    Raises:
        ParityError: one of the checks fails; the model is as before.
        InputError: a gated tensor has another parametrization on top, or was pruned; or a write to
            it was lost.
        TargetError: the parameters are sharded (FSDP).

    Warns:
        UserWarning: no gate has changed since insertion.
    """
    model = unwrap(model)
    gates = []
    for _, layer in gated_layers(model):
        gates.append(gate_of(layer))
        for scale in scales(layer).values():
            scale.check_unwritten()
    if gates and all(gate is not None and gate.never_trained() for gate in gates):
        warnings.warn(
            "no gate has changed since insert_asr: was the optimizer built before it, without "
            "report.parameters()?",
            stacklevel=2,
        )
    plain = None if inplace and example is None else _fold(copy_model(model))
    if plain is not None and example is not None:
        check_parity(model, plain, example).require()
    return _fold(model) if plain is None or inplace else plain


def _fold(model: nn.Module) -> nn.Module:
    detach(model, [(layer, folded_tensors(name, layer)) for name, layer in gated_layers(model)])
    return model
