"""robust.training.progress: the time that a run has left."""

from __future__ import annotations

import pytest

from robust.training import progress
from robust.training.progress import Clock
from styletransfer.recipe import StyleRecipe


class Machine:
    """Two seconds a step of 128 pixels, eight at 256, and ten more for the very first."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, recipe: StyleRecipe) -> None:
        self.recipe, self.now, self.cold = recipe, 100.0, True
        monkeypatch.setattr(progress.time, "perf_counter", lambda: self.now)

    def seconds(self, step: int) -> float:
        return 2.0 * (self.recipe.crop_size(step) / 128) ** 2

    def run(self, clock: Clock, first: int, last: int) -> None:
        for step in range(first, last):
            self.now += self.seconds(step) + 10 * self.cold
            self.cold = False
            clock.step(step)


@pytest.mark.parametrize("first", [0, 10, 13, 16])
def test_larger_crops_take_longer(monkeypatch: pytest.MonkeyPatch, first: int) -> None:
    """Also of a run that is resumed before, while, or after the crops grow."""
    recipe = StyleRecipe(steps=20, size=256, coarse_size=128, coarse_share=0.75)
    machine, told = Machine(monkeypatch, recipe), []
    clock = Clock(recipe, told.append)
    machine.run(clock, first, min(first + 4, 20))
    assert told == []
    machine.run(clock, first + 4, 20)
    left = [step for step in range(20) if step > first + 4]
    expected = sum(map(machine.seconds, left))
    assert told == ([pytest.approx(expected)] if first + 4 < 20 else [])
    assert first == 16 or expected > 0


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (99, "99 s"), (720, "12 min"), (7200, "2.0 h")]
)
def test_in_words(seconds: float, words: str) -> None:
    from robust.report.progress import in_words

    assert in_words(seconds) == words
