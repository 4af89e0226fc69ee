"""Recipes: their rules, the learning rate against torch's schedulers, overriding, files."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    SequentialLR,
)

from asr_core.errors import InputError
from asr_core.recipes import Recipe, load_recipe, recipes
from asr_core.recipes.files import read_recipes

STEPS = {
    "name": "net-set",
    "backbone": "resnet29",
    "data": "embedded",
    "image_size": 32,
    "optimizer": "sgd",
    "lr": 0.1,
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "schedule": "multistep",
    "milestones": [4, 6],
    "gamma": 0.1,
    "epochs": 8,
    "batch_size": 128,
}
COSINE = {**STEPS, "schedule": "cosine", "milestones": [], "gamma": None}


def by_torch(recipe: Recipe, scheduler: Any) -> list[float]:
    """Rates at 0, 1, … epochs of torch's scheduler, stepped once an epoch."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=recipe.lr)
    schedule: LRScheduler = scheduler(optimizer)
    rates = []
    for _ in range(recipe.epochs + 1):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


@pytest.mark.parametrize("name", recipes())
def test_every_shipped_rate_is_torchs_at_whole_epochs(name: str) -> None:
    recipe = load_recipe(name).override(warmup_epochs=0)
    if recipe.schedule == "multistep":
        rates = by_torch(recipe, lambda o: MultiStepLR(o, recipe.milestones, recipe.gamma))
    else:
        rates = by_torch(recipe, lambda o: CosineAnnealingLR(o, recipe.epochs))
    ours = [recipe.learning_rate(epoch) for epoch in range(recipe.epochs + 1)]
    assert ours == pytest.approx(rates, rel=1e-9, abs=recipe.lr * 1e-12)
    assert len({f"{rate:.3g}" for rate in rates}) > 1


@pytest.mark.parametrize("name", ["vit-s-imagenet", "vit-b-imagenet"])
def test_warm_up_then_cosine_is_torchs_sequence(name: str) -> None:
    recipe = load_recipe(name)
    warmup = int(recipe.warmup_epochs)
    assert warmup == 5

    def sequence(optimizer: torch.optim.Optimizer) -> LRScheduler:
        # LinearLR takes no start of 0.
        rise = LinearLR(optimizer, start_factor=1e-12, total_iters=warmup)
        fall = CosineAnnealingLR(optimizer, recipe.epochs - warmup)
        return SequentialLR(optimizer, [rise, fall], [warmup])

    rates = by_torch(recipe, sequence)
    ours = [recipe.learning_rate(epoch) for epoch in range(recipe.epochs + 1)]
    assert ours == pytest.approx(rates, rel=1e-6, abs=recipe.lr * 1e-9)


def test_the_rate_goes_on_within_an_epoch() -> None:
    steps, cosine = Recipe(**STEPS), Recipe(**COSINE)
    assert [steps.learning_rate(p) for p in (3.99, 4, 4.01)] == pytest.approx([0.1, 0.01, 0.01])
    assert cosine.learning_rate(2.5) == pytest.approx(0.05 * (1 + math.cos(math.pi * 2.5 / 8)))
    assert cosine.learning_rate(2) > cosine.learning_rate(2.5) > cosine.learning_rate(3)
    warm = steps.override(warmup_epochs=0.5)
    assert [warm.learning_rate(p) for p in (0, 0.125, 0.5)] == pytest.approx([0, 0.025, 0.1])


@given(
    progress=st.floats(0, 8),
    later=st.floats(0, 8),
    warmup=st.floats(0, 3),
    cosine=st.booleans(),
)
def test_rates_lie_between_0_and_lr_and_fall_after_the_warm_up(
    progress: float, later: float, warmup: float, cosine: bool
) -> None:
    recipe = Recipe(**{**(COSINE if cosine else STEPS), "warmup_epochs": warmup})
    rates = [recipe.learning_rate(p) for p in sorted((progress, later))]
    assert all(0 <= rate <= recipe.lr for rate in rates)
    if min(progress, later) >= warmup:
        assert rates[0] >= rates[1]


