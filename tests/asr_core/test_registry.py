"""asr_core.registry: names in order, duplicates refused, unknown names answered with the known."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr_core.errors import InputError
from asr_core.registry import Registry, unknown_name

names = st.text(st.characters(categories=["Ll", "Nd"]), min_size=1, max_size=8)


@pytest.fixture
def noises() -> Registry[Callable[[], str]]:
    registry: Registry[Callable[[], str]] = Registry("noise")

    @registry.register("batch")
    def batch() -> str:
        return "b"

    @registry.register("constant")
    def constant() -> str:
        return "c"

    return registry


def test_an_entry_is_found_under_its_name(noises: Registry[Callable[[], str]]) -> None:
    assert (noises["batch"](), noises["constant"]()) == ("b", "c")


def test_the_decorator_leaves_the_object_alone() -> None:
    def function() -> None: ...

    assert Registry("noise").register("batch")(function) is function


def test_membership_and_iteration(noises: Registry[Callable[[], str]]) -> None:
    assert "batch" in noises
    assert "random" not in noises
    assert list(noises) == noises.names() == ["batch", "constant"]


def test_the_list_of_names_is_a_copy(noises: Registry[Callable[[], str]]) -> None:
    noises.names().clear()
    assert noises.names() == ["batch", "constant"]


def test_a_second_use_of_a_name_is_refused_and_the_first_stays(
    noises: Registry[Callable[[], str]],
) -> None:
    first = noises["batch"]
    with pytest.raises(ValueError, match="noise 'batch' is registered already"):
        noises.register("batch")(lambda: "other")
    assert noises["batch"] is first


def test_an_unknown_name_lists_the_known_ones(noises: Registry[Callable[[], str]]) -> None:
    with pytest.raises(InputError, match=r"unknown noise 'xyz'\. Known: batch, constant$"):
        noises["xyz"]


def test_a_near_miss_is_named(noises: Registry[Callable[[], str]]) -> None:
    with pytest.raises(InputError, match=r"unknown noise 'bacth'\. Did you mean 'batch'\? Known:"):
        noises["bacth"]


def test_an_unknown_name_is_no_key_error(noises: Registry[Callable[[], str]]) -> None:
    with pytest.raises(InputError) as caught:
        noises["xyz"]
    assert caught.value.__suppress_context__


@given(st.lists(names, unique=True, max_size=6), names)
def test_what_was_entered_is_known_and_nothing_else(entered: list[str], asked: str) -> None:
    registry: Registry[int] = Registry("thing")
    for index, name in enumerate(entered):
        registry.register(name)(index)
    assert registry.names() == entered
    assert (asked in registry) == (asked in entered)
    assert [registry[name] for name in entered] == list(range(len(entered)))


@given(names, st.lists(names, min_size=1, unique=True, max_size=6))
def test_the_message_holds_the_name_and_every_known_one(name: str, known: list[str]) -> None:
    message = str(unknown_name("style", name, known))
    assert repr(name) in message
    assert message.endswith("Known: " + ", ".join(known))
