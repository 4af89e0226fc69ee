"""Table 1 on this machine: the page and its claims, from figures made up here."""

from __future__ import annotations

import pytest

from robust.bench.measure import Row
from robust.bench.table_one import Printed
from robust.studies import table_one as study


def rows(*, live: float = 0.8, fused: float = 0.98, parameters: int = 1_930_000) -> list[Row]:
    plain, se = Printed(1.73, 1944), Printed(1.93, 1469)
    return [
        Row("plain", 1_730_000, 1.0, 1.0, 1.0, 1.0, plain, 1.0),
        Row("SE", parameters, 1.25, live, 0.7, 0.9, se, 0.7557),
        Row("ASR(SE)", 1_730_000, 1.0, fused, 0.9, 1.1, plain, 1.0),
    ]


def test_the_page() -> None:
    text = study.page({"cifar100": rows()}, batch=4, rounds=3)
    assert "| SE | 1.93 | 1.93 | 0.80 | 0.70 to 0.90 | 0.76 |" in text


@pytest.mark.parametrize(
    ("options", "answers"),
    [
        ({}, ["supported"] * 3),
        ({"live": 0.96}, ["supported", "contradicted", "supported"]),
        ({"fused": 0.94}, ["supported", "supported", "contradicted"]),
        ({"parameters": 1_940_000}, ["inconclusive", "supported", "supported"]),
    ],
)
def test_the_claims(options: dict[str, float], answers: list[str]) -> None:
    found = study.lines({"cifar100": rows(**options)})
    assert [line.answer for line in found] == answers
    assert found[1].found.endswith(f"plain: {options.get('live', 0.8):.2f} to "
                                   f"{options.get('live', 0.8):.2f} of its speed")  # fmt: skip
