"""The lowest versions that pyproject.toml names, as constraints for pip: `name==version` lines.

python scripts/checks/lowest.py [EXTRA ...]
"""

from __future__ import annotations

import argparse
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
_LOWEST = re.compile(r"([A-Za-z0-9._-]+)>=([0-9][0-9.]*)")


def lowest(text: str, extras: Sequence[str] = ()) -> list[str]:
    """A line for each requirement of the package and of its extras.

    Raises:
        ValueError: an unknown extra, a requirement that names no lowest version, or two of them.
    """
    project = tomllib.loads(text)["project"]
    optional = project.get("optional-dependencies", {})
    if unknown := [extra for extra in extras if extra not in optional]:
        raise ValueError(f"unknown extra {unknown[0]!r}; known: {', '.join(optional)}")
    found: dict[str, str] = {}
    for requirement in [*project["dependencies"], *(r for e in extras for r in optional[e])]:
        match = _LOWEST.fullmatch(requirement)
        if match is None:
            raise ValueError(f"{requirement!r} names no lowest version, as NAME>=VERSION")
        name, version = match.groups()
        if found.setdefault(name, version) != version:
            raise ValueError(f"{name} is wanted from {found[name]} and from {version}")
    return [f"{name}=={version}" for name, version in sorted(found.items())]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("extras", nargs="*", help="extras of the package, such as test")
    options = parser.parse_args()
    print("\n".join(lowest(PYPROJECT.read_text(encoding="utf-8"), options.extras)))


if __name__ == "__main__":
    main()
