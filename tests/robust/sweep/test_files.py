"""robust.sweep.files: the shipped sweeps hold the paper's tables; a wrong file is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from asr_core.errors import InputError
from robust.sweep import load_sweep
from robust.sweep.files import read_sweep, shipped


def test_table_5() -> None:
    sweep = load_sweep("init")
    assert dict(sweep.axes) == {
        "attention": ("se", "ie"), "psi": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6),
    }  # fmt: skip
    assert sweep.paper is not None
    se, ie = sweep.paper.figures["top1"]
    assert (se[0], ie[0]) == (74.83, 74.77), "the text's best"
    others = [*se[1:], *ie[1:]]
    assert (min(others), max(others)) == (74.03, 74.73), "the text's range of the others"
    assert se[1:] == (74.56, 74.15, 74.17, 74.03, 74.15)
    (claim,) = sweep.claims
    assert (claim.better, claim.than) == (0.1, (0.2, 0.3, 0.4, 0.5, 0.6))


def test_table_6() -> None:
    sweep = load_sweep("delta")
    assert dict(sweep.axes) == {"attention": ("se", "ie", "srm", "spa"), "delta": (1, 2, 3, 4)}
    assert sweep.figures == ("top1", "top5")
    assert sweep.paper is not None
    top1, top5 = (sweep.paper.figures[name] for name in sweep.figures)
    assert (top1[0], top5[0]) == ((75.36, 75.87, 75.72, 75.22), (93.53, 93.99, 94.15, 93.56))
    assert (top1[3][3], top5[3][3]) == (75.62, 93.46)
    assert all(row[1] > row[0] for row in top1), "the claim, by the paper's own figures"
    (claim,) = sweep.claims
    assert (claim.better, claim.than) == (2, (1,))


def test_what_ships_is_for_a_machine_without_a_network() -> None:
    assert shipped() == ["delta", "init"]
    for name in shipped():
        recipes = {
            run.training.config.recipe.name for run in load_sweep(name).runs(Path()).values()
        }
        assert recipes == {"resnet11-embedded"}
        whole = load_sweep(name).override(recipe="resnet83-cifar100").runs(Path())
        assert {run.training.config.recipe.epochs for run in whole.values()} == {164}


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("seeds = 2\n[axes]\nlr = [0.1, 1]\nmilestones = [[1], [2, 3]]\n"
                    "[fields]\nschedule = 'multistep'\ngamma = 0.5\n")  # fmt: skip
    sweep = load_sweep(str(path))
    assert (sweep.name, sweep.title, sweep.seeds, sweep.figures) == ("mine", "mine", 2, ("top1",))
    runs = list(sweep.runs(tmp_path).values())
    assert [run.training.config.recipe.milestones for run in runs[:2]] == [(1,), (2, 3)]
    assert runs[1].folder.name == "lr-0.1_milestones-2,3_seed-0"


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(InputError, match=r"unknown sweep 'detla'\. Did you mean 'delta'\? Known: "):
        load_sweep("detla")
    with pytest.raises(InputError, match="nor is there such a file"):
        load_sweep("none.toml")


AXES = "[axes]\npsi = [0.1, 0.2]\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[axes", "not TOML"),
        ("title = 'x'", "a sweep needs at least one axis"),
        (f"axis = 1\n{AXES}", "unknown field 'axis'. Did you mean 'axes'? Known: title, seeds"),
        (f"seeds = 'two'\n{AXES}", "seeds is 'two'; it must be a whole number"),
        (f"seeds = true\n{AXES}", "seeds is True"),
        ("[axes]\npsi = 0.1", "axes.psi is 0.1; it must be a list"),
        (f"{AXES}psy = [1]", "unknown option of a run 'psy'. Did you mean 'psi'?"),
        (f"{AXES}[fields]\nmode = 'plain'", "at psi = 0.1: mode 'plain' has no ASR"),
        (f"{AXES}[labels]\npsi = 1", "labels.psi is 1"),
        (f"claims = [1]\n{AXES}", "claims.0 is 1; it must be a table"),
        (f"{AXES}[[claims]]\nbeter = 1", "unknown field 'claims.0.beter'"),
        (f"{AXES}[[claims]]\nsay = 'x'", "missing: claims.0.better, claims.0.than"),
        (f"{AXES}[[claims]]\nsay = 'x'\nbetter = 1\nthan = [0.1]", "is about 1, which is no value"),
        (f"{AXES}[paper]\ntop1 = [1, 2]", "paper: top1.0 is 1; it must be a list"),
        (f"{AXES}[paper]\ntop1 = [[1]]", "rows of [1] values; the grid has 1 rows of 2"),
        (f"{AXES}[paper]\ntop3 = [[1, 2]]", "unknown figure of the paper 'top3'"),
    ],
)
def test_what_is_wrong_with_a_file_is_told(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(InputError) as raised:
        read_sweep(path)
    assert words in str(raised.value)
    assert str(path) in str(raised.value)
