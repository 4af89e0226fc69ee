"""What the steps of a traced forward do to channels: as data.

Steps go by one name, whether they are modules, functions or tensor methods: without underscores,
case and number of dimensions ("AdaptiveAvgPool2d" and "adaptive_avg_pool2d": "adaptiveavgpool").
"""

from __future__ import annotations

import re


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


ACTIVATIONS = _names(
    "relu relu6 leakyrelu prelu rrelu elu celu selu gelu silu mish hardswish hardtanh softplus tanh"
)
"""Sigmoids are gates of an attention rather than activations."""

PASSING = ACTIVATIONS | _names(
    "sigmoid hardsigmoid neg identity clone contiguous to float half bfloat16 double typeas "
    "dropout alphadropout featurealphadropout stochasticdepth droppath "
    "permute transpose swapaxes swapdims movedim moveaxis "
    "reshape view flatten unflatten squeeze unsqueeze roll "
    "pad zeropad reflectionpad replicationpad interpolate upsample "
    "maxpool avgpool adaptiveavgpool adaptivemaxpool"
)
"""They leave each channel to itself."""

ADDITION = _names("add iadd sub isub")
PRODUCT = _names("mul imul multiply div truediv itruediv")

METADATA = _names(
    "size dim numel stride iscontiguous getdevice dtype device shape ndim layout iscuda "
    "isfloatingpoint requiresgrad assert"
)
"""They tell about a tensor without reading its values."""

PROJECTIONS: dict[str, tuple[int, str]] = {"shiftedwindowattention": (2, "proj_weight")}
"""Functions that end in a linear layer of the model: where they take its weight (torchvision)."""


def canonical(name: str) -> str:
    """The one name of a module's class, a function or a tensor method."""
    return re.sub(r"\dd$", "", name.replace("_", "").lower())
