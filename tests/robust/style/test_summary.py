"""robust.style.summary and report: what is said follows from the numbers, whichever way."""

import io
import json
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from robust.stats.share import share_of
from robust.style.names import OWN_STATISTICS
from robust.style.objective import Objective
from robust.style.report import about, answers, details, markdown, print_report, table
from robust.style.results import CLEAN, Results, Row
from robust.style.summary import summarise

SEEDS, IMAGES = 3, 4
IN, BN = 1.0, 2.0


def results(
    noise: str = "batch",
    severities: tuple[str, ...] = ("1", "2", "8"),
    seeds: dict[str, list[int]] | None = None,
    spread: float = 0.01,
    **means: float,
) -> Results:
    """Losses of each norm; BN-like norms are 1 worse in a batch of 8, and BN is nearly IN alone."""
    made = Results(io.StringIO())
    chance = np.random.default_rng(0)
    common = chance.normal(scale=0.1, size=(SEEDS, IMAGES))
    for name, mean in means.items():
        norm = name.rstrip("_").replace("_", "+")
        for kind, severity in [(CLEAN, ""), *((noise, severity) for severity in severities)]:
            value = mean
            if norm != "in" and severity in ("8", "0.5,0.2"):
                value += 1.0
            if norm != "in" and severity == "1":
                value = 1.05
            for seed in (seeds or {}).get(norm, list(range(SEEDS))):
                for image in range(IMAGES):
                    found = value + common[seed, image] + chance.normal(scale=spread)
                    key = ("style", norm, kind, severity, seed, f"i{image}", "loss", found)
                    made.add([Row(*key, "mosaic", "running")])
    return made


def shares(made: Results) -> dict[tuple[str, str, str | None], dict[str, Any]]:
    found = summarise(made)["shares"]
    return {(s["situation"], s["variant"], s["against"]): s for s in found}


def test_a_share_is_fiellers_of_the_paired_tables() -> None:
    made = results(in_=IN, bn=BN, bn_asr=1.5)
    cells = {cell.norm: cell for cell in made.cells() if cell.noise == CLEAN}
    instance, batch, ours = (made.values(cells[norm], "loss") for norm in ("in", "bn", "bn+asr"))
    assert instance is not None
    assert batch is not None
    assert ours is not None
    expected = share_of(batch - ours, batch - instance)
    found = shares(made)[CLEAN, "bn+asr", None]
    assert (found["share"], found["low"], found["high"]) == (
        expected.share, expected.low, expected.high,
    )  # fmt: skip
    assert found["share"] == pytest.approx(0.5, abs=0.05)


def test_attacked_is_the_mean_over_the_attacks_without_controls() -> None:
    found = shares(results(in_=IN, bn=BN, bn_asr=1.5))
    # BN is 1 above IN in a batch of 2, and 2 above it in one of 8; BN+ASR 0.5 and 1.5
    assert found["batch, n = 2", "bn+asr", None]["share"] == pytest.approx(0.5, abs=0.05)
    assert found["batch, n = 8", "bn+asr", None]["share"] == pytest.approx(0.25, abs=0.05)
    assert found["batch, attacked", "bn+asr", None]["share"] == pytest.approx(0.5 / 1.5, abs=0.05)
    assert {situation for situation, *_ in found} == {
        CLEAN, "batch, n = 2", "batch, n = 8", "batch, attacked",
    }  # fmt: skip


def test_bn_on_the_pictures_own_statistics_is_compared_with_clean_bn() -> None:
    found = shares(results(in_=IN, bn=BN, bn_asr=1.5))
    assert found[CLEAN, OWN_STATISTICS, None]["share"] == pytest.approx(0.95, abs=0.03)
    assert not [key for key in found if key[1] == OWN_STATISTICS and key[0] != CLEAN]
    assert (CLEAN, OWN_STATISTICS, None) not in shares(
        results(severities=("2",), in_=IN, bn=BN, bn_asr=1.5)
    )


