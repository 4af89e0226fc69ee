"""robust.training.style: a folder that holds one run, finished or to be resumed."""

import csv
import multiprocessing
import os
import re
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_run import equal, interrupt_at, make_quick, picture, press_at, weights
from tiny_training import QuickLossNetwork

import robust.training.style
import styletransfer.losses.choose
from asr_core.errors import CheckpointError, InputError
from asr_core.saving.checkpoint import load_meta
from asr_core.saving.files import write_json
from asr_core.saving.interrupt import Interrupted
from robust.norm_noise import BatchNoise, RandomNoise
from robust.norm_noise.training import TrainNoise
from robust.style.options import style_picture
from robust.training.run_file import read_run_file
from robust.training.style import StyleFolder, StyleRun
from styletransfer.images.drawn import draw_style
from styletransfer.images.embedded import held_out
from styletransfer.losses.choose import loss_network
from styletransfer.losses.embedded import EmbeddedLossNetwork
from styletransfer.losses.features import Features
from styletransfer.losses.perceptual import PerceptualLoss
from styletransfer.recipe import StyleRecipe
from styletransfer.train import evaluate
from styletransfer.zoo import describe, load_network

RECIPE = StyleRecipe(norm="bn+asr", width=4, blocks=1, steps=3, size=64, coarse_size=64)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    make_quick(monkeypatch)
    monkeypatch.setattr(robust.training.style, "loss_network", lambda weights: QuickLossNetwork())


