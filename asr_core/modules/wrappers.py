"""Models that are wrapped to run in parallel, compiled or averaged."""

from __future__ import annotations

from torch import nn

from asr_core.errors import TargetError

# By name, to avoid importing torch.distributed and the compiler.
_INNER = {
    "DistributedDataParallel": "module",
    "DataParallel": "module",
    "OptimizedModule": "_orig_mod",
    "AveragedModel": "module",
}
# These hold the parameters instead of the model.
_HOLDERS = ("FullyShardedDataParallel", "FSDPModule", "ScriptModule")


def _wrapper(module: nn.Module) -> str:
    """The name of the torch wrapper that ``module`` is, or ""."""
    for base in type(module).__mro__:
        if base.__name__ in (*_INNER, *_HOLDERS) and base.__module__.startswith("torch."):
            return base.__name__
    return "torch.compile" if module._compiled_call_impl is not None else ""


def refuse_wrapped(model: nn.Module) -> None:
    """Refuse a ``model`` that is wrapped already, or has a wrapped part.

    Raises:
        TargetError: naming the wrapper, the module and the order that works.
    """
    for name, module in model.named_modules():
        wrapper = _wrapper(module)
        if wrapper:
            where = f"its part {name!r} is" if name else "it is"
            raise TargetError(
                f"cannot insert ASR into this model: {where} wrapped already ({wrapper}). "
                "Insert into the plain model first, then build the optimizer, then wrap or compile"
            )


def unwrap(model: nn.Module) -> nn.Module:
    """The plain model inside any wrappers.

    Raises:
        TargetError: the parameters are sharded or scripted.
    """
    while (wrapper := _wrapper(model)) in _INNER:
        model = getattr(model, _INNER[wrapper])
    for module in model.modules():
        if _wrapper(module) in _HOLDERS:
            raise TargetError(
                f"the parameters of this model are held by {_wrapper(module)}: gather its full "
                "state dict and load it into an unwrapped model with the same insert_asr call"
            )
    return model
