"""What a run must remember of its data, to be opened and gone on with without it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from asr_core import limits
from asr_core.data import ImageSet
from asr_core.models.normalized import check_statistics
from asr_core.saving.schema import Name, Number, Several, Text, parse, plain, record

_SPLITS = ("train", "validation", "test")


@record
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

    name: Name
    classes: Annotated[Several[Text], Field(min_length=1, max_length=limits.CLASSES)]
    image_size: Annotated[int, Field(ge=1, le=limits.SIDE)]
    mean: Several[Number]
    std: Several[Number]
    sizes: Several[Annotated[int, Field(ge=0)]]
    labels: Text

    def __post_init__(self) -> None:
        check_statistics(self.mean, self.std)

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
        return plain(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> DataFacts:
        """The facts that :meth:`as_dict` wrote.

        Raises:
            InputError: other fields than those, or of other types.
        """
        return parse(cls, data)
