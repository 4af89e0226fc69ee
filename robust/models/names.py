"""Models by name: torchvision's, ours, ``timm:NAME``, or the user's ``package.module:factory``.

Names build untrained models; nothing is downloaded.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
import torchvision
from torch import nn

from asr_core import limits
from asr_core.errors import InputError
from asr_core.models import BACKBONES, build_named
from asr_core.models.named import PREFIX, backbone_of, named

FORMS = "a torchvision name, asr:NAME[+ATTENTION], timm:NAME, or package.module:factory"
_TIMM = "timm"
_OURS = ("weights", "weights_backbone", "pretrained")
"""Arguments that would make a builder download something."""


def build_model(name: str, arguments: Mapping[str, Any] | None = None) -> nn.Module:
    """The untrained model that ``name`` stands for; torch's random state stays as it is.

    Args:
        name: a torchvision name; ``asr:NAME`` of our backbones, with live attention as
            ``asr:NAME+ATTENTION``; ``timm:NAME``; or ``package.module:factory``, whose code is
            run; modules are also looked up in the working directory.
        arguments: passed to the builder by keyword, for example ``{"num_classes": 10}``.

    Raises:
        InputError: an unknown name (with close matches), a package that is not installed, or a
            builder that fails or builds no ``nn.Module``.
    """
    arguments = dict(arguments or {})
    for argument in _OURS:
        if argument in arguments:
            raise InputError(f"{argument!r} cannot be given: models are built untrained")
    if "num_classes" in arguments:
        limits.whole("num_classes", arguments["num_classes"], 0, limits.CLASSES)
    builder = _builder(name)
    try:
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about initial weights, which are replaced
            model = builder(**arguments)
    except InputError:
        raise
    except Exception as error:  # a builder may raise anything
        raise InputError(f"{name!r} cannot be built: {_line(error)}") from error
    if not isinstance(model, nn.Module):
        raise InputError(f"{name!r} gives a {type(model).__name__}, not an nn.Module")
    return model


def names_code(name: str) -> bool:
    """Whether building ``name`` runs a factory that the name itself points to."""
    return ":" in name and not name.startswith((f"{_TIMM}:", PREFIX))


def _builder(name: str) -> Callable[..., Any]:
    prefix, colon, rest = name.partition(":")
    if not colon:
        return _torchvision(name)
    if name.startswith(PREFIX):
        backbone_of(name)  # refuses an unknown one
        return lambda **arguments: build_named(name, arguments)
    return _timm(rest) if prefix == _TIMM else _factory(prefix, rest)


def _torchvision(name: str) -> Callable[..., Any]:
    known = torchvision.models.list_models()
    if name not in known:
        full = {**{ours: named(ours) for ours in BACKBONES}, **{other: other for other in known}}
        close = _close(name, full, said=full)
        raise InputError(f"unknown torchvision model {name!r}{close}; a MODEL is {FORMS}")
    build = torchvision.models.get_model_builder(name)
    # Detection and segmentation models fetch a backbone's weights by default.
    fetching = [name for name in _OURS if name in inspect.signature(build).parameters]
    return lambda **arguments: build(**dict.fromkeys(fetching), **arguments)


def _timm(name: str) -> Callable[..., Any]:
    try:
        timm = importlib.import_module(_TIMM)
    except ImportError:
        raise InputError(f"'timm:{name}' needs timm: pip install 'robust-asr[timm]'") from None
    if not timm.is_model(name):
        raise InputError(f"unknown timm model {name!r}{_close(name, timm.list_models())}")
    return lambda **arguments: timm.create_model(name, pretrained=False, **arguments)


def _factory(module_name: str, attribute: str) -> Callable[..., Any]:
    if not attribute or not all(part.isidentifier() for part in module_name.split(".")):
        raise InputError(f"'{module_name}:{attribute}' is no package.module:factory")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # last, so that it hides no installed package
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # importing a module may raise anything
        raise InputError(f"module {module_name!r} cannot be imported: {_line(error)}") from error
    factory = getattr(module, attribute, None)
    if factory is None:
        public = [name for name in vars(module) if not name.startswith("_")]
        raise InputError(f"module {module_name!r} has no {attribute!r}{_close(attribute, public)}")
    if not callable(factory):
        raise InputError(
            f"'{module_name}:{attribute}' is a {type(factory).__name__}, not a factory to call"
        )
    return factory


def _close(name: str, known: Iterable[str], *, said: Mapping[str, str] | None = None) -> str:
    close = difflib.get_close_matches(name, list(known), n=5, cutoff=0.5)
    close = [(said or {}).get(match, match) for match in close]
    return f"; close matches: {', '.join(close)}" if close else ""


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