@pytest.mark.parametrize(
    ("ours", "answer", "words"),
    [
        (1.01, "supported", 'supports "comparable to IN"'),
        (1.50, "contradicted", 'contradicts "comparable to IN"'),
        (2.20, "contradicted", 'contradicts "comparable to IN"'),
        (1.10, "inconclusive", 'inconclusive whether "comparable to IN"'),
    ],
)
def test_the_headline_is_the_answer_to_the_papers_claim(
    ours: float, answer: str, words: str
) -> None:
    made = results(severities=("2",), in_=IN, bn=BN, bn_asr=ours, bn_frozen=1.7, bn_const=1.9)
    share = shares(made)["batch, attacked", "bn+asr", None]
    assert share["answer"] == answer
    (headline,) = summarise(made)["headlines"]
    assert headline.startswith("BN+ASR brings back ")
    assert f"% [{round(100 * share['low'])}, {round(100 * share['high'])}]" in headline
    assert f"of IN's advantage under batch noise (loss): {words}" in headline
    frozen = shares(made)["batch, attacked", "bn+frozen", None]
    assert f"the frozen gate {round(100 * frozen['share'])} % [" in headline
    assert "a constant gate 1" in headline


def test_a_headline_of_one_seed_does_not_speak_of_others() -> None:
    one = {norm: [0] for norm in ("in", "bn", "bn+asr")}
    made = results(severities=("2",), seeds=one, in_=IN, bn=BN, bn_asr=1.9)
    (headline,) = summarise(made)["headlines"]
    assert "(loss, over images only (one seed)): inconclusive" in headline
    assert {share["answer"] for share in summarise(made)["shares"]} == {"inconclusive"}


@pytest.mark.parametrize(
    ("control", "answer", "words"),
    [
        (1.8, "supported", "BN+ASR brings back more than BN+frozen: the difference is 3"),
        (1.2, "contradicted", "BN+ASR brings back less than BN+frozen: the difference is -3"),
        (1.5, "inconclusive", "inconclusive whether BN+ASR brings back more than BN+frozen"),
    ],
)
def test_a_control_is_compared_by_the_difference_of_the_shares(
    control: float, answer: str, words: str
) -> None:
    found = shares(results(severities=("2",), in_=IN, bn=BN, bn_asr=1.5, bn_frozen=control))
    against = found[CLEAN, "bn+asr", "bn+frozen"]
    assert against["answer"] == answer
    assert words in against["sentence"]
    ours, theirs = (found[CLEAN, norm, None]["share"] for norm in ("bn+asr", "bn+frozen"))
    assert against["share"] == pytest.approx(ours - theirs)


@pytest.mark.parametrize("bn", [IN, 0.5])
def test_without_an_advantage_there_is_no_share_and_it_says_so(bn: float) -> None:
    summary = summarise(results(severities=("2",), spread=0.1, in_=IN, bn=bn, bn_asr=0.7))
    (headline,) = summary["headlines"]
    assert (
        "Under batch noise IN is not seen to have an advantage over BN (loss: BN - IN" in headline
    )
    for share in summary["shares"]:
        assert share["share"] is None
        assert share["answer"] == "not tested"
        assert "no share for BN+ASR" in share["sentence"]
    assert "not defined" in "\n".join(table(summary).plain())


def test_only_seeds_that_all_have_are_paired() -> None:
    seeds = {"in": [0, 1, 2], "bn": [0, 1], "bn+asr": [1, 2]}
    found = shares(results(seeds=seeds, in_=IN, bn=BN, bn_asr=1.5))
    assert found[CLEAN, "bn+asr", None]["advantage"]["over"] == "images only (one seed)"
    none = shares(results(seeds={"in": [0], "bn": [1], "bn+asr": [2]}, in_=IN, bn=BN, bn_asr=1.5))
    assert not [key for key in none if key[1] == "bn+asr"]


@pytest.mark.parametrize("lacking", ["in_", "bn", "bn_asr"])
def test_without_one_of_the_three_there_is_no_answer(lacking: str) -> None:
    means = {"in_": IN, "bn": BN, "bn_asr": 1.5}
    del means[lacking]
    (headline,) = summarise(results(**means))["headlines"]
    assert headline.startswith("No answer")


def test_all_noises_have_a_headline_each() -> None:
    made = results(in_=IN, bn=BN, bn_asr=1.5)
    constant = results("constant", ("0.8,0.8", "0.5,0.2"), in_=IN, bn=BN, bn_asr=1.5)
    for (cell, metric), sums in constant._sums.items():
        made._sums[cell, metric] = sums
    first, second = summarise(made)["headlines"]
    assert "under batch noise" in first
    assert "under constant noise" in second


