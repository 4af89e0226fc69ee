"""What the steps of a traced forward do to channels.

Steps are listed by canonical name (:func:`asr_core.graph.activations.canonical`).
"""

from __future__ import annotations

from asr_core.graph.activations import ACTIVATIONS


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


INERT = _names(
    "identity clone contiguous dropout alphadropout featurealphadropout stochasticdepth droppath"
)
"""Identities at inference."""

PASSING = (
    ACTIVATIONS
    | INERT
    | _names(
        "sigmoid hardsigmoid neg clamp clip to float half bfloat16 double typeas "
        "permute transpose swapaxes swapdims movedim moveaxis narrow expand expandas "
        "reshape reshapeas view viewas flatten unflatten squeeze unsqueeze roll "
        "pad zeropad reflectionpad replicationpad interpolate upsample pixelshuffle pixelunshuffle "
        "maxpool avgpool adaptiveavgpool adaptivemaxpool"
    )
)
"""Steps that do not mix channels."""

ADDITION = _names("add iadd radd sub isub rsub")
PRODUCT = _names("mul imul rmul multiply div truediv itruediv")

METADATA = _names(
    "size dim numel stride iscontiguous getdevice dtype device shape ndim layout iscuda "
    "isfloatingpoint requiresgrad assert"
)
"""Steps that do not read a tensor's values."""

PROJECTIONS: dict[str, tuple[int, str]] = {
    "linear": (1, "weight"),
    "shiftedwindowattention": (2, "proj_weight"),  # torchvision
}
"""Functions that end in a linear layer of the model: the argument with its weight."""
