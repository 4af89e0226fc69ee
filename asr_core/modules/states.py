"""State dicts compared before loading: torch reports what differs only afterwards."""

from __future__ import annotations

from collections.abc import Container, Mapping

from torch import Tensor

from asr_core.errors import CheckpointError

_SHOWN = 3


def require_state(
    own: Mapping[str, Tensor],
    given: Mapping[str, Tensor],
    message: str,
    *,
    optional: Container[str] = (),
    dtypes: bool = True,
) -> None:
    """Refuse ``given`` tensors with other names, shapes or types than a module's ``own`` state.

    Names in ``optional`` may be missing. Without ``dtypes``, types may differ.

    Raises:
        CheckpointError: ``message``, and the first names that differ.
    """

    def form(tensor: Tensor) -> str:
        return f"{tuple(tensor.shape)} {tensor.dtype}" if dtypes else f"{tuple(tensor.shape)}"

    problems = {
        # in the module's order
        "missing": [name for name in own if name not in given and name not in optional],
        "unexpected": sorted(name for name in given if name not in own),
        "of another form": [
            f"{name} {form(given[name])} for {form(wanted)}"
            for name, wanted in own.items()
            if name in given and form(given[name]) != form(wanted)
        ],
    }
    differing = [
        f"{what}: {', '.join(names[:_SHOWN])}" for what, names in problems.items() if names
    ]
    if differing:
        raise CheckpointError(f"{message}: {'; '.join(differing)}")
