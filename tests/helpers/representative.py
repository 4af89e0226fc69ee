"""Families of costly cases: a few carry the specification, the others run when asked."""

from collections.abc import Container, Iterable
from typing import Any

import pytest


def some_of(cases: Iterable[Any], kept: Container[Any]) -> list[Any]:
    """All ``cases`` for ``parametrize``, those that are not among the ``kept`` marked slow."""
    return [case if case in kept else pytest.param(case, marks=pytest.mark.slow) for case in cases]
