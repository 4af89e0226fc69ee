"""Which severities a run takes, and which of its options they leave without effect."""

from __future__ import annotations

from collections.abc import Sequence

from asr_core.errors import InputError
from asr_core.registry import unknown_name
from robust.norm_noise.noise import GRANULARITIES
from robust.norm_noise.severity import (
    NOISES,
    Severity,
    Value,
    default_severities,
    parse_severity,
)


def choose_severities(noise: str, values: Sequence[Value] = ()) -> tuple[Severity, ...]:
    """The severities ``values`` of a noise; without values, the defaults of it or of "all" noises.

    Raises:
        InputError: an unknown noise; severities given with "all"; a value of another form.
    """
    if noise == "all":
        if values:
            raise InputError(
                f"severity {values[0]!r} is of one noise, and noise 'all' takes each one's "
                "defaults; name the noise"
            )
        return tuple(s for name in NOISES for s in default_severities(name))
    if noise not in NOISES:
        raise unknown_name("noise", noise, [*NOISES.names(), "all"])
    if not values:
        return default_severities(noise)
    return tuple(dict.fromkeys(parse_severity(noise, value) for value in values))


def check_used(
    severities: Sequence[Severity], *, granularity: str | None = None, repeats: int | None = None
) -> None:
    """Refuse options that the chosen noises would ignore; None is an option not given.

    Raises:
        InputError: an unknown granularity, one without random noise, or repeats where nothing
            depends on chance.
    """
    if granularity is not None and granularity not in GRANULARITIES:
        raise unknown_name("granularity", granularity, list(GRANULARITIES))
    chosen = ", ".join(f"{severity.noise} {severity.text}" for severity in severities)
    if granularity is not None and not any(s.noise == "random" for s in severities):
        raise InputError(
            f"granularity {granularity!r} is of random noise, not of {chosen}; leave it out"
        )
    if repeats not in (None, 1) and not any(s.by_chance for s in severities):
        raise InputError(
            f"{repeats} repeats: nothing depends on chance in {chosen}; leave them out"
        )
