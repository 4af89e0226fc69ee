"""All kinds alike: form, draws that are an image's own, severities, refusals."""

import re

import pytest
import torch
from corrupted import error, pictures
from hypothesis import given, settings
from hypothesis import strategies as st

from asr_core.errors import InputError
from robust.corruptions import FIXED, KINDS, SEVERITIES, TABLES, corrupt, table_for

OFFICIAL = [
    "gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur", "motion_blur",
    "zoom_blur", "snow", "frost", "fog", "brightness", "contrast", "elastic_transform", "pixelate",
    "jpeg_compression",
]  # fmt: skip
STEADY = sorted({"gaussian_noise", "shot_noise", "impulse_noise"} | FIXED)
"""Kinds whose published strength grows with each severity; of the others some figures go down."""


def test_the_kinds_are_the_official_ones_in_their_order_in_both_tables():
    assert list(KINDS) == OFFICIAL
    assert [list(table) for table in TABLES.values()] == [OFFICIAL, OFFICIAL]
    assert all(len(row) == 5 for table in TABLES.values() for row in table.values())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("table", TABLES)
def test_an_image_is_corrupted_alike_in_any_batch_and_order(kind, table):
    images, indices = pictures(40, 5), torch.tensor([4, 9, 2, 7, 0])
    order = torch.tensor([3, 0, 4])
    whole = corrupt(images, kind, 5, indices=indices, seed=3, table=table)
    part = corrupt(images[order], kind, 5, indices=indices[order], seed=3, table=table)
    assert torch.equal(part, whole[order])
    assert whole.dtype == torch.uint8
    assert whole.shape == images.shape
    assert not any(torch.equal(a, b) for a, b in zip(whole, images, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_draws_follow_seed_and_index_where_there_are_any(kind):
    images = pictures(32, 1).expand(2, -1, -1, -1)
    same = corrupt(images, kind, 4, indices=[5, 5], seed=1)
    other = corrupt(images, kind, 4, indices=[5, 6], seed=1)
    reseeded = corrupt(images, kind, 4, indices=[5, 5], seed=2)
    again = corrupt(images, kind, 4, indices=[5, 5], seed=1, draw=1)
    assert torch.equal(same[0], same[1])
    assert torch.equal(other[0], same[0])
    assert torch.equal(other[0], other[1]) == (kind in FIXED)
    assert torch.equal(reseeded[0], same[0]) == (kind in FIXED)
    assert torch.equal(again[0], same[0]) == (kind in FIXED)


def test_draws_of_severities_differ():
    grey = torch.full((1, 3, 32, 32), 128, dtype=torch.uint8)
    # The figures are alike but for σ: equal draws would give proportional changes.
    low, high = (
        corrupt(grey, "gaussian_noise", s, indices=[0], seed=0).double() - 128 for s in (1, 2)
    )
    assert abs(torch.corrcoef(torch.stack([low.flatten(), high.flatten()]))[0, 1]) < 0.1


def test_draws_of_kinds_differ(monkeypatch):
    """Kinds that draw the same numbers first would else disturb an image in the same places."""
    seeds = []

    def note(images, figures, draws):
        seeds.extend(draw.initial_seed() for draw in draws)
        return images

    for kind in KINDS:
        monkeypatch.setitem(KINDS, kind, note)
        corrupt(pictures(32, 2), kind, 1, indices=[0, 1], seed=0)
    assert len(seeds) == len(set(seeds)) == 30


def test_global_random_state_and_images_are_left_alone():
    images = pictures(32, 2)
    before, state = images.clone(), torch.get_rng_state()
    for kind in KINDS:
        corrupt(images, kind, 3, indices=[0, 1], seed=0)
    assert torch.equal(images, before)
    assert torch.equal(torch.get_rng_state(), state)


def test_large_batches_are_worked_on_in_parts_with_the_same_result(monkeypatch):
    images = pictures(32, 6)
    whole = [corrupt(images, kind, 2, indices=range(6), seed=0) for kind in KINDS]
    monkeypatch.setattr("robust.corruptions.batch._AT_ONCE", 4 * images[0].numel())
    parts = [corrupt(images, kind, 2, indices=range(6), seed=0) for kind in KINDS]
    assert all(torch.equal(a, b) for a, b in zip(whole, parts, strict=True))


@pytest.mark.parametrize("kind", STEADY)
@pytest.mark.parametrize("table", TABLES)
def test_the_change_grows_with_severity(kind, table):
    errors = [error(pictures(64), kind, severity, table) for severity in SEVERITIES]
    assert errors == sorted(errors)
    assert errors[4] > 1.5 * errors[0]


@pytest.mark.parametrize("kind", [k for k in OFFICIAL if k not in (*STEADY, "elastic_transform")])
@pytest.mark.parametrize("table", TABLES)
def test_the_last_severity_changes_more_than_the_first(kind, table):
    assert error(pictures(96), kind, 5, table) > error(pictures(96), kind, 1, table)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=12)
@given(height=st.integers(16, 70), width=st.integers(16, 70), severity=st.sampled_from(SEVERITIES))
def test_any_size_from_16_pixels_up_keeps_its_shape(kind, height, width, severity):
    image = pictures(70, 1)[..., :height, :width]
    for table in TABLES:
        result = corrupt(image, kind, severity, indices=["a name"], seed=0, table=table)
        assert result.shape == image.shape
        assert result.dtype == torch.uint8


@pytest.mark.parametrize(
    ("height", "width", "table"),
    [(32, 32, "32"), (64, 64, "32"), (96, 96, "224"), (224, 224, "224"), (300, 40, "32")],
)
def test_the_table_is_that_of_the_nearer_size(height, width, table):
    assert table_for(height, width) == table


def test_the_table_in_use_follows_the_size():
    images = pictures(32, 1)
    by_size = corrupt(images, "contrast", 1, indices=[0], seed=0)
    assert torch.equal(by_size, corrupt(images, "contrast", 1, indices=[0], seed=0, table="32"))
    assert not torch.equal(
        by_size, corrupt(images, "contrast", 1, indices=[0], seed=0, table="224")
    )


@pytest.mark.parametrize("severity", [0, 6, -1, 1.0, True, "1", None])
def test_other_severities_are_refused(severity):
    with pytest.raises(InputError, match=re.escape(repr(severity))):
        corrupt(pictures(32, 1), "fog", severity, indices=[0], seed=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"kind": "fogg"},
            r"unknown corruption 'fogg'. Did you mean 'fog'\? Known: gaussian_noise",
        ),
        ({"table": "64"}, r"unknown table of severities '64'.*224, 32"),
        ({"images": torch.rand(1, 3, 32, 32)}, r"must be uint8 .*float32 \(1, 3, 32, 32\)"),
        ({"images": torch.zeros(3, 32, 32, dtype=torch.uint8)}, r"must be uint8 .*\(3, 32, 32\)"),
        ({"images": torch.zeros(1, 1, 32, 32, dtype=torch.uint8)}, r"\(1, 1, 32, 32\)"),
        ({"images": torch.zeros(1, 3, 15, 32, dtype=torch.uint8)}, r"16×16 pixels or more"),
        ({"images": torch.zeros(0, 3, 32, 32, dtype=torch.uint8)}, r"expected at least one"),
        ({"indices": [0, 1]}, r"1 images have 2 indices"),
        ({"indices": [0.5]}, r"0.5 is not a whole number"),
        ({"seed": 0.5}, r"seed 0.5 is not a whole number"),
    ],
)
def test_what_cannot_be_corrupted_is_refused(change, message):
    given = {"images": pictures(32, 1), "kind": "fog", "severity": 1, "indices": [0], "seed": 0}
    with pytest.raises(InputError, match=message):
        corrupt(**(given | change))
