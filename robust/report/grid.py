"""Pictures in a labelled grid: one row per situation, one column per image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle, groupby
from pathlib import Path

import matplotlib
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from asr_core.errors import InputError
from robust.report import escape
from robust.report.colours import GROUP_COLOURS

Label = str | tuple[str, str]
Picture = Image.Image | Tensor | None

PAPER = "#ffffff"
INK = "#1a1a1a"
FAINT_INK = "#555555"
MISSING = "#d9d9d9"
HATCHING = "#bcbcbc"
SMALLEST_CELL = 48
CORNER = 0.68
"""Side of the picture in the corner, in cells, at least."""


def draw_grid(
    rows: Sequence[tuple[Label, Sequence[Picture]]],
    *,
    column_labels: Sequence[str],
    title: str = "",
    footnote: str = "",
    cell: int = 160,
    width: int | None = None,
    corner: tuple[str, Picture] | None = None,
    colours: Mapping[str, str] | None = None,
) -> Image.Image:
    """Draw ``rows`` of pictures with their labels on the left.

    Neighbouring rows of one group stand together beside a coloured bar that bears the group's name.

    Args:
        rows: (label, pictures) pairs; a label is text, or (group, text). A picture is a PIL image,
            a tensor (3, H, W) in [0, 1], or None where there is none: such a cell is hatched grey.
        column_labels: one per column, above it; cut to the column's width.
        title: above all; wrapped.
        footnote: below all; wrapped. The place to say seeds, statistics and the loss network.
        cell: side of a cell in pixels, from 48; pictures are scaled to fit, keeping their shape.
        width: of the page in pixels, about: cells are then as large as fit.
        corner: a label and a picture, in the place of the first row's label.
        colours: of groups by name; the others take theirs by position.

    Returns:
        An RGB image.

    Raises:
        InputError: no rows or columns, a row with another number of pictures, a cell that is too
            small, or a tensor of another shape.
    """
    if not rows or not column_labels:
        raise InputError(f"a grid of {len(rows)} rows and {len(column_labels)} columns is empty")
    for label, pictures in rows:
        if len(pictures) != len(column_labels):
            raise InputError(
                f"row {label!r} has {len(pictures)} pictures for {len(column_labels)} columns"
            )
    if cell < SMALLEST_CELL:
        raise InputError(f"cells of {cell} pixels are too small for labels: at least 48")
    page = _Page(rows, column_labels, title, footnote, cell, corner, colours or {})
    if width is not None:  # all sizes are proportional to the cell's
        fitting = max(SMALLEST_CELL, cell * width // page.width)
        page = _Page(rows, column_labels, title, footnote, fitting, corner, colours or {})
    return page.draw()


class _Page:
    """Where everything goes; all sizes follow from the cell's."""

    def __init__(
        self,
        rows: Sequence[tuple[Label, Sequence[Picture]]],
        column_labels: Sequence[str],
        title: str,
        footnote: str,
        cell: int,
        corner: tuple[str, Picture] | None,
        colours: Mapping[str, str],
    ) -> None:
        self.cell = cell
        self.corner = corner
        self.gap = max(2, cell // 40)
        self.pad = max(6, cell // 16)
        self.plain = _font("DejaVuSans.ttf", cell / 9)
        self.heading = _font("DejaVuSans-Bold.ttf", cell / 7)
        self.small = _font("DejaVuSans.ttf", cell / 12)

        self.pictures = [pictures for _, pictures in rows]
        labels = [label if isinstance(label, tuple) else ("", label) for label, _ in rows]
        self.groups = [escape.line(group) for group, _ in labels]
        self.colours = self._colours(colours)
        texts = [escape.line(text) for _, text in labels]
        if corner is not None:
            texts[0] = ""
        self.labels = [_label_lines(text, self.plain, 1.1 * cell) for text in texts]
        self.column_labels = [_cut(escape.line(text), self.plain, cell) for text in column_labels]

        lines = [line for label in self.labels for line in label]
        label_width = max((round(self.plain.getlength(line)) for line in lines), default=0)
        self.bar = round(1.2 * _line_height(self.heading)) if any(self.groups) else 0
        beside = self.bar + self.pad + label_width
        if corner is not None:
            beside = max(beside, round(CORNER * cell))
        self.left = self.pad + beside + self.pad
        columns = len(column_labels) * (cell + self.gap) - self.gap
        self.width = max(self.left + columns + self.pad, 3 * cell)

        self.title = _wrapped(title, self.heading, self.width - 2 * self.pad)
        self.footnote = _wrapped(footnote, self.small, self.width - 2 * self.pad)
        top = self.pad + len(self.title) * _line_height(self.heading)
        self.column_line = top + (self.pad // 2 if self.title else 0)
        self.tops = self._row_tops(self.column_line + _line_height(self.plain) + self.gap)
        self.footnote_top = self.tops[-1] + cell + self.pad
        footnote_height = len(self.footnote) * _line_height(self.small)
        self.height = self.footnote_top + (footnote_height + self.pad if self.footnote else 0)

    def _row_tops(self, top: int) -> list[int]:
        tops = []
        for index, group in enumerate(self.groups):
            if index:
                top += self.cell + (self.gap if group == self.groups[index - 1] else self.pad)
            tops.append(top)
        return tops

    def draw(self) -> Image.Image:
        page = Image.new("RGB", (self.width, self.height), PAPER)
        pen = ImageDraw.Draw(page)
        self._lines(pen, self.title, self.pad, self.heading, INK)
        self._lines(pen, self.footnote, self.footnote_top, self.small, FAINT_INK)
        lefts = [self.left + column * (self.cell + self.gap) for column in range(self.columns)]
        for left, text in zip(lefts, self.column_labels, strict=True):
            pen.text((left + self.cell // 2, self.column_line), text, INK, self.plain, anchor="ma")
        if self.corner is not None:
            self._corner(page, pen, *self.corner)
        for top, label, pictures in zip(self.tops, self.labels, self.pictures, strict=True):
            self._row_label(pen, top, label)
            for left, picture in zip(lefts, pictures, strict=True):
                page.paste(self._cell(picture, self.cell), (left, top))
        self._group_bars(page)
        return page

    @property
    def columns(self) -> int:
        return len(self.column_labels)

    def _lines(
        self,
        pen: ImageDraw.ImageDraw,
        lines: list[str],
        top: int,
        font: ImageFont.FreeTypeFont,
        colour: str,
    ) -> None:
        for line in lines:
            pen.text((self.pad, top), line, colour, font, anchor="la")
            top += _line_height(font)

    def _row_label(self, pen: ImageDraw.ImageDraw, top: int, lines: list[str]) -> None:
        step = _line_height(self.plain)
        middle = top + self.cell / 2 - step * (len(lines) - 1) / 2
        for line in lines:
            pen.text((self.left - self.pad, middle), line, INK, self.plain, anchor="rm")
            middle += step

    def _corner(
        self, page: Image.Image, pen: ImageDraw.ImageDraw, label: str, picture: Picture
    ) -> None:
        side = min(self.left - 2 * self.pad, self.cell)
        text = _cut(escape.line(label), self.plain, side)
        pen.text((self.pad + side // 2, self.column_line), text, INK, self.plain, anchor="ma")
        page.paste(self._cell(picture, side), (self.pad, self.tops[0]))

    def _cell(self, picture: Picture, side: int) -> Image.Image:
        if picture is None:
            return self._missing()
        image = picture if isinstance(picture, Image.Image) else picture_of(picture)
        scale = side / max(image.size)
        size = [max(1, round(length * scale)) for length in image.size]
        image = image.convert("RGB").resize((size[0], size[1]), Image.Resampling.LANCZOS)
        cell = Image.new("RGB", (side, side), PAPER)
        cell.paste(image, ((side - size[0]) // 2, (side - size[1]) // 2))
        return cell

    def _missing(self) -> Image.Image:
        cell = Image.new("RGB", (self.cell, self.cell), MISSING)
        pen = ImageDraw.Draw(cell)
        for start in range(-self.cell, self.cell, max(6, self.cell // 12)):
            pen.line((start, self.cell, start + self.cell, 0), HATCHING, width=2)
        middle = self.cell // 2
        box = pen.textbbox((middle, middle), "no picture", self.small, anchor="mm")
        pen.rectangle((box[0] - 4, box[1] - 4, box[2] + 4, box[3] + 4), MISSING)
        pen.text((middle, middle), "no picture", FAINT_INK, self.small, anchor="mm")
        return cell

    def _colours(self, chosen: Mapping[str, str]) -> dict[str, str]:
        names = list(dict.fromkeys(group for group in self.groups if group))
        free = [colour for colour in GROUP_COLOURS if colour not in chosen.values()]
        others = [name for name in names if name not in chosen]
        return {**chosen, **dict(zip(others, cycle(free or GROUP_COLOURS), strict=False))}

    def _group_bars(self, page: Image.Image) -> None:
        for group, places in groupby(range(len(self.groups)), key=lambda row: self.groups[row]):
            if not group:
                continue
            run = list(places)
            length = self.tops[run[-1]] + self.cell - self.tops[run[0]]
            bar = Image.new("RGB", (length, self.bar), self.colours[group])
            text = _cut(group, self.heading, length - self.pad)
            ImageDraw.Draw(bar).text(
                (length // 2, self.bar // 2), text, PAPER, self.heading, anchor="mm"
            )
            page.paste(bar.transpose(Image.Transpose.ROTATE_90), (self.pad, self.tops[run[0]]))


def picture_of(values: Tensor) -> Image.Image:
    """An image (3, H, W) in [0, 1] as a PIL image of 8 bits; values outside are clamped.

    Raises:
        InputError: another shape, or no floating point.
    """
    if values.dim() != 3 or values.shape[0] != 3 or not values.is_floating_point():
        raise InputError(
            f"a picture is a {values.dtype} tensor of shape {tuple(values.shape)}. "
            "Expected floating point (3, H, W) in [0, 1]"
        )
    steps = (values.detach().cpu().float().clamp(0, 1) * 255).round().to(torch.uint8)
    return Image.fromarray(steps.permute(1, 2, 0).contiguous().numpy())


def _font(name: str, size: float) -> ImageFont.FreeTypeFont:
    """A font that matplotlib ships: the same on every machine."""
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name
    return ImageFont.truetype(str(path), max(9, round(size)))


def _line_height(font: ImageFont.FreeTypeFont) -> int:
    return round(font.size * 1.25)


def _cut(text: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    """``text``, shortened with an ellipsis if it is wider than ``width`` pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"


def _label_lines(text: str, font: ImageFont.FreeTypeFont, width: float) -> list[str]:
    """A row's label; too long a one is broken after its first comma: "constant," "Na 0.8, …"."""
    if font.getlength(text) > width:
        text = text.replace(", ", ",\n", 1)
    return _wrapped(text, font, width)


def _wrapped(text: str, font: ImageFont.FreeTypeFont, width: float) -> list[str]:
    """Lines of ``text`` no wider than ``width`` pixels, broken at spaces; line breaks are kept."""
    lines = []
    for paragraph in text.splitlines():
        line = ""
        for word in escape.line(paragraph).split():
            longer = f"{line} {word}".strip()
            if line and font.getlength(longer) > width:
                lines.append(_cut(line, font, width))
                line = word
            else:
                line = longer
        lines.append(_cut(line, font, width))
    return lines
