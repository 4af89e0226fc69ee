"""Training recipes: Tables 2 and 3 of the paper's supplementary as data, and our own."""

from asr_core.recipes.files import DEFAULT, load_recipe, recipes
from asr_core.recipes.recipe import SCHEDULES, Recipe

__all__ = ["DEFAULT", "SCHEDULES", "Recipe", "load_recipe", "recipes"]
