"""Normalisation noise, style networks, robustness of classifiers, and the command ``robust``.

::

    result = robust.attack("batch", style="mosaic")        # .table, .answers, .grid, .frame()
    with robust.noise(model, "constant", (0.8, 0.5)):      # any model
        logits = model(images)
    pictures = robust.stylize(images, style="mosaic", norm="bn+asr")

Nothing is imported before a name is used: ``robust --help`` answers without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robust.api import attack, noise, stylize, stylize_files

__all__ = ["attack", "noise", "stylize", "stylize_files"]


def __getattr__(name: str) -> Any:
    """A name of the API, imported with torch on first use."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from robust import api

    value = getattr(api, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
