"""styletransfer.images.names: short and unique."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from styletransfer.images.names import unique_names


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["/x/a.png", "/x/b.png"], ["a", "b"]),
        (["/x/a.png", "/y/a.png", "/y/b.png"], ["x-a", "y-a", "b"]),
        (["/p/x/a.png", "/q/x/a.png"], ["p-x-a", "q-x-a"]),
        (["/x/a.png", "/x/a.jpg"], ["a-png", "a-jpg"]),
        (["/x/a.png", "/x/A.PNG"], ["x-a-png", "x-A-PNG-2"]),
        (["/b/a.png", "/b-a.png"], ["a", "b-a"]),
        (["/b/a.png", "/b-a.png", "/c/a.png"], ["b-a", "b-a-2", "c-a"]),
    ],
)
def test_names_take_as_much_of_the_path_as_they_need(paths: list[str], names: list[str]) -> None:
    assert unique_names([Path(path) for path in paths]) == names


@given(
    st.lists(
        st.lists(st.sampled_from(["a", "B", "b", "a-b", "b-2"]), min_size=1, max_size=3),
        unique_by=tuple,
        max_size=8,
    ),
    st.sampled_from([".png", ".jpg"]),
)
def test_names_are_unique_in_any_case(parts: list[list[str]], suffix: str) -> None:
    paths = [Path("/", *each).with_suffix(suffix) for each in parts]
    names = unique_names(paths)
    assert len({name.casefold() for name in names}) == len(paths)
    assert all(
        "/" not in name and path.stem in name for name, path in zip(names, paths, strict=True)
    )


@given(st.lists(st.text("aé日/\udcff", min_size=1, max_size=300), min_size=1, max_size=4))
def test_any_name_fits_a_file_with_a_suffix(stems: list[str]) -> None:
    paths = list(dict.fromkeys(Path("/", f"{stem.strip('/') or 'x'}.png") for stem in stems))
    names = unique_names(paths)
    assert len({name.casefold() for name in names}) == len(paths)
    assert all(len(os.fsencode(f"{name}.jpg")) <= 255 for name in names)


def test_a_name_that_fits_is_kept_whole() -> None:
    long = "é" * 122 + "x"
    assert len(long.encode()) == 245
    assert unique_names([Path("/a", long + ".png")]) == [long]
    (shorter,) = unique_names([Path("/a", "b" * 251 + ".p")])
    assert shorter.startswith("bbb")
    assert "…" in shorter