@pytest.fixture
def run(tmp_path: Path) -> StyleRun:
    """A run towards an image called noise."""
    return StyleRun(RECIPE, str(picture(tmp_path / "noise.png", 7)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "run"


def train(run: StyleRun, folder: Path, *, overwrite: bool = False) -> list[tuple[int, str]]:
    """Train, and give what was told of each step."""
    told: list[tuple[int, str]] = []
    photographs = run.photographs(on_skip=lambda path, reason: None)
    place = StyleFolder(folder, overwrite)
    run.train(place, photographs, on_step=lambda *step: told.append(step))
    return told


def interrupted(run: StyleRun, folder: Path, step: int, **options: Any) -> None:
    """Let something end a run in the middle of a step."""
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(patch, step, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            train(run, folder, **options)


def log(folder: Path) -> list[dict[str, str]]:
    with (folder / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


# --- a whole run ----------------------------------------------------------------------------------


def test_a_finished_run_is_a_network_its_facts_its_style_and_its_log(
    run: StyleRun, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(robust.training.style, "loss_network", loss_network)
    told = train(run, folder)
    assert sorted(os.listdir(folder)) == [
        "config.json", "log.csv", "network.safetensors", "style.png"
    ]  # fmt: skip
    network, meta = load_network(folder / "network.safetensors")
    assert network.config["norm"] == "bn+asr"
    assert meta["recipe"] == RECIPE.as_dict()
    assert (meta["style"], meta["seed"], meta["style_image"]) == ("noise", 0, "style.png")
    assert meta["loss_network"].startswith("embedded")
    assert (meta["noise"], meta["images"]) == (None, "embedded")
    assert meta["held_out_statistics"] == "running"
    assert meta["torch"] == torch.__version__
    assert describe(folder / "network.safetensors").style == "noise"
    loss = PerceptualLoss(EmbeddedLossNetwork(), run.style_image[1])
    for field, name in (("validation", "cat"), ("held_out", "beetle")):
        assert meta[field] == pytest.approx(evaluate(network, loss, [held_out(name, size=64)]))
    assert [step for step, _ in told] == [1, 2, 3]
    rows = log(folder)
    assert [row["step"] for row in rows] == ["0", "1", "2"]
    for row, (_, note) in zip(rows, told, strict=True):
        assert f"loss {float(row['loss']):.3f}" in note
        parts = float(row["content"]) + RECIPE.style_weight * float(row["style"])
        assert parts < float(row["loss"]) < parts + 0.2  # a little total variation


def test_instance_norm_is_recorded_with_its_statistics(run: StyleRun, folder: Path) -> None:
    train(replace(run, recipe=replace(RECIPE, norm="in")), folder)
    assert load_meta(folder / "network.safetensors")["held_out_statistics"] == "instance"


def test_the_users_photographs_are_used(run: StyleRun, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for index in range(3):
        picture(tmp_path / "photos" / f"{index}.png", index)
    own = replace(run, images=(str(tmp_path / "photos"),))
    found = own.photographs(on_skip=lambda path, reason: None)
    assert [tuple(image.shape) for image in found] == [(3, 128, 146)] * 3
    train(own, tmp_path / "own")
    train(run, tmp_path / "run")
    assert not equal(weights(tmp_path / "own"), weights(tmp_path / "run"))
    assert load_meta(tmp_path / "own" / "network.safetensors")["images"] == "3 files"


@pytest.mark.parametrize("severity", [RandomNoise(0.5), BatchNoise(3)])
def test_noise_in_training_changes_the_weights_and_is_recorded(
    run: StyleRun, tmp_path: Path, severity: RandomNoise | BatchNoise
) -> None:
    noise = TrainNoise(severity)
    noisy = replace(run, noise=noise, recipe=replace(RECIPE, **noise.batch_size()))
    train(noisy, tmp_path / "noisy")
    train(run, tmp_path / "run")
    assert not equal(weights(tmp_path / "noisy"), weights(tmp_path / "run"))
    meta = load_meta(tmp_path / "noisy" / "network.safetensors")
    assert meta["noise"] == {"noise": severity.noise, "severity": severity.text}


# --- a run as data --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"norm": "in", "size": 128, "steps": 7, "seed": 3, "images": ["a", "b"]},
        {"noise": "constant", "severity": "0.5,0.5", "loss_network": "vgg16"},
        {"noise": "batch", "severity": 6, "lr": 0.5},
        {"stroke_size": 0.5, "precision": "bf16"},
    ],
)
def test_the_config_of_a_run_is_a_run_file(tmp_path: Path, fields: dict[str, Any]) -> None:
    run = StyleRun.from_fields({"style": "mosaic", **fields})
    write_json(tmp_path / "config.json", {"schema": 1, **run.as_fields()})
    assert StyleRun.from_fields(read_run_file(tmp_path)) == run
    assert run.recipe.norm == fields.get("norm", "bn+asr")
    assert run.stroke_size == fields.get("stroke_size", 1)
    assert run.recipe.precision == ("bfloat16" if "precision" in fields else "float32")
    assert run.recipe.coarse_size == run.recipe.size / 2
    assert run.recipe.batch_size == (6 if fields.get("noise") == "batch" else 2)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "style"),
        ({"style": "mosaic", "stepps": 3}, "'stepps'.*'steps'.*norm, "),
        ({"style": "mosaic", "steps": "many"}, "steps is 'many'"),
        ({"style": "mosaic", "steps": 0}, "steps is 0"),
        ({"style": "mosaic", "images": 3}, "images is 3"),
        ({"style": "mosaic", "noise": "thermal"}, "thermal"),
        ({"style": "mosaic", "stroke_size": 3}, "stroke_size is 3"),
        ({"style": "mosaic", "stroke_size": 0.1}, r"stroke_size is 0\.1"),
        ({"style": "mosaic", "precision": "fp8"}, "'fp8'"),
        ({"style": "mosaic", "noise": "batch", "severity": 4, "batch_size": 2}, "batch size 2"),
    ],
)
def test_a_run_that_cannot_be_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        StyleRun.from_fields(fields)


@pytest.mark.parametrize(
    ("before", "now"), [(None, "embedded"), ("cached", "vgg16"), ("my/vgg.pth", "my/vgg.pth")]
)
def test_run_files_of_before_keep_their_loss_network(before: str | None, now: str) -> None:
    fields = {"style": "mosaic", "vgg_weights": before}
    assert StyleRun.from_fields(fields).loss_network == now
    assert StyleRun.from_fields({**fields, "loss_network": "auto"}).loss_network == "auto"


# --- which loss network ---------------------------------------------------------------------------


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Sets whether VGG16 has been fetched; its features are stand-ins."""

    class Other(QuickLossNetwork):
        name = "VGG16"

        def forward(self, images: torch.Tensor, *, style: bool = True) -> Features:
            return super().forward(images.flip(1), style=style)

    loaded = {"embedded": QuickLossNetwork, "vgg16": Other}
    monkeypatch.setattr(robust.training.style, "loss_network", lambda choice: loaded[choice]())

    def fetch(fetched: bool) -> None:
        weights = Path("vgg16.safetensors") if fetched else None
        monkeypatch.setattr(styletransfer.losses.choose, "cached_weights", lambda: weights)

    return fetch


def used(folder: Path) -> tuple[str, str]:
    """The loss network in the run's config, and in the network's facts."""
    facts = load_meta(folder / "network.safetensors")
    return read_run_file(folder)["loss_network"], facts["loss_network"]


def test_the_config_says_what_auto_became(
    run: StyleRun, folder: Path, here: Callable[[bool], None]
) -> None:
    for fetched, expected in ((False, ("embedded", "quick")), (True, ("vgg16", "VGG16"))):
        here(fetched)
        train(run, folder, overwrite=True)
        assert used(folder) == expected
    assert StyleRun.from_fields(read_run_file(folder)).loss_network == "vgg16", "a repeated run"


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("step", [0, 2])
def test_what_is_fetched_meanwhile_changes_no_run(
    run: StyleRun, tmp_path: Path, here: Callable[[bool], None], first: bool, step: int
) -> None:
    folder = tmp_path / "run"
    here(first)
    train(run, tmp_path / "whole")
    interrupted(run, folder, step)
    here(not first)
    train(run, folder)
    assert used(folder) == used(tmp_path / "whole")
    assert equal(weights(folder), weights(tmp_path / "whole"))


def test_another_loss_network_does_not_go_on(
    run: StyleRun, folder: Path, here: Callable[[bool], None]
) -> None:
    here(True)
    interrupted(run, folder, 1)
    other = replace(run, loss_network="embedded")
    with pytest.raises(CheckpointError, match=r"differs in loss_network \('VGG16', now 'quick'\)"):
        train(other, folder)
    interrupted(other, folder, 1, overwrite=True)
    assert other.settled(StyleFolder(folder)) == other
    assert run.settled(StyleFolder(folder)).loss_network == "embedded"
    assert run.settled(StyleFolder(folder, overwrite=True)).loss_network == "vgg16"


def test_an_unfinished_run_of_before_goes_on_as_it_began(
    run: StyleRun, folder: Path, here: Callable[[bool], None]
) -> None:
    here(False)
    interrupted(run, folder, 1)
    config = read_run_file(folder)
    del config["loss_network"]
    write_json(folder / "config.json", {"schema": 1, **config, "vgg_weights": None})
    here(True)
    assert len(train(run, folder)) == 2


def test_a_network_of_another_loss_is_not_the_one_that_is_wanted(
    run: StyleRun, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(robust.training.style, "loss_network", loss_network)
    train(run, folder)
    place = StyleFolder(folder)
    assert run.is_finished(place)
    assert replace(run, loss_network="embedded").is_finished(place)
    assert not replace(run, loss_network="vgg16").is_finished(place)


# --- strokes --------------------------------------------------------------------------------------


def test_strokes_are_as_large_as_the_style_picture_is_small(
    run: StyleRun, folder: Path, tmp_path: Path
) -> None:
    half = replace(run, stroke_size=0.25)
    assert min(run.style_image[1].shape[1:]) == 512
    assert min(half.style_image[1].shape[1:]) == 128
    assert half.name == "style-noise-strokes0.25-bn+asr-0" != run.name
    train(half, folder)
    network = describe(folder / "network.safetensors")
    assert load_meta(network.path)["stroke_size"] == network.stroke_size == 0.25
    assert torch.equal(style_picture(network, None), half.style_image[1].mul(255).round() / 255)
    assert torch.equal(style_picture(network, half.style), half.style_image[1])
    assert half.is_finished(StyleFolder(folder))
    assert not run.is_finished(StyleFolder(folder))
    train(run, tmp_path / "other")
    assert not equal(weights(folder), weights(tmp_path / "other"))


def test_a_drawn_style_is_read_as_it_was_used(folder: Path) -> None:
    drawn = StyleRun(RECIPE, "mosaic", stroke_size=0.125)
    train(drawn, folder)
    network = describe(folder / "network.safetensors")
    assert torch.equal(style_picture(network, None), draw_style("mosaic", size=64))
    (folder / "style.png").unlink()
    assert torch.equal(style_picture(network, None), draw_style("mosaic", size=64))


def test_another_stroke_size_does_not_go_on(run: StyleRun, folder: Path) -> None:
    interrupted(run, folder, 1)
    with pytest.raises(CheckpointError, match=r"stroke_size \(None, now 0\.5\)"):
        train(replace(run, stroke_size=0.5), folder)


# --- interruption ---------------------------------------------------------------------------------


@pytest.mark.parametrize("save_every", [1, 100])
@pytest.mark.parametrize("step", range(3))
def test_ctrl_c_loses_no_step(
    run: StyleRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, save_every: int
) -> None:
    """At every step, the last one too, and whether or not the state was about to be written."""
    monkeypatch.setattr(robust.training.style, "SAVE_EVERY", save_every)
    train(run, tmp_path / "whole")
    folder = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        press_at(patch, step)
        with pytest.raises(Interrupted, match=re.escape(str(folder))):
            train(run, folder)
    assert sorted(os.listdir(folder)) == ["config.json", "log.csv", "resume.pt"]
    assert [row["step"] for row in log(folder)] == [str(done) for done in range(step + 1)]
    told = train(run, folder)
    assert [done for done, _ in told] == list(range(step + 2, 4)), "the step was finished"
    assert equal(weights(folder), weights(tmp_path / "whole"))
    assert (folder / "log.csv").read_bytes() == (tmp_path / "whole" / "log.csv").read_bytes()
    assert not (folder / "resume.pt").exists()


@pytest.mark.parametrize("step", [1, 2])
def test_a_run_that_was_ended_goes_on_from_what_was_saved(
    run: StyleRun, tmp_path: Path, step: int
) -> None:
    train(run, tmp_path / "whole")
    folder = tmp_path / "run"
    interrupted(run, folder, step)
    assert [row["step"] for row in log(folder)] == [str(done) for done in range(step)]
    assert [done for done, _ in train(run, folder)] == list(range(step + 1, 4))
    assert equal(weights(folder), weights(tmp_path / "whole"))
    assert log(folder) == log(tmp_path / "whole")


def test_killed_while_writing_it_leaves_nothing_behind_once_it_has_gone_on(
    run: StyleRun, tmp_path: Path
) -> None:
    """By the system, in a process of its own, at the rename of each kind of file."""
    whole, rename, names = tmp_path / "whole", os.replace, []

    def noting(source: Path, target: Path) -> None:
        names.append(Path(target).name)
        rename(source, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", noting)
        train(run, whole)
    assert {"config.json", "log.csv", "resume.pt", "style.png", "network.safetensors"} == set(names)

    def dying(name: str) -> Callable[[Path, Path], None]:
        def replace(source: Path, target: Path) -> None:
            if Path(target).name == name:
                os.kill(os.getpid(), signal.SIGKILL)
            rename(source, target)

        return replace

    for name in dict.fromkeys(names):
        killed = tmp_path / name
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "replace", dying(name))
            victim = multiprocessing.get_context("fork").Process(target=train, args=(run, killed))
            victim.start()
            victim.join()
        assert victim.exitcode == -signal.SIGKILL
        assert [path for path in killed.glob(".*") if "draft" in path.name]
        train(run, killed)
        assert sorted(os.listdir(killed)) == sorted(os.listdir(whole))
        assert equal(weights(killed), weights(whole))


def test_interrupted_before_anything_was_saved_it_starts_again(run: StyleRun, folder: Path) -> None:
    interrupted(run, folder, 0)
    assert os.listdir(folder) == ["config.json"]
    assert len(train(run, folder)) == 3


def test_a_state_of_an_older_version_goes_on(run: StyleRun, folder: Path) -> None:
    """It has no config.json beside it."""
    interrupted(run, folder, 2)
    (folder / "config.json").unlink()
    assert len(train(run, folder)) == 1


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"noise": TrainNoise(RandomNoise(0.2))}, r"noise \(None, now 'random 0.2'\)"),
        ({"style": "mosaic"}, r"style \('noise .*', now 'mosaic .*'\)"),
        ({"recipe": replace(RECIPE, lr=1e-4, seed=1)}, r"seed \(0, now 1\); lr \(0.002, now"),
    ],
)
def test_only_the_run_that_was_interrupted_goes_on(
    run: StyleRun, folder: Path, other: dict[str, Any], named: str
) -> None:
    interrupted(run, folder, 1)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(CheckpointError, match=f"differs in {named}"):
        train(replace(run, **other), folder)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_a_style_image_of_the_same_name_is_another_style(
    run: StyleRun, folder: Path, tmp_path: Path
) -> None:
    interrupted(run, folder, 1)
    (tmp_path / "other").mkdir()
    other = str(picture(tmp_path / "other" / "noise.png", 8))
    with pytest.raises(CheckpointError, match="differs in style "):
        train(replace(run, style=other), folder)


def test_a_run_that_began_under_another_loss_is_not_resumed(run: StyleRun, folder: Path) -> None:
    """Also where its state, of before there were others, does not say which."""
    interrupted(run, folder, 1)
    state = torch.load(folder / "resume.pt", weights_only=True)
    del state["recipe"]["loss_definition"]
    torch.save(state, folder / "resume.pt")
    with pytest.raises(CheckpointError, match=r"differs in loss_definition \(None, now 2\)"):
        train(run, folder)


def test_other_photographs_make_another_run(run: StyleRun, folder: Path, tmp_path: Path) -> None:
    own = replace(run, images=(str(picture(tmp_path / "a.png")),))
    interrupted(own, folder, 1)
    for images in ((), (str(picture(tmp_path / "b.png")),)):
        with pytest.raises(CheckpointError, match="differs in images "):
            train(replace(own, images=images), folder)
    assert len(train(own, folder)) == 2


def test_a_log_of_another_kind_is_refused(run: StyleRun, folder: Path) -> None:
    interrupted(run, folder, 1)
    (folder / "log.csv").write_text("notes\nof mine\n")
    with pytest.raises(InputError, match=r"log\.csv"):
        train(run, folder)


# --- folders in use -------------------------------------------------------------------------------


def test_a_finished_run_stays_unless_it_is_to_be_overwritten(run: StyleRun, folder: Path) -> None:
    train(run, folder)
    before = weights(folder)
    other = replace(run, recipe=replace(RECIPE, seed=5))
    with pytest.raises(InputError, match="finished run"):
        train(other, folder)
    assert equal(weights(folder), before)
    interrupted(other, folder, 2, overwrite=True)
    assert equal(weights(folder), before), "until the new one is finished"
    assert len(train(other, folder)) == 1, "without overwriting it goes on"
    assert load_network(folder / "network.safetensors")[1]["seed"] == 5


def test_overwriting_drops_an_interrupted_run(run: StyleRun, folder: Path) -> None:
    interrupted(run, folder, 2)
    assert len(train(run, folder, overwrite=True)) == 3
    assert [row["step"] for row in log(folder)] == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("log.csv", "step,voltage\n"),
        ("style.png", "mine"),
        ("config.json", '{"schema": 1, "model": "of another program"}'),
    ],
)
def test_other_files_are_not_written_among(
    run: StyleRun, folder: Path, name: str, content: str
) -> None:
    folder.mkdir()
    (folder / name).write_text(content)
    with pytest.raises(InputError, match="other files"):
        train(run, folder)
    assert (folder / name).read_text() == content
