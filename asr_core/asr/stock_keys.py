"""Loading a stock checkpoint into a model that has its gates already."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from asr_core.asr.parametrization import gate_of, gated_layers
from asr_core.modules.states import require_state
from asr_core.modules.wrappers import unwrap


def load_stock_state_dict(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load the plain model's state dict into ``model``, which has ASR; the gates stay as they are.

    Args:
        model: a model with ASR (or a plain one).
        state: exactly the keys of the plain model. Parameters that insertion created (γ and β of
            a norm without them) may be missing.

    Raises:
        CheckpointError: missing or unexpected keys, or other shapes; nothing was loaded.
    """
    model = unwrap(model)
    own = model.state_dict()
    keys = {key: key for key in own}
    optional: set[str] = set()
    for name, layer in gated_layers(model):
        prefix = f"{name}." if name else ""
        for key in [key for key in keys if key.startswith(f"{prefix}asr.")]:
            del keys[key]
        for tensor in layer.parametrizations:  # type: ignore[union-attr]
            keys[prefix + tensor] = keys.pop(f"{prefix}parametrizations.{tensor}.original")
        gate = gate_of(layer)
        optional.update(prefix + tensor for tensor in (gate.position.created if gate else ()))
    require_state(
        {key: own[held] for key, held in keys.items()},
        state,
        "not the state dict of the plain model; nothing was loaded",
        optional=optional,
        dtypes=False,
    )
    whole = {**own, **{keys[key]: value for key, value in state.items()}}
    model.load_state_dict(whole)
