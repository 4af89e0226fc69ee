"""robust.sweep.grid: points and runs of a grid, and what no run can be told."""

from __future__ import annotations

import math
import resource
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr_core.errors import InputError
from robust.sweep.grid import Claim, Paper, Sweep

AXES: dict[str, tuple[Any, ...]] = {"attention": ("se", "ie"), "psi": (0.1, 0.5, 1.5)}


def a_sweep(**changes: Any) -> Sweep:
    options = {"name": "own", "title": "", "axes": AXES, "fields": {}, "labels": {}, **changes}
    return Sweep(**options)


def test_rows_and_columns_of_the_grid() -> None:
    sweep = a_sweep()
    assert sweep.rows == [("se",), ("ie",)]
    assert sweep.columns == (0.1, 0.5, 1.5)
    assert sweep.points == [
        ("se", 0.1), ("se", 0.5), ("se", 1.5), ("ie", 0.1), ("ie", 0.5), ("ie", 1.5),
    ]  # fmt: skip
    alone = a_sweep(axes={"psi": (0.1, 0.2)})
    assert (alone.rows, alone.points) == ([()], [(0.1,), (0.2,)])


@given(st.lists(st.floats(0.01, 2), min_size=1, max_size=4, unique=True), st.integers(1, 4))
def test_each_run_has_a_folder_and_a_config_of_its_own(psis: list[float], seeds: int) -> None:
    runs = a_sweep(axes={"attention": ("se", "ie"), "psi": tuple(psis)}, seeds=seeds).runs(Path())
    assert len(runs) == 2 * len(psis) * seeds
    assert len({run.folder for run in runs.values()}) == len(runs)
    configs = [run.training.config for run in runs.values()]
    assert {(c.attention, c.psi, c.seed) for c in configs} == {
        (a, p, s) for a in ("se", "ie") for p in psis for s in range(seeds)
    }
    assert [((c.attention, c.psi), c.seed) for c in configs] == list(runs)


def test_a_seed_of_every_point_comes_first() -> None:
    runs = a_sweep(seeds=2).runs(Path("out"))
    assert [seed for _, seed in runs] == [0] * 6 + [1] * 6
    assert runs[("se", 0.5), 1].folder == Path("out/attention-se_psi-0.5_seed-1")


def test_a_run_is_what_its_fields_say(tmp_path: Path) -> None:
    sweep = a_sweep(
        axes={"psi": (0.1, 0.5), "noise": ("constant", "random")},
        fields={
            "mode": "both", "delta": 3, "optimizer": "adamw",
            "schedule": "multistep", "milestones": (1, 2.5), "gamma": 0.5,
        },
    )  # fmt: skip
    run = sweep.runs(tmp_path, data_folder="somewhere")[(0.5, "random"), 2]
    config = run.training.config
    assert (config.mode, config.delta, config.psi, config.seed) == ("both", 3, 0.5, 2)
    assert (config.recipe.name, config.recipe.milestones) == ("resnet11-embedded", (1, 2.5))
    assert (config.recipe.optimizer, config.data_folder) == ("adamw", "somewhere")
    assert run.training.setting == {"noise": {"noise": "random", "severity": "uniform"}}


def test_options_reach_every_run_but_not_an_axis() -> None:
    sweep = a_sweep().override(seeds=1, epochs=1, precision=None)
    assert {run.training.config.recipe.epochs for run in sweep.runs(Path()).values()} == {1}
    assert len(sweep.runs(Path())) == 6
    assert a_sweep().override().fields == {}
    with pytest.raises(InputError, match="'psi' is an axis of the sweep 'own'; leave it out"):
        a_sweep().override(psi=0.3)


def test_labels() -> None:
    sweep = a_sweep(labels={"attention": "ASR({})"})
    assert sweep.label("attention", "se") == "ASR(SE)"
    assert sweep.label("psi", 0.1) == "psi = 0.1"
    assert sweep.recipe == "resnet11-embedded"
    assert a_sweep(axes={"recipe": ("resnet11-embedded", "resnet29-embedded")}).recipe == (
        "resnet11-embedded, resnet29-embedded"
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"axes": {}}, "at least one axis"),
        ({"axes": {"psy": (0.1,)}}, "unknown option of a run 'psy'. Did you mean 'psi'? Known: "),
        ({"fields": {"seed": 3}}, "unknown option of a run 'seed'"),
        ({"axes": {"psi": ()}}, "axis 'psi' needs values, each once; got []"),
        ({"axes": {"psi": (0.1, 0.1)}}, "each once"),
        ({"axes": {"psi": ("0.1",)}}, "psi is '0.1'; it must be a number"),
        ({"axes": {"delta": (1.5,)}}, "delta is 1.5; it must be a whole number"),
        ({"axes": {"zero_gamma": (1,)}}, "zero_gamma is 1; it must be true or false"),
        ({"fields": {"attention": "ie"}}, "'attention' is an axis and is set for all runs too"),
        ({"axes": {"attention": ("see",)}}, "at attention = see: unknown attention"),
        ({"axes": {"delta": (1, 0)}}, "at delta = 0: delta is 0"),
        ({"axes": {"lr": (0.1, -1.0)}}, "at lr = -1.0: lr is -1.0"),
        ({"fields": {"recipe": "resnet12"}}, "unknown recipe 'resnet12'"),
        ({"seeds": 0}, "seeds is 0; it must be a whole number from 1"),
        ({"figures": ("top2",)}, "unknown figure 'top2'"),
        ({"figures": ()}, "figures is empty; choose of top1, top5"),
        ({"labels": {"delta": "{}"}}, "unknown axis to label 'delta'"),
        ({"claims": (Claim("x", 0.1, (0.2,)),)}, "the claim 'x' is about 0.2, which is no value"),
        ({"paper": Paper("", {"top5": ((1.0,) * 3,) * 2})}, "unknown figure of the paper 'top5'"),
        ({"paper": Paper("", {"top1": ((1.0,) * 3,)})}, "rows of [3] values; the grid has 2 rows"),
        ({"paper": Paper("", {"top1": ((float("nan"),) * 3,) * 2})}, "that are no numbers"),
    ],
)
def test_what_cannot_be_run_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as raised:
        a_sweep(**changes)
    assert words in str(raised.value)


def test_the_runs_are_counted_and_not_listed() -> None:
    """Ten axes of eight values, a billion cells, would fill the memory."""
    values = {
        "delta": tuple(range(1, 9)),
        "accumulate": tuple(range(1, 9)),
        **{name: tuple(0.1 + i / 100 for i in range(8)) for name in ("lr", "psi", "ema", "clip")},
        **{name: tuple(i / 100 for i in range(8)) for name in ("weight_decay", "label_smoothing")},
        "epochs": tuple(range(10, 18)),
        "batch_size": tuple(range(8, 16)),
    }
    assert math.prod(map(len, values.values())) > 10**9
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=r"1073741824 runs, 1 seeds a cell: .* at most 10000"):
        Sweep(name="x", title="x", axes=values, fields={}, labels={}, seeds=1)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000, "kilobytes"
    with pytest.raises(InputError, match="20000 runs, 10000 seeds"):
        Sweep(name="x", title="x", axes={"psi": (0.1, 0.2)}, fields={}, labels={}, seeds=10_000)