@pytest.mark.parametrize("progress", [-0.1, 8.01, math.nan])
def test_progress_outside_the_run_is_refused(progress: float) -> None:
    with pytest.raises(InputError, match=r"progress is .*; it must lie in \[0, 8\]"):
        Recipe(**STEPS).learning_rate(progress)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("lr", 0, "lr is 0;"),
        ("lr", math.nan, "lr is nan"),
        ("lr", math.inf, "lr is inf"),
        ("lr", "0.1", "lr is '0.1'; it must be a number"),
        ("momentum", 1, r"momentum is 1; it must be"),
        ("weight_decay", -1e-4, "weight_decay is -0.0001; it must be"),
        ("weight_decay", True, "weight_decay is True"),
        ("gamma", 1.5, r"gamma is 1.5; it must be"),
        ("clip", 0, "clip is 0"),
        ("ema", 1, "ema is 1"),
        ("label_smoothing", 1.0, "label_smoothing is 1.0"),
        ("warmup_epochs", 8, r"warmup_epochs is 8; it must be"),
        ("epochs", 0, "epochs is 0; it must be"),
        ("epochs", 4.0, "epochs is 4.0; it must be"),
        ("batch_size", True, "batch_size is True"),
        ("image_size", -32, "image_size is -32"),
        ("optimizer", "adam", "unknown optimizer 'adam'.*Known: sgd, adamw"),
        ("optimizer", 3, "optimizer is 3; it must be"),
        ("schedule", "cosin", "unknown schedule 'cosin'. Did you mean 'cosine'"),
        ("milestones", [6, 4], r"milestones \(6, 4\)"),
        ("milestones", [4, 4], r"milestones \(4, 4\)"),
        ("milestones", [4, 8], "milestone 8 is not between the start and the last epoch, 8"),
        ("milestones", [0, 4], "milestone 0 is not"),
        ("milestones", ["4"], "milestones.0 is '4'"),
        ("milestones", 4, "milestones is 4; it must be"),
        ("milestones", [], "schedule 'multistep' needs milestones and gamma"),
        ("gamma", None, "schedule 'multistep' needs milestones and gamma"),
        ("schedule", "cosine", r"got \(4, 6\)"),
        ("notes", "one", "notes is 'one'; it must be"),
        ("beta", 0.9, "unknown field 'beta'.*Known: name, backbone"),
    ],
)
def test_what_a_recipe_may_not_say(field: str, value: Any, message: str) -> None:
    assert Recipe.from_dict(STEPS).name == "net-set"
    with pytest.raises(InputError, match=message):
        Recipe.from_dict({**STEPS, field: value})


def test_missing_fields_are_named() -> None:
    short = {key: value for key, value in STEPS.items() if key not in ("lr", "epochs")}
    with pytest.raises(InputError, match="missing: lr, epochs"):
        Recipe.from_dict(short)


@pytest.mark.parametrize("name", recipes())
def test_a_recipe_survives_json(name: str) -> None:
    recipe = load_recipe(name).override(clip=1.0, ema=0.999)
    assert Recipe.from_dict(json.loads(json.dumps(recipe.as_dict()))) == recipe


def test_unknown_recipes_list_the_known_ones() -> None:
    with pytest.raises(InputError) as raised:
        load_recipe("resnet164-cifar1000")
    assert "Did you mean 'resnet164-cifar100'?" in str(raised.value)
    assert all(name in str(raised.value) for name in recipes())


