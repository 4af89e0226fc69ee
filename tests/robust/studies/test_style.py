"""The style networks' page: what it says of the paper's claims."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from robust.stats.intervals import Interval
from robust.studies import style as study

RANGES = {"supported": (0.1, 0.2), "contradicted": (-0.2, -0.1), "inconclusive": (-0.1, 0.2)}


def verdict(situation: str, against: str, answer: str) -> dict[str, Any]:
    low, high = RANGES[answer]
    numbers = {"mean": (low + high) / 2, "low": low, "high": high, "over": "seeds and images"}
    return {"situation": situation, "against": against, **numbers}


def summaries(answers: dict[str, list[str]]) -> dict[str, dict[str, Any]]:
    """Both styles under each noise: the verdicts against BN, and one against the control."""
    return {
        f"{style}, {noise} noise": {
            "verdicts": [
                verdict("clean", "bn", "supported"),
                *(verdict(f"{noise}, attacked", "bn", each) for each in answers[noise]),
                verdict(f"{noise}, attacked", "bn+const", "contradicted"),
            ]
        }
        for style in ("mosaic", "waves")
        for noise in answers
    }


def test_lines_count_the_verdicts_of_each_noise() -> None:
    none = "inconclusive"
    answers = {
        "constant": [none, none], "random": ["supported", "contradicted"], "batch": ["supported"],
    }  # fmt: skip
    blur = {
        "mosaic": Interval(0.05, 0.01, 0.09, "seeds"),
        "waves": Interval(0.05, -0.01, 0.11, "seeds"),
    }
    more, *lines = study.lines(summaries(answers), blur)
    assert more.answer == "inconclusive"
    assert more.found.endswith("mosaic +0.050 [0.010, 0.090], waves +0.050 [-0.010, 0.110]")
    found = {line.command.split()[4]: line for line in lines}
    assert {noise: line.answer for noise, line in found.items()} == {
        "constant": "inconclusive", "random": "inconclusive", "batch": "supported",
    }  # fmt: skip
    assert found["constant"].found.startswith("closer to IN than BN: 0 of 4 verdicts; than BN+c")
    assert "than BN: 2 of 4 verdicts, farther 2;" in found["random"].found
    assert found["batch"].found == (
        "closer to IN than BN: 2 of 2 verdicts; than BN+const: 0 of 2 verdicts, farther 2"
    )


def test_more_blur_is_paired_over_draws_and_severities(tmp_path: Path) -> None:
    """By hand: IN 1, 2 on two images; BN's two draws are 1 above on average, the control aside."""
    rows = ["norm,noise,severity,seed,image,metric,value"]
    for image, base in (("a", 1), ("b", 2)):
        for severity in ("2", "4"):
            rows.append(f"in,batch,{severity},0,{image},blur,{base}")
            rows += [f"bn,batch,{severity},0,{image},blur,{base + more}" for more in (0.5, 1.5)]
        rows.append(f"bn,batch,1,0,{image},blur,99")
        rows.append(f"bn,batch,2,0,{image},ssim,99")
        rows.append(f"bn,clean,,0,{image},blur,99")
    rows.append("bn,batch,4,0,b,blur,7.5")
    file = tmp_path / "metrics.csv"
    file.write_text("\n".join(rows) + "\n")
    # image b, severity 4: draws 2.5, 3.5, 7.5, so 2.5 above; with severity 2, (1 + 2.5) / 2
    assert study.more_blur(file).mean == pytest.approx((1 + 1.75) / 2)
