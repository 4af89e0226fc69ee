"""The user's choice of a data set's source, and the registry of known sets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from asr_core.data.image_set import ImageSet
from asr_core.errors import InputError
from asr_core.registry import Registry, unknown_name

OnUnreadable = Literal["stop", "skip"]


@dataclass(frozen=True)
class Source:
    """The arguments of :func:`asr_core.data.open_data` besides the name."""

    folder: Path | None = None
    download: bool = False
    image_size: int | None = None
    on_unreadable: OnUnreadable = "stop"
    workers: int | None = None

    def __post_init__(self) -> None:
        known = get_args(OnUnreadable)
        if self.on_unreadable not in known:
            raise unknown_name("on_unreadable", self.on_unreadable, list(known))

    def check_size(self, name: str, size: int) -> None:
        """Refuse an ``image_size`` other than ``size``, the set's only one."""
        if self.image_size not in (None, size):
            raise InputError(
                f"{name} has images of {size}×{size} pixels, not {self.image_size}; leave the "
                "image size out"
            )


DATASETS: Registry[Callable[[Source], ImageSet]] = Registry("data set")
