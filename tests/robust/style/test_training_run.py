"""robust.style.training_run: a folder that holds one run, finished or to be gone on with."""

import csv
import multiprocessing
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_run import equal, interrupt_at, make_quick, picture, weights
from torch import Tensor

from asr_core.errors import CheckpointError, InputError
from asr_core.saving.checkpoint import load_meta
from robust.norm_noise import BatchNoise, RandomNoise
from robust.norm_noise.training import TrainNoise
from robust.style.training_run import StyleRun
from styletransfer.losses.embedded import EmbeddedLossNetwork
from styletransfer.losses.perceptual import PerceptualLoss
from styletransfer.recipe import StyleRecipe
from styletransfer.zoo import describe, load_network

RECIPE = StyleRecipe(norm="bn+asr", width=4, blocks=1, steps=3, size=64, coarse_size=64)
STYLE = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    make_quick(monkeypatch)


@pytest.fixture
def run(tmp_path: Path) -> StyleRun:
    return StyleRun(tmp_path / "run", RECIPE, style="noise")


def train(run: StyleRun, style: Tensor = STYLE, **options: Any) -> list[tuple[int, str]]:
    """Train, and give what was told of each step."""
    told: list[tuple[int, str]] = []
    run.train(
        PerceptualLoss(EmbeddedLossNetwork(), style),
        style,
        run.photographs(max_pixels=10**6, on_skip=lambda path, reason: None),
        device=torch.device("cpu"),
        on_step=lambda step, note: told.append((step, note)),
        **options,
    )
    return told


def interrupted(run: StyleRun, monkeypatch: pytest.MonkeyPatch, step: int) -> KeyboardInterrupt:
    with monkeypatch.context() as patch:
        interrupt_at(patch, step, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt) as caught:
            train(run)
    return caught.value


