"""robust.data_card.card and page: each condition alone refuses a set; the page says which."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import ttest_ind

from asr_core.data import ImageSet, MemorySplit
from asr_core.errors import InputError
from robust.data_card.card import Card, Duplicates, Scores, Trained
from robust.data_card.page import lines, markdown, sheet, table, verdict

GOOD = Card(
    name="good",
    classes=20,
    image_size=32,
    sizes=(18_000, 2_000, 10_000),
    seen=(18_000, 2_000, 10_000),
    chance=0.05,
    qda=Scores(validation=0.06, test=0.05),
    logistic=Scores(validation=0.08, test=0.14),
    duplicates=(Duplicates(part="test", other="train", images=10_000, exact=3, near=4),),
    network=Trained(recipe="net-good", epochs=30, test=(0.8, 0.81, 0.82), train=(0.9, 0.9, 0.9)),
)


def test_a_good_set_is_admitted() -> None:
    assert GOOD.verdict == "admitted"
    assert verdict(GOOD).startswith("admitted")
    assert Card.from_dict(GOOD.as_dict()) == GOOD


@pytest.mark.parametrize(
    ("changes", "condition"),
    [
        ({"qda": Scores(validation=0.05, test=0.0751)}, "first-order QDA"),
        ({"qda": Scores(validation=0.0751, test=0.05)}, "first-order QDA"),
        ({"logistic": Scores(validation=0.151, test=0.1)}, "logistic on pixels"),
        ({"network": Trained(recipe="n", epochs=1, test=(0.59,), train=(0.6,))}, "small network"),
        ({"network": Trained(recipe="n", epochs=1, test=(0.93,), train=(0.6,))}, "small network"),
        (
            {"duplicates": (Duplicates(part="test", other="train", images=99, exact=1, near=0),)},
            "test images in training",
        ),
    ],
)
def test_each_condition_alone_refuses(changes: dict[str, Any], condition: str) -> None:
    card = replace(GOOD, **changes)
    assert card.verdict == "not admitted"
    assert [check.name for check in card.checks if not check.ok] == [condition]
    low = card.network is not None and card.network.mean < 0.6
    assert verdict(card) == f"not admitted: {condition} too {'low' if low else 'high'}"
    rows = {row[0].text: row[-1].text for row in table(card).rows}
    assert {name: met for name, met in rows.items() if met != "yes"} == {condition: "no"}


def test_without_a_network_nothing_is_admitted() -> None:
    quick = replace(GOOD, network=None)
    assert quick.verdict == "not decided"
    assert "small network" in verdict(quick)
    assert quick.visible == []
    assert quick.visible_in_images is None
    bad = replace(quick, qda=Scores(validation=1, test=1))
    assert bad.verdict == "not admitted"


def test_a_bound_is_never_above_one() -> None:
    """Of two classes, three times chance would be 150 %."""
    card = replace(GOOD, chance=0.5)
    assert [check.bounds for check in card.checks[:2]] == [(0, 0.75), (0, 1)]


def test_visible_effects_are_seen_by_four_of_five_studies() -> None:
    """By simulation: t tests of two kinds whose seeds deviate as the card says."""
    effects = dict(GOOD.visible)
    assert list(effects) == sorted(effects)
    assert effects[40] < effects[10] < effects[5]
    random, deviation = np.random.default_rng(0), 0.01
    one = random.normal(0, deviation, (4000, 10))
    other = random.normal(effects[10], deviation, (4000, 10))
    found = (ttest_ind(one, other, axis=1).pvalue < 0.05).mean()
    assert found == pytest.approx(0.8, abs=0.03)


def test_one_seed_has_no_deviation() -> None:
    card = replace(GOOD, network=Trained(recipe="n", epochs=1, test=(0.8,), train=(0.8,)))
    assert card.visible == []
    assert not any("deviation" in line for line in lines(card))


def test_the_page_fits_eighty_columns_and_says_everything() -> None:
    assert all(len(line) <= 80 for line in table(GOOD).plain())
    page = markdown(GOOD, "robust data card <good>")
    for value in ("80.00%", "1.00 points", "18,000", "1.20", "net-good", "card &lt;good"):
        assert value in page, value
    part = replace(GOOD, seen=(9, 9, 9))
    assert any("looked at 9" in line for line in lines(part))


def test_cards_hold_shares() -> None:
    with pytest.raises(InputError, match=r"1\.5"):
        replace(GOOD, chance=1.5)


def test_a_sheet_has_a_column_a_class() -> None:
    labels = torch.tensor([1, 0, 1, 1, 0, 1])
    images = (labels * 100 + torch.arange(6)).byte()[:, None, None, None].expand(-1, 3, 4, 4)
    part = MemorySplit(images.contiguous(), labels)
    half = (0.5, 0.5, 0.5)
    found = sheet(ImageSet("two", ("a", "b"), 4, half, half, part, part, part))
    assert found.shape == (3, 11, 11)
    middles = (found[0, 3::5, 3::5] * 255).round().tolist()
    assert middles == [[1, 100], [4, 102]]
