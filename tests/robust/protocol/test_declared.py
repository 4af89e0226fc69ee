"""The protocol file: what it may say, and that it says what was agreed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from protocols import declared, protocol

from asr_core.errors import InputError
from asr_core.recipes import load_recipe
from robust.protocol.declared import SHIPPED, read_protocol, require_declared


def test_the_shipped_protocol_declares_five_endpoints() -> None:
    shipped, sha256 = read_protocol()
    assert len(sha256) == 64
    assert [(e.a, e.b, e.on, e.margin, e.equal) for e in shipped.endpoints] == [
        ("asr", "plain", "clean", 1.0, False),
        ("asr", "frozen", "clean", 1.0, False),
        ("asr", "frozen", "noise", 1.0, False),
        ("live", "live, its gates at their means", "freezing", 1.0, True),
        ("bn+asr", "in", "style", 20.0, True),
    ]
    assert (shipped.correction, shipped.split, shipped.data) == ("holm", "test", "shapes")
    assert (shipped.noise.low, shipped.noise.high) == (0.3, 0.7)
    assert [shipped.seeds_of(arm) for arm in ("plain", "asr", "frozen", "live")] == [40, 40, 40, 12]


def test_live_attention_is_trained_to_the_papers_dose() -> None:
    """Stripes are a claim about long trainings: Σ learning rate × weight decay is the paper's."""
    recipe = read_protocol()[0].training_of("live", 0).config.recipe
    paper = load_recipe("resnet83-cifar100").decay_dose(50_000 // 128)
    assert recipe.decay_dose(18_000 // recipe.batch_size) == pytest.approx(paper, rel=0.02)


def test_another_byte_is_another_hash(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_bytes(SHIPPED.read_bytes() + b"\n")
    (same, one), (shipped, other) = read_protocol(file), read_protocol()
    assert same == shipped
    assert one != other


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"correction": "none"}, "correction"),
        ({"split": "validation"}, "split"),
        ({"colour": 1}, "colour"),
        ({"seeds": 1}, "seeds"),
        ({"arms": {"asr": {}}}, "unknown arm of the endpoint 'accuracy' 'plain'"),
        ({"endpoints": []}, "endpoints"),
    ],
)
def test_a_protocol_says_nothing_else(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        protocol(**changes)


def test_a_noise_rule_has_an_order_and_severities_of_its_noise() -> None:
    rule = {"kind": "random", "severities": ["0.1"], "low": 0.3, "high": 0.7}
    for change, words in (
        ({"low": 0.7}, "low is 0.7"),
        ({"severities": ["much"]}, "much"),
        ({"severities": ["0.20"]}, "written '0.2'"),
    ):
        with pytest.raises(InputError, match=words):
            protocol(noise={**rule, **change})


def test_an_arm_that_cannot_be_trained_is_named() -> None:
    with pytest.raises(InputError, match=r"arm 'asr'.*unknown mode 'asrs'"):
        protocol(arms={"plain": {}, "asr": {"mode": "asrs"}, "frozen": {}, "live": {}}).training_of(
            "asr", 0
        )


def test_more_seeds_than_declared_are_refused() -> None:
    with pytest.raises(InputError, match="seeds is 41; the protocol declares at most 40"):
        declared(41)
    assert declared(4).pilot == 4
    assert declared(40).pilot == 6


def test_a_deviation_is_named_with_both_values() -> None:
    with pytest.raises(InputError, match=r"endpoint 'a': margin is 2\.0, declared was 1\.0"):
        require_declared("endpoint 'a'", {"margin": 2.0}, {"margin": 1.0})
    with pytest.raises(InputError, match=r"margin is 2\.0, declared was None"):
        require_declared("endpoint 'a'", {"margin": 2.0}, {})
    require_declared("endpoint 'a'", {"margin": 1.0}, {"margin": 1.0})
