"""The noises and their strengths, as frozen records.

``severity.text`` is the form of command lines and CSV files, which ``parse_severity(noise, text)``
reads; ``severity.label`` is for tables and pictures.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from asr_core.errors import InputError
from asr_core.registry import Registry

COMPANIONS = ("photos", "noise")
ORDERS = {"class": "class by class", "bursts": "bursts of 8"}
"""Correlated orders of images with classes: all of a class in a row, or 8 of a class in a row and
the rows by chance. Batches then hold images of few classes."""
BURST = 8
LARGEST_BATCH = 256
LARGEST_FACTOR = 10.0


class Severity(abc.ABC):
    """One noise at one strength."""

    noise: ClassVar[str]

    @property
    @abc.abstractmethod
    def text(self) -> str:
        """The form that :meth:`parse` reads; equal severities have equal text."""

    @property
    @abc.abstractmethod
    def label(self) -> str:
        """A short name for tables and grids."""

    @property
    @abc.abstractmethod
    def is_control(self) -> bool:
        """Whether it changes nothing by construction: a control, not an attack."""

    @property
    def is_ordered(self) -> bool:
        """Whether it lies between clean and stronger ones of its kind: a line may join them.

        Pairs of numbers, another distribution and other companions do not.
        """
        return False

    @property
    def by_chance(self) -> bool:
        """Whether draws differ: neither a control nor constant."""
        return self.noise != "constant" and not self.is_control

    @classmethod
    @abc.abstractmethod
    def parse(cls, text: str) -> Severity:
        """Read the severity from ``text``.

        Raises:
            InputError: the text is not of the noise's form, or a number is out of range.
        """

    @classmethod
    @abc.abstractmethod
    def defaults(cls) -> tuple[Severity, ...]:
        """The severities of a run that names none."""


NOISES: Registry[type[Severity]] = Registry("noise")


Value = str | float | Sequence[float]
"""A severity of a known noise: as text, or as its number or numbers."""


def parse_severity(noise: str, value: Value) -> Severity:
    """The severity of ``noise`` ("batch", "constant", "random") that ``value`` describes.

    Args:
        noise: its name.
        value: text, such as "0.8,0.5"; or the number or numbers, such as (0.8, 0.5).

    Raises:
        InputError: an unknown noise, or a value that is not of its form.
    """
    if isinstance(value, Sequence) and not isinstance(value, str):
        value = ",".join(map(str, value))
    return NOISES[noise].parse(str(value))


def default_severities(noise: str) -> tuple[Severity, ...]:
    """The severities of a run of ``noise`` that names none.

    Raises:
        InputError: an unknown noise.
    """
    return NOISES[noise].defaults()


def number(kind: Callable[[str], float], text: str, severity: str, form: str) -> float:
    """``text`` as a number of ``kind``, int or float.

    Raises:
        InputError: it is none; ``severity`` names the whole, and ``form`` what is expected.
    """
    try:
        return kind(text)
    except ValueError:
        raise InputError(f"{severity}: {text.strip()!r} is no number. Expected {form}") from None


def _plain(value: float) -> str:
    return repr(value + 0.0)  # 1 and 1.0, -0.0 and 0.0 are equal, so they read the same


@NOISES.register("constant")
@dataclass(frozen=True)
class ConstantNoise(Severity):
    """The same Na (``scale``) and Nb (``shift``) on every norm layer: x̂ becomes Na x̂ + Nb.

    Args:
        scale: Na, from 0 to 10; 1 is clean.
        shift: Nb, from -10 to 10; 0 is clean.

    Raises:
        InputError: a value out of range.
    """

    scale: float
    shift: float

    noise: ClassVar[str] = "constant"
    form: ClassVar[str] = "SCALE,SHIFT such as 0.8,0.5 (scale from 0 to 10, shift from -10 to 10)"

    def __post_init__(self) -> None:
        if not (0 <= self.scale <= LARGEST_FACTOR and abs(self.shift) <= LARGEST_FACTOR):
            raise InputError(
                f"constant noise {self.scale:g},{self.shift:g} is out of range. "
                f"Expected {self.form}"
            )

    @property
    def text(self) -> str:
        """``SCALE,SHIFT``."""
        return f"{_plain(self.scale)},{_plain(self.shift)}"

    @property
    def label(self) -> str:
        """Such as "Na 0.8, Nb 0.5"."""
        return f"Na {self.scale:g}, Nb {self.shift:g}"

    @property
    def is_control(self) -> bool:
        """Na = 1 and Nb = 0 change nothing."""
        return self.scale == 1 and self.shift == 0

    @classmethod
    def parse(cls, text: str) -> ConstantNoise:
        """Read ``SCALE,SHIFT``."""
        parts = text.split(",")
        if len(parts) != 2:
            raise InputError(f"constant noise {text!r} is not a pair. Expected {cls.form}")
        scale, shift = (number(float, part, f"constant noise {text!r}", cls.form) for part in parts)
        return cls(scale, shift)

    @classmethod
    def defaults(cls) -> tuple[ConstantNoise, ...]:
        """The published pairs (Liang et al., IEBN, arXiv 1908.04008)."""
        return cls(0.8, 0.8), cls(0.8, 0.5), cls(0.5, 0.5), cls(0.5, 0.2)


@NOISES.register("random")
@dataclass(frozen=True)
class RandomNoise(Severity):
    """Na and Nb drawn afresh for each forward.

    Args:
        strength: s from 0 to 1, for Na ~ U(1-s, 1+s) and Nb ~ U(-s, s); None for
            Na, Nb ~ U(0, 1), the pair of the IEBN paper (arXiv 1908.04008).

    Raises:
        InputError: a strength out of range.
    """

    strength: float | None

    noise: ClassVar[str] = "random"
    form: ClassVar[str] = "a strength from 0 to 1 such as 0.2, or 'uniform'"

    def __post_init__(self) -> None:
        if self.strength is not None and not 0 <= self.strength <= 1:
            raise InputError(
                f"random noise {self.strength:g} is out of range. Expected {self.form}"
            )

    @property
    def scale_range(self) -> tuple[float, float]:
        """The interval from which Na is drawn."""
        return (0.0, 1.0) if self.strength is None else (1 - self.strength, 1 + self.strength)

    @property
    def shift_range(self) -> tuple[float, float]:
        """The interval from which Nb is drawn."""
        return (0.0, 1.0) if self.strength is None else (-self.strength, self.strength)

    @property
    def text(self) -> str:
        """The strength, or ``uniform``."""
        return "uniform" if self.strength is None else _plain(self.strength)

    @property
    def label(self) -> str:
        """Such as "s = 0.2", or "U(0, 1)"."""
        return "U(0, 1)" if self.strength is None else f"s = {self.strength:g}"

    @property
    def is_ordered(self) -> bool:
        """All but U(0, 1)."""
        return self.strength is not None

    @property
    def is_control(self) -> bool:
        """A strength of 0 changes nothing."""
        return self.strength == 0

    @classmethod
    def parse(cls, text: str) -> RandomNoise:
        """Read a strength, or ``uniform``."""
        if text.strip() == "uniform":
            return cls(None)
        return cls(number(float, text, f"random noise {text!r}", cls.form))

    @classmethod
    def defaults(cls) -> tuple[RandomNoise, ...]:
        """Three strengths, and U(0, 1)."""
        return cls(0.1), cls(0.2), cls(0.5), cls(None)


@NOISES.register("batch")
@dataclass(frozen=True)
class BatchNoise(Severity):
    """Statistics from a batch of ``size`` images, of which ``size - 1`` are companions.

    A batch of one takes each image's own statistics, which makes BatchNorm equal to InstanceNorm:
    that is the control, not an attack.

    Args:
        size: n, the images in the batch, from 1 to 256.
        companions: "photos" (drawn from a pool, or the other images by chance) or "noise" (uniform
            noise images); of images with classes also "class" or "bursts": the neighbours in a
            correlated order (:data:`ORDERS`).

    Raises:
        InputError: a size out of range, unknown companions, or companions for a batch of one.
    """

    size: int
    companions: str = "photos"

    noise: ClassVar[str] = "batch"
    form: ClassVar[str] = (
        "N, N:photos or N:noise, for classifiers also N:class or N:bursts; N images in the batch "
        "from 1 to 256"
    )

    def __post_init__(self) -> None:
        if not 1 <= self.size <= LARGEST_BATCH:
            raise InputError(f"batch noise {self.size} is out of range. Expected {self.form}")
        if self.companions not in (*COMPANIONS, *ORDERS):
            raise InputError(
                f"batch noise: unknown companions {self.companions!r}. Expected {self.form}"
            )
        if self.size == 1 and self.companions != "photos":
            raise InputError(
                f"batch noise 1:{self.companions}: a batch of one has no companions. Write 1"
            )

    @property
    def text(self) -> str:
        """``N``, ``N:noise``, ``N:class`` or ``N:bursts``."""
        return str(self.size) if self.companions == "photos" else f"{self.size}:{self.companions}"

    @property
    def label(self) -> str:
        """Such as "n = 4", "n = 4, noise", or "n = 1 (control)"."""
        if self.is_control:
            return "n = 1 (control)"
        others = ORDERS.get(self.companions, self.companions)
        return f"n = {self.size}" + ("" if others == "photos" else f", {others}")

    @property
    def is_ordered(self) -> bool:
        """Batches of images, which run to the whole set; but the control."""
        return self.companions == "photos" and not self.is_control

    @property
    def is_control(self) -> bool:
        """A batch of one."""
        return self.size == 1

    @classmethod
    def parse(cls, text: str) -> BatchNoise:
        """Read ``N`` or ``N:COMPANIONS``."""
        size, colon, companions = text.partition(":")
        count = int(number(int, size, f"batch noise {text!r}", cls.form))
        return cls(count, companions.strip() if colon else "photos")

    @classmethod
    def defaults(cls) -> tuple[BatchNoise, ...]:
        """The control, three batches of photographs and one with noise images."""
        return cls(1), cls(2), cls(4), cls(16), cls(4, "noise")