def test_cells_hold_means_with_intervals_over_seeds_and_images() -> None:
    made = results(in_=IN, bn=BN, bn_asr=1.5)
    summary = summarise(made, Objective(1.0, 4.0, "recipe of x"))
    cell = next(c for c in summary["cells"] if c["norm"] == "bn" and c["severity"] == "8")
    values = made.values(next(c for c in made.cells() if c[:3] == ("bn", "batch", "8")), "loss")
    assert values is not None
    assert cell["metrics"]["loss"]["mean"] == pytest.approx(values.mean())
    assert cell["metrics"]["loss"]["low"] < values.mean() < cell["metrics"]["loss"]["high"]
    assert cell["metrics"]["loss"]["over"] == "seeds and images"
    assert cell["label"] == "batch, n = 8"
    assert summary["loss"]["style_weight"] == 4.0
    json.dumps(summary, allow_nan=False)


def test_equal_pictures_give_json_without_infinity() -> None:
    made = Results(io.StringIO())
    for seed in range(2):
        key = ("style", "in", "batch", "4", seed, "a", "psnr_to_clean", float("inf"))
        made.add([Row(*key, "mosaic", "instance")])
    assert "equal pictures" in json.dumps(summarise(made), allow_nan=False)


# --- views ----------------------------------------------------------------------------------------


def everything() -> dict[str, Any]:
    """A summary with all variants and metrics, and numbers that take room."""
    made = results(in_=IN, bn=BN, bn_asr=3.5, bn_frozen=1.7, bn_const=1.9)
    for metric in ("style_loss", "content_loss", "lpips_to_in", "blur", "grid_energy"):
        for (cell, _), sums in list(made._sums.items()):
            made._sums[cell, metric] = sums
    return summarise(made, Objective(1.0, 4.0, "recipe of x"))


def shown(summary: dict[str, Any], *, verbose: bool = False, width: int = 80) -> list[str]:
    text = io.StringIO()
    print_report(summary, Console(file=text, width=width), verbose=verbose)
    return text.getvalue().splitlines()


def test_the_terminal_shows_the_headline_first_and_a_table_of_80_columns() -> None:
    summary = everything()
    lines = shown(summary)
    (headline,) = summary["headlines"]
    assert " ".join(" ".join(lines).split()).startswith(headline)
    assert max(map(len, lines)) <= 80
    made = table(summary)
    assert max(map(len, made.plain())) <= 80
    # no cell is wrapped: a line for each row of the table
    body = [line for line in lines if line.startswith("│")]
    assert len(body) == len(made.rows)
    rows = [[cell.text for cell in row] for row in made.rows]
    assert [row[:2] for row in rows[:5]] == [
        ["IN", "any n"], ["BN", "clean"], ["BN", "n = 1, own"], ["BN", "n = 2"],
        ["BN", "n = 8"],
    ]  # fmt: skip
    assert [row[1] for row in rows if row[0] == "BN+ASR"] == ["clean", "n = 2", "n = 8"]
    assert made.head[2:] == ("loss", "style", "content", "LPIPS", "brings back, %")


def test_the_table_says_where_the_deficit_is() -> None:
    summary = everything()
    assert "Most of BN's deficit is in its running statistics" in table(summary).caption
    made = results(in_=IN, bn=1.06, bn_asr=1.05)  # alone in its batch BN is as bad as ever
    caption = table(summarise(made)).caption
    assert "not seen to be mostly in its running statistics" in caption
    without = results(severities=("2",), in_=IN, bn=BN, bn_asr=1.5)
    assert "statistics" not in table(summarise(without)).caption


def test_details_come_when_asked_for_and_hold_every_cell_and_sentence() -> None:
    summary = everything()
    few, all_of_it = shown(summary), shown(summary, verbose=True, width=200)
    assert len(all_of_it) > len(few) + len(summary["shares"])
    text = "\n".join(all_of_it)
    for share in summary["shares"]:
        assert share["sentence"] in text
    assert len(details(summary).rows) == len(summary["cells"])
    assert "1 · content + 4 · style" in about(summary)
    assert about(summary) in " ".join(text.split())
    assert set(answers(summary)) == {CLEAN, "batch, n = 2", "batch, n = 8", "batch, attacked"}


def test_markdown_holds_the_same_tables() -> None:
    summary = everything()
    text = markdown(summary)
    assert table(summary).markdown() in text
    assert details(summary).markdown() in text
    assert text.startswith(f"**{summary['headlines'][0]}**")


def test_the_caption_names_the_loss_network() -> None:
    made = results(in_=IN, bn=1.0, bn_asr=0.7)
    assert "0.7 · style; share" in table(summarise(made)).caption
    caption = table(summarise(made, loss_network="VGG16 (ImageNet)")).caption
    assert "0.7 · style, by VGG16 (ImageNet); share" in caption