def log(run: StyleRun) -> list[dict[str, str]]:
    with (run.folder / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


# --- a whole run ----------------------------------------------------------------------------------


def test_a_finished_run_is_a_network_its_facts_its_style_and_its_log(run: StyleRun) -> None:
    told = train(run)
    assert sorted(os.listdir(run.folder)) == [
        "log.csv", "network.safetensors", "style.png"
    ]  # fmt: skip
    network, meta = load_network(run.folder / "network.safetensors")
    assert network.config["norm"] == "bn+asr"
    assert meta["recipe"] == RECIPE.as_dict()
    assert (meta["style"], meta["seed"], meta["style_image"]) == ("noise", 0, "style.png")
    assert meta["loss_network"].startswith("embedded")
    assert (meta["noise"], meta["images"]) == (None, "embedded")
    assert meta["held_out_statistics"] == "running"
    assert meta["torch"] == torch.__version__
    assert meta["held_out"]["content"] > 0
    assert describe(run.folder / "network.safetensors").style == "noise"
    assert [step for step, _ in told] == [1, 2, 3]
    assert all("loss " in note and "images/s" in note for _, note in told)


def test_the_log_has_the_losses_of_every_step(run: StyleRun) -> None:
    told = train(run)
    rows = log(run)
    assert [row["step"] for row in rows] == ["0", "1", "2"]
    for row, (_, note) in zip(rows, told, strict=True):
        assert f"loss {float(row['loss']):.3f}" in note
        parts = float(row["content"]) + 3 * float(row["style"])  # and a little total variation
        assert parts < float(row["loss"]) < parts + 0.2


def test_held_out_losses_are_those_of_the_network_as_trained(run: StyleRun) -> None:
    train(run)
    network, meta = load_network(run.folder / "network.safetensors")
    from styletransfer.images.embedded import held_out
    from styletransfer.train import evaluate

    found = evaluate(
        network, PerceptualLoss(EmbeddedLossNetwork(), STYLE), [held_out("cat", size=64)]
    )
    assert meta["held_out"] == pytest.approx(found, rel=0.02)  # on disk in half precision


def test_instance_norm_is_recorded_with_its_statistics(run: StyleRun) -> None:
    instance = replace(run, recipe=replace(RECIPE, norm="in"))
    train(instance)
    meta = load_meta(run.folder / "network.safetensors")
    assert meta["held_out_statistics"] == "instance"


def test_the_users_photographs_are_used(run: StyleRun, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for index in range(3):
        picture(tmp_path / "photos" / f"{index}.png", index)
    own = replace(run, images=(str(tmp_path / "photos"),), folder=tmp_path / "own")
    found = own.photographs(max_pixels=10**6, on_skip=lambda path, reason: None)
    assert [tuple(image.shape) for image in found] == [(3, 128, 146)] * 3
    train(own)
    train(run)
    assert not equal(weights(own.folder), weights(run.folder))
    assert load_meta(own.folder / "network.safetensors")["images"] == "3 files"


@pytest.mark.parametrize("severity", [RandomNoise(0.5), BatchNoise(3)])
def test_noise_in_training_changes_the_weights_and_is_recorded(
    run: StyleRun, tmp_path: Path, severity: RandomNoise | BatchNoise
) -> None:
    noise = TrainNoise(severity)
    noisy = replace(
        run, folder=tmp_path / "noisy", noise=noise, recipe=replace(RECIPE, **noise.batch_size())
    )
    train(noisy)
    train(run)
    assert not equal(weights(noisy.folder), weights(run.folder))
    meta = load_meta(noisy.folder / "network.safetensors")
    assert meta["noise"] == {"noise": severity.noise, "severity": severity.text}


# --- interruption ---------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [1, 2])
def test_an_interrupted_run_goes_on_to_the_same_end(
    run: StyleRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    whole = replace(run, folder=tmp_path / "whole")
    train(whole)
    interrupt = interrupted(run, monkeypatch, step)
    assert f"kept in {run.folder}" in str(interrupt)
    assert sorted(os.listdir(run.folder)) == ["log.csv", "resume.pt"]
    assert [row["step"] for row in log(run)] == [str(done) for done in range(step)]
    told = train(run)
    assert [done for done, _ in told] == list(range(step + 1, 4))
    assert equal(weights(run.folder), weights(whole.folder))
    assert log(run) == log(whole)
    assert not (run.folder / "resume.pt").exists()


def test_killed_while_writing_it_leaves_nothing_behind_once_it_has_gone_on(
    run: StyleRun, tmp_path: Path
) -> None:
    """By the system, in a process of its own, at the rename of each kind of file."""
    whole, rename, names = replace(run, folder=tmp_path / "whole"), os.replace, []

    def noting(source: Path, target: Path) -> None:
        names.append(Path(target).name)
        rename(source, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", noting)
        train(whole)
    assert {"log.csv", "resume.pt", "style.png", "network.safetensors"} <= set(names)

    def dying(name: str) -> Callable[[Path, Path], None]:
        def replace(source: Path, target: Path) -> None:
            if Path(target).name == name:
                os.kill(os.getpid(), signal.SIGKILL)
            rename(source, target)

        return replace

    for name in dict.fromkeys(names):
        killed = replace(run, folder=tmp_path / name)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "replace", dying(name))
            victim = multiprocessing.get_context("fork").Process(target=train, args=(killed,))
            victim.start()
            victim.join()
        assert victim.exitcode == -signal.SIGKILL
        assert [path for path in killed.folder.glob(".*") if "draft" in path.name]
        train(killed)
        assert sorted(os.listdir(killed.folder)) == sorted(os.listdir(whole.folder))
        assert equal(weights(killed.folder), weights(whole.folder))


def test_interrupted_before_anything_was_saved_it_starts_again(
    run: StyleRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(run, monkeypatch, 0)
    assert not run.folder.exists()
    assert len(train(run)) == 3


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"noise": TrainNoise(RandomNoise(0.2))}, "noise"),
        ({"style": "another"}, "style"),
        ({"recipe": replace(RECIPE, lr=1e-4, seed=1)}, "lr, seed"),
    ],
)
def test_only_the_run_that_was_interrupted_goes_on(
    run: StyleRun, monkeypatch: pytest.MonkeyPatch, other: dict[str, Any], named: str
) -> None:
    interrupted(run, monkeypatch, 1)
    before = (run.folder / "resume.pt").read_bytes()
    with pytest.raises(CheckpointError, match=f"the interrupted run differs in {named};"):
        train(replace(run, **other))
    assert (run.folder / "resume.pt").read_bytes() == before


