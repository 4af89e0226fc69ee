"""The page and the forest plot say what the verdicts say."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.patches import Rectangle
from protocols import declared, scores
from scipy import stats

from robust.protocol.page import changes, forest, page, short_table, table
from robust.protocol.scores import Findings, StyleLoss
from robust.protocol.verdicts import Verdict, decide
from robust.stats.power import visible_with

SEEDS = 12
STEPS = np.linspace(-2, 2, SEEDS)
FOUND = Findings(
    scores({"asr": 71 + STEPS, "plain": np.full(SEEDS, 70.0)}),
    [StyleLoss(0, image, 0.4, 0.6 + i / 100, 0.5) for i, image in enumerate("abcd")],
)


def verdicts() -> list[Verdict]:
    return decide(declared(SEEDS), FOUND)


def test_a_row_an_endpoint_with_its_command() -> None:
    rows = [[cell.text for cell in row] for row in table(verdicts(), "robust study paper").rows]
    assert len(rows) == 5
    half = 2.200985 * STEPS.std(ddof=1) / SEEDS**0.5
    p = 5 * 2 * stats.t.sf(1 / (STEPS.std(ddof=1) / SEEDS**0.5), SEEDS - 1)
    visible = visible_with(SEEDS, STEPS.std(ddof=1), paired=True)
    assert rows[0][2:] == [
        "+0.97 points", f"+1.00 [{1 - half:.2f}, {1 + half:.2f}] points; 12 seeds",
        f"{visible:.2f} points", f"{p:.2g}", "inconclusive", "robust study paper",
    ]  # fmt: skip
    assert rows[1][3:7] == ["0 of 12 seeds of frozen finished", "", "", "not tested"]
    assert rows[4][2] == "100 %"
    assert rows[4][3].endswith("%; 1 training seed: the interval is over images only (one seed)")
    assert rows[4][4] == "", "one seed says nothing of what several would see"
    assert rows[4][-1] == "robust study paper --style RUN"


def test_a_terminal_has_room_for_it() -> None:
    assert max(map(len, short_table(verdicts()).plain())) <= 80


def test_what_is_open_says_what_would_decide_it() -> None:
    own = verdicts()
    lines = changes(own)
    assert [line.split(":")[0][2:] for line in lines] == [
        "accuracy", "attention", "noise", "stripes", "style",
    ]  # fmt: skip
    assert "16 seeds would see an effect of 1 in points" in lines[0]
    supported = decide(
        declared(SEEDS), Findings(scores({"asr": 75 + STEPS, "plain": np.full(SEEDS, 70.0)}))
    )
    assert "- accuracy" not in "\n".join(changes(supported))


def test_the_page_names_the_file_the_data_and_the_picture() -> None:
    text = page(declared(SEEDS), verdicts(), "robust study paper", "gallery/forest.png")
    assert "SHA-256 `000000000000…`" in text
    assert "1,800 test images" in text
    assert "(gallery/forest.png)" in text
    assert text.count("| **not tested** |") == 4


def test_the_margin_is_around_0_or_around_the_published_effect() -> None:
    points, share = forest(verdicts()).axes
    shades = [
        [(p.get_x(), p.get_x() + p.get_width()) for p in axis.patches if isinstance(p, Rectangle)]
        for axis in (points, share)
    ]
    assert shades == [[(-1.0, 1.0)] * 4, [(80.0, 120.0)]]
    bars = [line for line in points.lines if list(line.get_ydata()) == [0, 0]]
    wide, narrow = (line.get_xdata() for line in bars)
    own = verdicts()[0]
    assert own.interval is not None
    assert own.narrow is not None
    assert list(wide) == pytest.approx([own.interval.low, own.interval.high])
    assert list(narrow) == pytest.approx([own.narrow.low, own.narrow.high])
    names = [label.get_text() for label in points.get_yticklabels()]
    assert names[0] == "accuracy\ninconclusive"


def test_the_legend_names_what_any_panel_shows() -> None:
    figure = forest(decide(declared(SEEDS), Findings([], FOUND.style)))
    (legend,) = figure.legends
    assert {text.get_text() for text in legend.get_texts()} == {"published", "ours", "margin"}
