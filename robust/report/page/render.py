"""A page as one HTML file that asks for nothing: styles, scripts and pictures are inside."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from robust.report import escape
from robust.report.colours import AT_NIGHT, GROUP_COLOURS
from robust.report.page.axis import axis
from robust.report.page.values import Compare, Curves, Dots, Page, Panel, Picture, Shown

HERE = Path(__file__).parent


def render(page: Page) -> str:
    """The page as HTML: equal pages give equal text.

    The content security policy lets it load nothing: its style and its script are known by their
    hashes, so that nothing in the data can become one either.
    """
    style, script = _style(), (HERE / "page.js").read_text(encoding="utf-8")
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; "
        f"script-src {_hash(script)}; base-uri 'none'; form-action 'none'"
    )
    return (
        _environment()
        .get_template("page.html")
        .render(page=page, style=Markup(style), script=Markup(script), policy=policy)
    )


def _style() -> str:
    """The style sheet, with the colours of variants by day and by night."""

    def colours(those: tuple[str, ...]) -> str:
        return "".join(f"--v{index}:{colour};" for index, colour in enumerate(those))

    text = (HERE / "page.css").read_text(encoding="utf-8")
    text = text.replace("/* day */", colours(GROUP_COLOURS))
    return text.replace("/* night */", colours(AT_NIGHT))


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_visible,
    )
    environment.filters["uri"] = uri
    environment.filters["json"] = in_script
    environment.globals.update(
        axis_of_dots=_axis_of_dots, axis_of_panel=_axis_of_panel, copies=copies, store=store,
        wraps=_wraps, widest=_widest, legend_of=_legend, band=_band, line=_line,
    )  # fmt: skip
    return environment


def _visible(value: Any) -> Any:
    """Names may hold control characters, and those that turn the direction of text."""
    return escape.line(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def uri(picture: Picture) -> Markup:
    """A picture as a ``data:`` address."""
    data = base64.b64encode(picture.data).decode()
    return Markup("data:{};base64,{}").format(picture.mime, Markup(data))


def in_script(value: Any) -> Markup:
    """JSON for a ``<script type="application/json">``: nothing in it ends the element."""
    text = json.dumps(value, separators=(",", ":"), sort_keys=True)
    return Markup(text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e"))


def copies(shown: Shown) -> Mapping[str, str]:
    """The table as each button copies it."""
    table = shown.table
    return {"CSV": table.csv(), "Markdown": table.markdown(), "LaTeX": table.latex()}


def store(compare: Compare) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What the script needs to compare: the choices, and for each image its pictures in base64.

    Equal pictures, such as those of IN in any batch, are there once.
    """
    choices = {
        "images": [escape.line(name) for name in compare.images],
        "noises": {noise: list(map(list, found)) for noise, found in compare.noises.items()},
        "order": list(compare.noises),
        "variants": list(map(list, compare.variants)),
        "start": {name: escape.line(value) for name, value in compare.start.items()},
    }
    pictures = []
    for found in compare.pictures:
        places = {data: place for place, data in enumerate(dict.fromkeys(found.values()))}
        pictures.append(
            {
                "places": {"|".join(key): places[data] for key, data in found.items()},
                "data": [base64.b64encode(data).decode() for data in places],
            }
        )
    return choices, pictures


def _axis_of_dots(dots: Dots) -> Any:
    points = [point for _, _, points, _ in dots.rows for point in points]
    return axis(_ends(points) + ([0.0] if dots.zero else []))


def _axis_of_panel(panel: Panel) -> Any:
    return axis(_ends(point for series in panel.series for point in series.points.values()))


def _ends(points: Any) -> list[float]:
    return [
        value
        for point in points
        for value in (point.mean, point.low, point.high)
        if value is not None
    ]


def _wraps(shown: Shown) -> bool:
    """Whether a table holds sentences, whose lines may be broken."""
    return any(len(c.text) > 40 for row in shown.table.rows for c in row[: shown.table.words])


def _widest(dots: Dots) -> int:
    return max((len(row[0]) for row in dots.rows), default=0)


def _legend(curves: Curves) -> dict[str, int]:
    found: dict[str, int] = {}
    for panel in curves.panels:
        for series in panel.series:
            found.setdefault(series.label, series.colour)
    return found


def _place(index: int, count: int) -> str:
    """The middle of a category's share of the x axis, in percent."""
    return f"{100 * (index + 0.5) / count:.2f}"


def _line(panel: Panel, series: Any, scale: Any) -> str:
    """The joined means, as the points of a polyline in a square of 100."""
    count = len(panel.places)
    return " ".join(
        f"{_place(index, count)},{scale.down(series.points[index].mean)}" for index in series.joined
    )


def _band(panel: Panel, series: Any, scale: Any) -> str:
    """The interval around the joined means, as a polygon; empty where one has none."""
    count, points = len(panel.places), [(i, series.points[i]) for i in series.joined]
    if len(points) < 2 or any(point.low is None or point.high is None for _, point in points):
        return ""
    upper = [f"{_place(i, count)},{scale.down(point.high)}" for i, point in points]
    lower = [f"{_place(i, count)},{scale.down(point.low)}" for i, point in reversed(points)]
    return " ".join(upper + lower)