class TestOverride:
    recipe = Recipe(**STEPS)

    def test_gives_another_recipe(self) -> None:
        changed = self.recipe.override(lr=0.05, batch_size=64)
        assert (changed.lr, changed.batch_size) == (0.05, 64)
        assert self.recipe.lr == 0.1
        assert changed.override(lr=0.1, batch_size=128) == self.recipe

    def test_milestones_go_with_the_epochs(self) -> None:
        long = load_recipe("resnet164-cifar100")
        assert long.override(epochs=328).milestones == (162, 244)
        assert long.override(epochs=82).milestones == (40.5, 61)
        assert long.override(epochs=1).milestones == pytest.approx((81 / 164, 122 / 164))
        assert long.override(epochs=200, milestones=(60, 120)).milestones == (60, 120)

    def test_warm_up_goes_with_the_epochs(self) -> None:
        long = load_recipe("vit-s-imagenet")
        assert long.override(epochs=30).warmup_epochs == 0.5
        assert long.override(epochs=30, warmup_epochs=2).warmup_epochs == 2

    @given(epochs=st.integers(1, 1000), share=st.floats(0, 1))
    def test_a_stretched_run_has_the_same_course(self, epochs: int, share: float) -> None:
        for recipe in (self.recipe, load_recipe("vit-s-imagenet")):
            other = recipe.override(epochs=epochs)
            # Nothing is compared within rounding of a decay.
            near = any(abs(share - m / recipe.epochs) < 1e-9 for m in recipe.milestones)
            if not near:
                expected = recipe.learning_rate(share * recipe.epochs)
                found = other.learning_rate(share * epochs)
                assert found == pytest.approx(expected, rel=1e-6, abs=1e-9 * recipe.lr)

    def test_from_steps_to_a_cosine(self) -> None:
        changed = self.recipe.override(schedule="cosine", epochs=4)
        assert (changed.milestones, changed.gamma) == ((), None)
        assert changed.learning_rate(2) == pytest.approx(0.05)

    def test_from_a_cosine_to_steps(self) -> None:
        cosine = load_recipe("vit-s-imagenet")
        with pytest.raises(InputError, match="needs milestones and gamma"):
            cosine.override(schedule="multistep")
        steps = cosine.override(schedule="multistep", milestones=[100, 200], gamma=0.1)
        assert steps.learning_rate(150) == pytest.approx(5e-5)

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"gamma": 0.5}, "a cosine has no gamma, got 0.5: choose schedule 'multistep'"),
            ({"milestones": [2]}, r"a cosine has no milestones, got \[2\]"),
            ({"learning_rate": 0.5}, "unknown recipe field 'learning_rate'"),
            ({"epochs": -1}, "epochs is -1; it must be"),
            ({"lr": -1.0}, "lr is -1.0; it must be"),
        ],
    )
    def test_refusals(self, values: dict[str, Any], message: str) -> None:
        with pytest.raises(InputError, match=message):
            load_recipe("resnet-acnet-cifar10").override(**values)

    def test_milestones_past_a_given_end(self) -> None:
        with pytest.raises(InputError, match=r"milestone 6 is not between .* last epoch, 5"):
            self.recipe.override(epochs=5, milestones=(4, 6))


class TestFiles:
    def write(self, folder: Path, text: str) -> Path:
        path = folder / "net.toml"
        path.write_text(text, encoding="utf-8")
        return path

    COLUMN = (
        'backbone = "resnet29"\noptimizer = "sgd"\nlr = 0.1\nmomentum = 0.9\n'
        'weight_decay = 1e-4\nschedule = "cosine"\nepochs = 2\n'
    )

    def test_one_recipe_for_each_data_set(self, tmp_path: Path) -> None:
        path = self.write(
            tmp_path,
            self.COLUMN
            + "[data.a]\nimage_size = 32\nbatch_size = 2\n"
            + "[data.b]\nimage_size = 96\nbatch_size = 3\nlr = 0.2\n",
        )
        a, b = read_recipes(path)
        assert (a.name, a.data, a.image_size, a.batch_size, a.lr) == ("net-a", "a", 32, 2, 0.1)
        assert (b.name, b.data, b.image_size, b.batch_size, b.lr) == ("net-b", "b", 96, 3, 0.2)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("lr = = 1", "net.toml: not TOML"),
            (COLUMN, r"net.toml has no \[data.NAME\] table"),
            (COLUMN + "data = 3", r"net.toml has no \[data.NAME\] table"),
            (COLUMN + "data.a = 3", r"net.toml has no \[data.NAME\] table"),
            (COLUMN + "[data.a]\nbatch_size = 2", "net.toml: missing: image_size"),
            (COLUMN + "[data.a]\nbatch = 2", "net.toml: unknown field 'batch'"),
        ],
    )
    def test_damaged_files_are_named(self, tmp_path: Path, text: str, message: str) -> None:
        with pytest.raises(InputError, match=message):
            read_recipes(self.write(tmp_path, text))


def test_the_dose_of_weight_decay_is_the_sum_over_steps() -> None:
    """That of the studies' deep network on 18,000 images is the paper's."""
    steps = load_recipe("resnet11-embedded").override(
        epochs=2, schedule="multistep", milestones=(1,), gamma=0.1, warmup_epochs=0, lr=0.5,
        weight_decay=0.01,
    )  # fmt: skip
    assert steps.decay_dose(3) == pytest.approx(0.01 * (3 * 0.5 + 3 * 0.05))
    ours = load_recipe("resnet56-half-shapes").decay_dose(18_000 // 128)
    paper = load_recipe("resnet83-cifar100").decay_dose(50_000 // 128)
    assert ours == pytest.approx(paper, rel=0.01)
