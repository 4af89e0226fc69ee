"""robust.style.summary: the answer in words follows from the numbers, either way."""

import io
import json

import numpy as np
import pytest

from robust.style.report import print_report
from robust.style.results import CLEAN, Results, Row
from robust.style.summary import QUESTION, summarise

SEEDS, IMAGES = 3, 4


def results(**blur: float) -> Results:
    """Blur of each norm, with a little scatter that pairing removes; attacked is 0.1 worse."""
    made = Results(io.StringIO())
    scatter = np.random.default_rng(0).normal(scale=0.05, size=(SEEDS, IMAGES))
    noise = np.random.default_rng(1).normal(scale=1e-4, size=(4, SEEDS, IMAGES))
    for index, (norm, mean) in enumerate(blur.items()):
        name = norm.replace("_", "+").removesuffix("+")
        for kind, severity, shift in ((CLEAN, "", 0.0), ("batch", "1", 0.0), ("batch", "4", 0.1)):
            moved = 0.0 if name == "in" else shift
            for seed in range(SEEDS):
                for image in range(IMAGES):
                    value = mean + moved + scatter[seed, image] + noise[index, seed, image]
                    key = ("style", name, kind, severity, seed, f"i{image}", "blur", value)
                    made.add([Row(*key, "mosaic", "running")])
    return made


def answers(made: Results) -> dict[tuple[str, str], str]:
    verdicts = summarise(made)["verdicts"]
    return {(v["situation"], v["against"]): v["answer"] for v in verdicts}


def test_closer_than_bn_but_not_than_the_control() -> None:
    found = answers(results(in_=0.3, bn=0.5, bn_asr=0.4, bn_const=0.35))
    assert found[CLEAN, "bn"] == "supported"
    assert found[CLEAN, "bn+const"] == "contradicted"
    assert found["batch, attacked", "bn"] == "supported"


def test_no_difference_where_the_interval_spans_zero() -> None:
    found = answers(results(in_=0.3, bn=0.4, bn_asr=0.4, bn_const=0.4))
    assert set(found.values()) == {"inconclusive"}


def test_overshooting_in_is_a_gap_too() -> None:
    # Sharper than IN by 0.2 is farther from IN than blurrier by 0.1.
    assert (
        answers(results(in_=0.4, bn=0.5, bn_asr=0.2, bn_const=0.5))[CLEAN, "bn"] == "contradicted"
    )


def test_controls_do_not_count_as_attacks() -> None:
    summary = summarise(results(in_=0.3, bn=0.5, bn_asr=0.4, bn_const=0.4))
    together = next(v for v in summary["verdicts"] if v["situation"] == "batch, attacked")
    alone = next(v for v in summary["verdicts"] if v["situation"] == "batch, n = 4")
    assert together["mean"] == pytest.approx(alone["mean"])
    situations = {v["situation"] for v in summary["verdicts"]}
    assert situations == {CLEAN, "batch, n = 1 (control)", "batch, n = 4", "batch, attacked"}


def test_cells_hold_means_with_intervals_over_seeds_and_images() -> None:
    made = results(in_=0.3, bn=0.5, bn_asr=0.4, bn_const=0.4)
    cell = next(c for c in summarise(made)["cells"] if c["norm"] == "bn" and c["severity"] == "4")
    values = made.values(made.cells()[5], "blur")
    assert values is not None
    assert made.cells()[5].norm == "bn"
    assert cell["metrics"]["blur"]["mean"] == pytest.approx(values.mean())
    assert cell["metrics"]["blur"]["low"] < values.mean() < cell["metrics"]["blur"]["high"]
    assert cell["metrics"]["blur"]["over"] == "seeds and images"
    assert cell["label"] == "batch, n = 4"


def test_without_a_reference_the_question_is_not_answered() -> None:
    summary = summarise(results(bn=0.5, bn_asr=0.4))
    assert not summary["verdicts"]
    assert summary["question"] == QUESTION


def test_equal_pictures_give_json_without_infinity() -> None:
    made = Results(io.StringIO())
    for seed in range(2):
        key = ("style", "in", "batch", "4", seed, "a", "psnr_to_clean", float("inf"))
        made.add([Row(*key, "mosaic", "instance")])
    text = json.dumps(summarise(made), allow_nan=False)
    assert "equal pictures" in text


def test_the_terminal_shows_every_cell_and_verdict() -> None:
    from rich.console import Console

    text = io.StringIO()
    summary = summarise(results(in_=0.3, bn=0.5, bn_asr=0.4, bn_const=0.35))
    print_report(summary, Console(file=text, width=160))
    shown = text.getvalue()
    for words in ("IN", "BN+ASR", "BN+const", "running", "batch, n = 1 (control)", QUESTION):
        assert words in shown
    for verdict in summary["verdicts"]:
        if verdict["situation"] in (CLEAN, "batch, attacked"):
            assert verdict["sentence"] in shown
    mean = summary["cells"][0]["metrics"]["blur"]["mean"]
    assert f"{mean:.3f} ± " in shown
