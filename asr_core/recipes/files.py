"""The recipes that ship with the package: a TOML file for each column of Tables 2 and 3.

A file NETWORK.toml holds the column; its ``[data.NAME]`` tables hold what differs between data
sets, and each makes a recipe NETWORK-NAME.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from asr_core.errors import InputError
from asr_core.recipes.recipe import Recipe
from asr_core.registry import unknown_name
from asr_core.saving.text_files import read_toml

FOLDER = Path(__file__).parent

DEFAULT = "resnet29-embedded"
"""The recipe that runs anywhere, offline and in minutes."""

# In the order of the list: our own, then Table 2, then Table 3, each from left to right.
_COLUMNS = (
    *("resnet29", "resnet11", "resnet11-gn", "resnet56-half"),
    *("resnet83", "resnet164", "vgg19", "shufflenetv2", "mobilenet", "repvgg", "resnet-acnet"),
    *("resnet34", "resnet50", "resnet101", "vit-s", "vit-b", "vit-b-384"),
)


def recipes() -> list[str]:
    """The names of the shipped recipes: our own, the default first, then Tables 2 and 3."""
    return list(_shipped())


def load_recipe(name: str) -> Recipe:
    """The shipped recipe of this name.

    Raises:
        InputError: there is none; the message lists the known ones.
    """
    shipped = _shipped()
    if name not in shipped:
        raise unknown_name("recipe", name, list(shipped))
    return shipped[name]


def read_recipes(path: Path | str) -> list[Recipe]:
    """The recipes in a TOML file, one for each of its ``[data.NAME]`` tables.

    Raises:
        InputError: not TOML, no data set, an unknown or missing field, or a value out of range;
            the message names the file.
    """
    path = Path(path)
    column = read_toml(path)
    sets = column.pop("data", None)
    if not isinstance(sets, dict) or not all(isinstance(own, dict) for own in sets.values()):
        raise InputError(f"{path} has no [data.NAME] table")
    try:
        return [
            Recipe.from_dict({**column, **own, "name": f"{path.stem}-{data}", "data": data})
            for data, own in sets.items()
        ]
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


@cache
def _shipped() -> dict[str, Recipe]:
    files = (FOLDER / f"{name}.toml" for name in _COLUMNS)
    return {recipe.name: recipe for file in files for recipe in read_recipes(file)}
