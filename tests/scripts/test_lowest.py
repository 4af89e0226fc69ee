"""scripts/checks/lowest.py: the lowest versions, as pyproject.toml names them."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts" / "checks"))

from lowest import PYPROJECT, lowest  # noqa: E402

TEXT = """
[project]
dependencies = ["torch>=2.6", "numpy>=1.26"]
[project.optional-dependencies]
a = ["numpy>=1.26", "ray>=2.9.1"]
b = ["click"]
c = ["torch>=2.7"]
"""


def test_each_requirement_is_pinned_to_its_floor() -> None:
    assert lowest(TEXT) == ["numpy==1.26", "torch==2.6"]
    assert lowest(TEXT, ["a"]) == ["numpy==1.26", "ray==2.9.1", "torch==2.6"]


@pytest.mark.parametrize(
    ("extra", "message"),
    [("b", "'click' names no lowest version"), ("c", "from 2.6 and from 2.7"), ("d", "'d'; known")],
)
def test_what_has_no_one_floor_is_refused(extra: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        lowest(TEXT, [extra])


def test_the_packages_own_floors_can_all_be_pinned() -> None:
    lines = lowest(PYPROJECT.read_text(), ["test", "export", "ray", "tensorboard"])
    named = {line.partition("==")[0] for line in lines}
    assert {"torch", "pydantic", "pytest", "onnx", "ray"} <= named
