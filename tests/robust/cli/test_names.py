"""robust.cli.names: what is written once more agrees with the registries, and needs no torch."""

import importlib
from collections.abc import Callable, Sequence

import pytest

from asr_core.asr.gate import CONTROLS
from asr_core.attention import ATTENTIONS
from asr_core.models import MODES
from asr_core.recipes import SCHEDULES
from robust.bench.measure import DATA_SHAPES
from robust.cli import names
from robust.norm_noise import GRANULARITIES
from styletransfer.zoo import shipped


@pytest.mark.parametrize("registry", names.REGISTRIES)
def test_the_names_of_a_registry_are_all_there_in_its_order(registry: str) -> None:
    module, _, attribute = registry.partition(":")
    for package in ("asr_core.attention", "asr_core.data", "robust.suites"):
        importlib.import_module(package)  # where the entries are made
    entries = list(getattr(importlib.import_module(module), attribute))
    assert entries
    assert [*names.REGISTRIES[registry]] == [name for name in entries if name != "folder"]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (names.GRANULARITIES, GRANULARITIES),
        (names.MODES, MODES),
        (names.SCHEDULES, SCHEDULES),
        (names.SHAPES, list(DATA_SHAPES)),
    ],
)
def test_the_words_of_an_option_are_the_librarys(
    ours: Sequence[str], theirs: Sequence[str]
) -> None:
    assert list(ours) == list(theirs)


def test_controls_are_a_module_that_does_not_learn_and_the_modes_of_the_others() -> None:
    own = [name for name in ATTENTIONS if not ATTENTIONS[name].learns]
    assert [*names.CONTROLS] == [*own, *CONTROLS]
    assert set(CONTROLS) < set(names.MODES)


def test_one_module_cannot_be_a_gate() -> None:
    assert [name for name in ATTENTIONS if ATTENTIONS[name].asr_refusal] == [names.LIVE_ONLY]


def test_the_seeds_that_ship_are_those_of_the_files() -> None:
    for style in names.styles():
        seeds = {network.seed for network in shipped() if network.style == style}
        assert names.shipped_seeds(style) == sorted(seeds)
    assert names.shipped_seeds("mosaic")
    assert names.shipped_seeds("cubism") == []


@pytest.mark.parametrize(
    ("registry", "known"),
    [
        ("asr_core.attention.base:ATTENTIONS", names.attentions),
        ("styletransfer.images.drawn:STYLES", names.styles),
    ],
)
def test_what_users_register_is_known_once_it_is_loaded(
    registry: str, known: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    module, _, attribute = registry.partition(":")
    entries = getattr(importlib.import_module(module), attribute)._entries
    monkeypatch.setitem(entries, "mine", object())
    assert known()[-1] == "mine"