def test_a_style_image_of_the_same_name_is_another_style(
    run: StyleRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(run, monkeypatch, 1)
    with pytest.raises(CheckpointError, match="differs in style;"):
        train(run, STYLE.flip(0))


def test_other_photographs_make_another_run(
    run: StyleRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = replace(run, images=(str(picture(tmp_path / "a.png")),))
    interrupted(own, monkeypatch, 1)
    with pytest.raises(CheckpointError, match="differs in images;"):
        train(run)
    with pytest.raises(CheckpointError, match="differs in images;"):
        train(replace(own, images=(str(picture(tmp_path / "b.png")),)))
    assert len(train(own)) == 2


def test_a_log_of_another_kind_is_refused(run: StyleRun, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(run, monkeypatch, 1)
    (run.folder / "log.csv").write_text("notes\nof mine\n")
    with pytest.raises(InputError, match=r"log\.csv: not the log of this run; remove it"):
        train(run)


# --- folders in use -------------------------------------------------------------------------------


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_new_or_an_empty_folder_is_free(run: StyleRun, overwrite: bool) -> None:
    run.check(overwrite=overwrite)
    assert not run.folder.exists(), "checking makes nothing"
    run.folder.mkdir()
    run.check(overwrite=overwrite)


def test_a_finished_run_stays_unless_it_is_to_be_overwritten(run: StyleRun) -> None:
    train(run)
    before = weights(run.folder)
    with pytest.raises(InputError, match=r"holds a finished run; choose another --out, or --over"):
        train(replace(run, recipe=replace(RECIPE, seed=5)))
    assert equal(weights(run.folder), before)
    train(replace(run, recipe=replace(RECIPE, seed=5)), overwrite=True)
    assert not equal(weights(run.folder), before)
    assert load_network(run.folder / "network.safetensors")[1]["seed"] == 5


def test_another_log_is_not_written_over(run: StyleRun) -> None:
    run.folder.mkdir()
    (run.folder / "log.csv").write_text("step,voltage\n")
    with pytest.raises(InputError, match="holds other files; choose another --out"):
        train(run)


def test_other_files_are_not_written_among(run: StyleRun) -> None:
    run.folder.mkdir()
    (run.folder / "style.png").write_text("mine")
    with pytest.raises(InputError, match="holds other files; choose another --out"):
        train(run)
    assert (run.folder / "style.png").read_text() == "mine"


def test_a_file_is_no_folder(run: StyleRun) -> None:
    run.folder.write_text("x")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="is a file; --out names a folder"):
            run.check(overwrite=overwrite)


def test_the_old_network_stays_until_the_new_one_is_finished(
    run: StyleRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(run)
    old = weights(run.folder)
    again = replace(run, recipe=replace(RECIPE, seed=5))
    with monkeypatch.context() as patch:
        interrupt_at(patch, 2, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            train(again, overwrite=True)
    assert equal(weights(run.folder), old)
    assert len(train(again)) == 1, "without overwriting it goes on"
    assert load_network(run.folder / "network.safetensors")[1]["seed"] == 5


def test_overwriting_drops_an_interrupted_run(
    run: StyleRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(run, monkeypatch, 2)
    assert len(train(run, overwrite=True)) == 3
    assert [row["step"] for row in log(run)] == ["0", "1", "2"]
