"""Several runs of one kind side by side: rows that match stand together, the rest is named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from asr_core.errors import InputError
from asr_core.saving.files import in_utf8
from robust.report.page.build import kind_of, page_of
from robust.report.page.values import (
    Answered,
    Block,
    Dots,
    Facts,
    Page,
    Section,
    Shown,
    Text,
)
from robust.report.table import Cell, Table

_NAMED = 6
"""Rows without a match that are named, of a table of a run."""


def several_page(folders: Sequence[Path]) -> Page:
    """The page of the runs in ``folders``, each named by its folder.

    Rows of tables match where their words do (variant, noise, statistics), columns by their titles.

    Raises:
        InputError: runs of several kinds, or as :func:`robust.report.page.build.page_of`.
    """
    kinds = {in_utf8(folder): kind_of(folder) for folder in folders}
    if len(set(kinds.values())) > 1:
        told = "; ".join(f"{folder}: {kind}" for folder, kind in kinds.items())
        raise InputError(f"only runs of one kind stand side by side, got {told}")
    pages = dict(zip(_names(folders), map(page_of, folders), strict=True))
    answers = [
        Answered(f"{name}: {each.question}", each.sentence, each.verdict, each.note)
        for name, page in pages.items()
        for each in page.answers
    ]
    tables, unmatched = [], []
    for title in dict.fromkeys(shown.title for page in pages.values() for shown in _tables(page)):
        found = {
            name: shown
            for name, page in pages.items()
            for shown in _tables(page)
            if shown.title == title
        }
        if len(found) < len(pages):
            unmatched.append(f"{title}: only in {_listed(found)}.")
            continue
        merged, lines = _matched(title, found)
        unmatched += lines
        if merged.table.rows:
            tables.append(merged)
        else:
            unmatched.append(f"{title}: no row is in all.")
    facts = {name: dict(_facts(page)) for name, page in pages.items()}
    sections = [
        Section("tables", "Tables", tables),
        Section(
            "unmatched", "What does not match", [Text(unmatched or ["Every row and every column."])]
        ),
        Section("made", "How they were made", list(_made(facts))),
    ]
    return Page(f"{' · '.join(pages)}", answers, list(_lead(pages)), sections)


def _names(folders: Sequence[Path]) -> list[str]:
    """Names of folders, numbered where they are alike."""
    names: list[str] = []
    for folder in folders:
        name = in_utf8(folder.resolve().name)
        while name in names:
            name = f"{name} ({len(names) + 1})"
        names.append(name)
    return names


def _tables(page: Page) -> Iterator[Shown]:
    for section in page.sections:
        yield from (block for block in section.blocks if isinstance(block, Shown))


def _facts(page: Page) -> Iterator[tuple[str, str]]:
    for section in page.sections:
        for block in section.blocks:
            if isinstance(block, Facts):
                for term, value in block.rows:
                    yield term, value if isinstance(value, str) else "\n".join(value)


def _lead(pages: dict[str, Page]) -> Iterator[Block]:
    """The runs' dot plots on one axis, where all have one of the same title."""
    dots = {
        name: [block for block in page.lead if isinstance(block, Dots)]
        for name, page in pages.items()
    }
    for first in next(iter(dots.values())):
        alike = {
            name: same
            for name, found in dots.items()
            if (same := next((each for each in found if each.title == first.title), None))
        }
        if len(alike) < len(pages):
            continue
        labels = dict.fromkeys(row[0] for each in alike.values() for row in each.rows)
        rows = [
            (f"{label}, {name}", row[1], row[2], row[3])
            for label in labels
            for name, each in alike.items()
            for row in each.rows
            if row[0] == label
        ]
        legends = {each.legend for each in alike.values()}
        legend = first.legend if len(legends) == 1 else first.legend and ("clean", "under noise")
        yield Dots(first.title, rows, legend, _captions(alike), first.zero)
        return


def _captions(found: dict[str, Dots]) -> str:
    """What all say, or what each does."""
    if len({dots.caption for dots in found.values()}) == 1:
        return next(iter(found.values())).caption
    return " ".join(f"{name}: {dots.caption}" for name, dots in found.items())


def _matched(title: str, found: dict[str, Shown]) -> tuple[Shown, list[str]]:
    """One table of the rows and columns that all have, and a line on each that one lacks."""
    words = min(shown.table.words for shown in found.values())
    first = next(iter(found.values()))
    columns = [
        column
        for column in first.table.head[words:]
        if all(column in shown.table.head[words:] for shown in found.values())
    ]
    by_key = {name: _by_key(shown.table, words) for name, shown in found.items()}
    keys = dict.fromkeys(key for rows in by_key.values() for key in rows)
    common = [key for key in keys if all(key in rows for rows in by_key.values())]
    rows: list[list[str | Cell]] = [
        [
            *key,
            *(
                by_key[name][key][shown.table.head.index(column)]
                for column in columns
                for name, shown in found.items()
            ),
        ]
        for key in common
    ]
    heads = zip(*(shown.table.head[:words] for shown in found.values()), strict=True)
    of_words = [" / ".join(dict.fromkeys(titles)) for titles in heads]
    head = [*of_words, *(f"{c}, {name}" for c in columns for name in found)]
    lines = []
    for name, shown in found.items():
        lonely = [column for column in shown.table.head[words:] if column not in columns]
        if lonely:
            lines.append(f"{title}: columns only in {name}: {', '.join(lonely)}.")
        missing = [key for key in by_key[name] if key not in common]
        if missing:
            lines.append(
                f"{title}: {len(missing)} rows of {name} are not in all: "
                + "; ".join(", ".join(filter(None, key)) for key in missing[:_NAMED])
                + (", …" if len(missing) > _NAMED else ".")
            )
    return Shown(Table(head, rows, words=words), title, first.terms), lines


def _by_key(table: Table, words: int) -> dict[tuple[str, ...], tuple[Cell, ...]]:
    """Rows by their words; of rows with equal words, which cannot be matched, the first."""
    found: dict[tuple[str, ...], tuple[Cell, ...]] = {}
    for row in table.rows:
        found.setdefault(tuple(cell.text for cell in row[:words]), row)
    return found


def _made(facts: dict[str, dict[str, str]]) -> Iterator[Block]:
    """Facts that differ, a column a run; then those that are alike."""
    terms = dict.fromkeys(term for found in facts.values() for term in found)
    alike, differ = [], []
    for term in terms:
        values = [found.get(term, "–") for found in facts.values()]
        if len(set(values)) == 1:
            alike.append((term, values[0].split("\n")))
        else:
            differ.append(
                (term, [f"{name}: {line}" for name, value in zip(facts, values, strict=True)
                        for line in value.split("\n")])
            )  # fmt: skip
    if differ:
        yield Text(["These differ:"])
        yield Facts(differ)
    if alike:
        yield Text(["These are alike:"])
        yield Facts(alike)


def _listed(names: dict[str, Shown]) -> str:
    return ", ".join(names)
