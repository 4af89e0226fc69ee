"""Noise while training: the train phase of an attack (Liang et al., IEBN, arXiv 1908.04008)."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

from torch import nn

from asr_core.errors import InputError
from robust.norm_noise.companions import joined
from robust.norm_noise.foreign import ForeignImages, check_mix
from robust.norm_noise.noise import Noise
from robust.norm_noise.severity import (
    NOISES,
    BatchNoise,
    ConstantNoise,
    RandomNoise,
    Severity,
    parse_severity,
)
from styletransfer.train import StepNoise

DEFAULTS: dict[str, Severity] = {
    "constant": ConstantNoise(0.5, 0.5),
    "random": RandomNoise(None),
    "batch": BatchNoise(4),
}
"""The severity of a noise that is given without one: published by IEBN, or a batch of four."""


@dataclass(frozen=True)
class TrainNoise:
    """Noise during training; none where ``severity`` is None.

    Batch noise in training is the batch size: it arises by itself in batch norm. With ``mix`` half
    of each batch are foreign images (:mod:`robust.norm_noise.foreign`), of which no loss is taken.

    Attributes:
        severity: noise and strength.
        mix: "noise", or a data set whose images are the foreign ones; None for none.

    Raises:
        InputError: noise images as companions, which in training are the step's other images; or a
            mix without batch noise, of an unknown kind, or in a batch of odd size.
    """

    severity: Severity | None = None
    mix: str | None = None

    def __post_init__(self) -> None:
        chosen = self.severity
        if self.mix is not None:
            if not isinstance(chosen, BatchNoise):
                raise InputError(
                    f"a mix with {self.mix!r} needs batch noise; add it, or leave the mix out"
                )
            if chosen.size % 2:
                raise InputError(
                    f"half of a batch of {chosen.size} cannot be foreign; give an even severity"
                )
            check_mix(self.mix)
        if isinstance(chosen, BatchNoise) and chosen.companions != "photos":
            raise InputError(
                f"batch noise {chosen.text} cannot be trained under; give a batch size"
            )

    @property
    def text(self) -> str | None:
        """Such as "constant 0.5,0.5"; None without noise."""
        severity = self.severity
        mixed = "" if self.mix is None else f" mixed with {self.mix}"
        return None if severity is None else f"{severity.noise} {severity.text}{mixed}"

    def as_dict(self) -> dict[str, str] | None:
        """As JSON-able data; None without noise."""
        severity = self.severity
        if severity is None:
            return None
        mixed = {} if self.mix is None else {"mix": self.mix}
        return {"noise": severity.noise, "severity": severity.text, **mixed}

    def batch_size(self, given: int | None = None) -> dict[str, int]:
        """The recipe's ``batch_size`` as a keyword: that of batch noise, or ``given``, or nothing.

        Raises:
            InputError: batch noise, and ``given`` is another size.
        """
        if not isinstance(self.severity, BatchNoise):
            return {} if given is None else {"batch_size": given}
        foreign = 0 if self.mix is None else self.severity.size // 2
        size = self.severity.size - foreign
        if given not in (None, size):
            raise InputError(
                f"batch noise of severity {self.severity.size} sets the batch size to {size}; "
                f"leave batch size {given} out"
            )
        return {"batch_size": size}

    def setting(self) -> dict[str, dict[str, str]]:
        """What a run records beside its recipe; empty without noise."""
        noise = self.as_dict()
        return {} if noise is None else {"noise": noise}

    def context(self, seed: int) -> StepNoise | None:
        """The ``noise`` of ``train_style`` and of ``asr_core.training.train``; draws follow the
        step.
        """
        severity = self.severity
        if self.mix is not None:
            foreign = ForeignImages(self.mix, seed=seed)
            return lambda network, step: joined(network, foreign.at(step))
        if severity is None or isinstance(severity, BatchNoise):
            return None

        def at(network: nn.Module, step: int) -> AbstractContextManager[object]:
            noise = Noise(network, severity, seed=seed)
            noise.pin(draw=step)
            return noise

        return at


NO_NOISE = TrainNoise()


def parse_train_noise(
    noise: str | None, severity: str | None, mix: str | None = None
) -> TrainNoise:
    """Noise for the train phase from the names of a noise, a severity and foreign images.

    Raises:
        InputError: an unknown noise, a severity of another form or without a noise, or noise
            images as companions.
    """
    if noise is None:
        if severity is not None:
            raise InputError(f"severity {severity!r} is of no noise; name the noise")
        return TrainNoise(None, mix)
    NOISES[noise]  # an unknown name lists the known ones
    chosen = DEFAULTS[noise] if severity is None else parse_severity(noise, severity)
    return TrainNoise(chosen, mix)
