"""What a page holds, whatever the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from robust.report.table import Table


@dataclass(frozen=True)
class Answered:
    """A question with its answer.

    Attributes:
        question: in one sentence.
        sentence: the answer, with its interval.
        verdict: one of the five words of :class:`robust.stats.answer.Answer`, or empty.
        note: beside the verdict, such as the smallest visible effect; or empty.
    """

    question: str
    sentence: str
    verdict: str = ""
    note: str = ""


@dataclass(frozen=True)
class Point:
    """A mean with its interval; ``style`` is "clean" (hollow) or "noise" (filled)."""

    mean: float
    low: float | None = None
    high: float | None = None
    style: str = "noise"


@dataclass(frozen=True)
class Dots:
    """A dot plot: a row with a label, points on one axis, and the change in words.

    Attributes:
        title: what the axis shows.
        rows: label, colour's number, points, and figures in words at the end of the row.
        legend: what hollow and filled points are, in words; or empty.
        caption: below.
        zero: a vertical line at 0.
    """

    kind: ClassVar[str] = "dots"
    title: str
    rows: Sequence[tuple[str, int, Sequence[Point], Sequence[str]]]
    legend: tuple[str, str] | None = None
    caption: str = ""
    zero: bool = False


@dataclass(frozen=True)
class Series:
    """One colour in a panel: points by their place on the x axis; those of ``joined`` by a line."""

    label: str
    colour: int
    points: Mapping[int, Point]
    joined: Sequence[int] = ()


@dataclass(frozen=True)
class Panel:
    """One set of axes: categories (or steps, by their labels) from left to right."""

    title: str
    places: Sequence[str]
    series: Sequence[Series]


@dataclass(frozen=True)
class Curves:
    """Panels side by side with one legend."""

    kind: ClassVar[str] = "curves"
    panels: Sequence[Panel]
    caption: str = ""


@dataclass(frozen=True)
class Shown:
    """A table that can be sorted and copied.

    Attributes:
        table: the numbers.
        title: above it.
        terms: name, formula and source of what it holds.
    """

    kind: ClassVar[str] = "table"
    table: Table
    title: str = ""
    terms: Sequence[tuple[str, str, str]] = ()


@dataclass(frozen=True)
class Picture:
    """An encoded picture; ``mime`` such as "image/jpeg"."""

    data: bytes
    alt: str
    label: str = ""
    mime: str = "image/jpeg"
    colour: int | None = None


@dataclass(frozen=True)
class Pictures:
    """A row of pictures with labels; ``wide`` ones stand below each other."""

    kind: ClassVar[str] = "pictures"
    pictures: Sequence[Picture]
    caption: str = ""
    wide: bool = False


@dataclass(frozen=True)
class Compare:
    """Pictures of a run that are compared two at a time.

    Attributes:
        images: names of the content images.
        noises: name of each noise -> (text, label) of its severities; "clean" has one, ("", "").
        variants: key and label of each side.
        pictures: for each image, (variant, noise, severity) -> JPEG.
        start: picture, noise, severity, left and right.
        note: what is left out; or empty.
    """

    kind: ClassVar[str] = "compare"
    images: Sequence[str]
    noises: Mapping[str, Sequence[tuple[str, str]]]
    variants: Sequence[tuple[str, str]]
    pictures: Sequence[Mapping[tuple[str, str, str], bytes]]
    start: Mapping[str, str]
    note: str = ""


@dataclass(frozen=True)
class Text:
    """Paragraphs."""

    kind: ClassVar[str] = "text"
    paragraphs: Sequence[str]


@dataclass(frozen=True)
class Facts:
    """Terms and what they are; values of several lines are lists."""

    kind: ClassVar[str] = "facts"
    rows: Sequence[tuple[str, str | Sequence[str]]]


Block = Dots | Curves | Shown | Pictures | Compare | Text | Facts


@dataclass(frozen=True)
class Section:
    """A heading with blocks below it; ``name`` is its anchor."""

    name: str
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Page:
    """A whole page.

    Attributes:
        title: what ran, in a few words.
        answers: the first screen's questions and answers, the most important one first.
        lead: the first screen's plots and pictures.
        sections: what follows; the last one says how it was made.
    """

    title: str
    answers: Sequence[Answered]
    lead: Sequence[Block] = field(default=())
    sections: Sequence[Section] = field(default=())
