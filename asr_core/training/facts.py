"""What a run must remember of its data, to be opened and gone on with without it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from asr_core.data import ImageSet
from asr_core.errors import InputError

_SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """A data set in figures.

    Attributes:
        name: of the set.
        classes: names of the classes.
        image_size: H = W of the images.
        mean: of each colour channel, in [0, 1].
        std: the same.
        sizes: number of images in train, validation and test.
        labels: hash of the labels of all splits in order, by which another set of the same name
            is found.
    """

    name: str
    classes: tuple[str, ...]
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    sizes: tuple[int, ...]
    labels: str

    @classmethod
    def of(cls, data: ImageSet) -> DataFacts:
        """The facts of ``data``."""
        labels = [getattr(data, split).labels for split in _SPLITS]
        digest = hashlib.sha256(b"".join(each.numpy().tobytes() for each in labels))
        return cls(
            name=data.name,
            classes=tuple(data.classes),
            image_size=data.image_size,
            mean=tuple(data.mean),
            std=tuple(data.std),
            sizes=tuple(map(len, labels)),
            labels=digest.hexdigest()[:16],
        )

    def as_dict(self) -> dict[str, Any]:
        """The facts as JSON-able data, which :meth:`from_dict` reads."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> DataFacts:
        """The facts that :meth:`as_dict` wrote.

        Raises:
            InputError: other fields than those.
        """
        known = {field.name for field in fields(cls)}
        if set(data) != known:
            odd = ", ".join(sorted(known ^ set(data)))
            raise InputError(f"not the facts of a data set: missing or unknown {odd}")
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in data.items()
        }
        return cls(**values)
