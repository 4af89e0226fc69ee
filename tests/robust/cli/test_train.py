"""``robust train style`` end to end: the command a user types, and each way it can go wrong."""

import csv
import errno
import json
import os
import re
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from tiny_run import equal, interrupt_at, make_quick, picture, press_at, weights

import styletransfer.train
from asr_core.saving.checkpoint import load_meta
from robust.cli import main
from styletransfer.images.read import read_image
from styletransfer.zoo import load_network


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    make_quick(monkeypatch)


@pytest.fixture
def style(tmp_path: Path) -> Path:
    """An image of the user's: reading it is quicker than drawing a known style."""
    return picture(tmp_path / "blocks.png", size=(64, 64))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two photographs, and three files that are none."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for index in range(2):
        picture(folder / f"photo{index}.png", index)
    (folder / "page.jpg").write_text("<html>404</html>")
    (folder / "empty.png").write_bytes(b"")
    cut = picture(folder / "cut.png", 9)
    cut.write_bytes(cut.read_bytes()[:-150])
    return folder


def train(style: Path | str, out: Path, *arguments: object) -> Result:
    tiny = ["--width", 4, "--size", 64, "--steps", 2]
    line = ["train", "style", "--style", style, "--out", out, *tiny, *arguments]
    return CliRunner().invoke(main, [str(part) for part in line], prog_name="robust")


def succeeded(result: Result) -> None:
    assert result.exit_code == 0, result.output


def failed(result: Result, *words: str, code: int = 2) -> None:
    assert result.exit_code == code, result.output
    *_, line = result.stderr.strip().splitlines()
    assert line.startswith("robust: "), result.stderr
    assert "Traceback" not in result.output
    for word in words:
        assert word in line, line


# --- it works -------------------------------------------------------------------------------------


def test_a_run_from_nothing_to_a_network(style: Path, tmp_path: Path) -> None:
    result = train(style, tmp_path / "run", "--norm", "bn+asr", "--seed", 3)
    succeeded(result)
    assert result.stdout == f"{tmp_path / 'run' / 'network.safetensors'}\n"
    assert "2/2" in result.stderr
    assert "images/s" in result.stderr
    network, meta = load_network(tmp_path / "run" / "network.safetensors")
    assert network.config["norm"] == "bn+asr"
    assert network.config["width"] == 4
    assert (meta["style"], meta["seed"]) == ("blocks", 3)
    assert (meta["recipe"]["steps"], meta["recipe"]["size"]) == (2, 64)
    with (tmp_path / "run" / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["0", "1"]
    assert all(0 < float(row["loss"]) < 100 for row in rows)
    assert sorted(os.listdir(tmp_path / "run")) == [
        "config.json", "log.csv", "network.md", "network.safetensors", "report.html", "style.png"
    ]  # fmt: skip


def test_a_known_style_goes_to_the_default_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = "--style mosaic --norm in --width 4 --size 64 --steps 1 --quiet"
    line = ["train", "style", *options.split(" ")]
    result = CliRunner().invoke(main, line, prog_name="robust")
    succeeded(result)
    assert result.stdout == "runs/style-mosaic-in-0/network.safetensors\n"
    assert load_network(result.stdout.strip())[1]["style"] == "mosaic"


def test_as_json_it_prints_what_each_network_says_of_itself(style: Path, tmp_path: Path) -> None:
    norms = ("--norm", "in", "--norm", "bn", "--steps", 1, "--quiet", "--json")
    for _ in range(2):  # the second finds both there
        result = train(style, tmp_path / "runs", *norms)
        succeeded(result)
        told = json.loads(result.stdout)
        files = [tmp_path / "runs" / norm / "network.safetensors" for norm in ("in", "bn")]
        assert told == [{"file": str(file), **load_meta(file)} for file in files]


def test_norms_start_alike_and_end_apart(style: Path, tmp_path: Path) -> None:
    for norm in ("in", "bn", "bn+asr", "bn+const"):
        succeeded(train(style, tmp_path / norm, "--norm", norm, "--steps", 1, "--quiet"))
    shared = [
        {name: t for name, t in weights(tmp_path / norm).items() if "conv" in name}
        for norm in ("in", "bn", "bn+asr", "bn+const")
    ]
    assert all(s.keys() == shared[0].keys() for s in shared)
    assert not any(equal(s, shared[0]) for s in shared[1:])


@pytest.mark.parametrize(
    ("noise", "severity"),
    [
        ("constant", "0.8,0.8"),
        pytest.param("random", None, marks=pytest.mark.slow),
        pytest.param("batch", "3", marks=pytest.mark.slow),
    ],
)
def test_noise_while_training_makes_another_network(
    style: Path, tmp_path: Path, noise: str, severity: str | None
) -> None:
    succeeded(train(style, tmp_path / "clean", "--norm", "bn", "--quiet"))
    chosen = ["--noise", noise, *(["--severity", severity] if severity else [])]
    for name in ("noisy", "again"):
        succeeded(train(style, tmp_path / name, "--norm", "bn", "--quiet", *chosen))
    assert not equal(weights(tmp_path / "noisy"), weights(tmp_path / "clean"))
    assert equal(weights(tmp_path / "noisy"), weights(tmp_path / "again"))
    meta = load_meta(tmp_path / "noisy" / "network.safetensors")
    assert meta["noise"] == {"noise": noise, "severity": severity or "uniform"}


def test_a_folder_with_bad_files_is_trained_on_without_them(
    style: Path, photos: Path, tmp_path: Path
) -> None:
    result = train(style, tmp_path / "run", "--images", photos, "--steps", 6, "--quiet")
    succeeded(result)
    lines = result.stderr.strip().splitlines()[2:]  # behind what is trained and the hint
    assert sorted(line.rpartition("/")[2].partition(":")[0] for line in lines[:-1]) == [
        "cut.png", "empty.png", "page.jpg"
    ]  # fmt: skip
    assert all(line.startswith("skipped ") for line in lines[:-1])
    assert lines[-1] == "files skipped: 3"


def test_a_run_file_says_what_to_train_and_options_override_it(style: Path, tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text(f'style = "{style}"\nnorm = "in"\nsteps = 3\nsize = 64\nwidth = 4\n')

    def run(config: Path, *arguments: object) -> Result:
        line = ["train", "style", "--config", config, "--quiet", *arguments]
        return CliRunner().invoke(main, [str(part) for part in line], prog_name="robust")

    succeeded(run(file, "--out", tmp_path / "one", "--steps", 2, "--norm", "bn"))
    recipe = load_meta(tmp_path / "one" / "network.safetensors")["recipe"]
    assert (recipe["norm"], recipe["steps"], recipe["width"]) == ("bn", 2, 4)
    succeeded(run(tmp_path / "one", "--out", tmp_path / "two"))
    assert equal(weights(tmp_path / "one"), weights(tmp_path / "two")), "a run repeats from itself"
    file.write_text('style = "mosaic"\nstepps = 3\n')
    failed(run(file), "'stepps'", "Did you mean 'steps'", "loss_network")


def test_every_run_says_its_loss_network_and_how_to_get_the_real_one(
    style: Path, tmp_path: Path
) -> None:
    result = train(style, tmp_path / "run", "--quiet", "--norm", "in", "--norm", "bn")
    succeeded(result)
    assert result.stderr.count("loss network: embedded") == 2
    assert result.stderr.count("robust weights get vgg16") == 1
    chosen = train(style, tmp_path / "other", "--quiet", "--loss-network", "embedded")
    assert "loss network: embedded" in chosen.stderr
    assert "weights get" not in chosen.stderr
    missing = train(style, tmp_path / "third", "--quiet", "--loss-network", "vgg16")
    failed(missing, "vgg16 has not been fetched")


def test_ones_own_style_in_one_command(
    style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the README has it: the picture's name alone says what to train."""
    monkeypatch.chdir(tmp_path)
    line = ["train", "style", style.name, "--stroke-size", "0.5", "--precision", "bf16"]
    line += ["--style-weight", "0.25"]
    tiny = ["--width", "4", "--size", "64", "--steps", "8"]
    result = CliRunner().invoke(main, [*line, *tiny], prog_name="robust")
    succeeded(result)
    network = Path(result.stdout.strip())
    assert network.parent.name == "style-blocks-strokes0.5-bn+asr-0"
    facts = load_meta(network)
    assert (facts["style"], facts["stroke_size"]) == ("blocks", 0.5)
    assert facts["recipe"]["precision"] == "bfloat16"
    assert facts["recipe"]["style_weight"] == 0.25
    assert min(read_image(network.parent / "style.png").shape[1:]) == 256
    assert re.search(r"about \d+ s to go on this machine", result.stderr)


# --- interruption ---------------------------------------------------------------------------------


def test_ctrl_c_ends_with_130_and_the_same_command_goes_on(
    style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    succeeded(train(style, tmp_path / "whole", "--steps", 3, "--quiet"))
    with monkeypatch.context() as patch:
        press_at(patch, 1)
        result = train(style, tmp_path / "run", "--steps", 3, "--quiet")
    failed(result, "interrupted; the same command", str(tmp_path / "run"), code=130)
    assert not (tmp_path / "run" / "network.safetensors").exists()
    steps: list[object] = []
    draw = styletransfer.train.draw_crops
    monkeypatch.setattr(
        styletransfer.train,
        "draw_crops",
        lambda *args, **options: (steps.append(1), draw(*args, **options))[1],
    )
    succeeded(train(style, tmp_path / "run", "--steps", 3, "--quiet"))
    assert len(steps) == 1, "two of the three steps were done already"
    assert equal(weights(tmp_path / "run"), weights(tmp_path / "whole"))


def test_other_options_do_not_go_on_with_the_run(
    style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        interrupt_at(patch, 1, KeyboardInterrupt())
        train(style, tmp_path / "run", "--quiet")
    failed(train(style, tmp_path / "run", "--noise", "random"), "differs in noise (None, now ")
    failed(train(style, tmp_path / "run", "--seed", 4), "differs in seed (0, now 4)")
    succeeded(train(style, tmp_path / "run", "--seed", 4, "--overwrite"))


# --- bad input ------------------------------------------------------------------------------------


def test_a_finished_run_is_not_overwritten_unasked(style: Path, tmp_path: Path) -> None:
    succeeded(train(style, tmp_path / "run", "--steps", 1, "--quiet"))
    before = weights(tmp_path / "run")
    failed(train(style, tmp_path / "run"), "holds a finished run", "overwrite it")
    assert equal(weights(tmp_path / "run"), before)
    succeeded(train(style, tmp_path / "run", "--overwrite", "--quiet"))
    assert not equal(weights(tmp_path / "run"), before)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--attention", "dia"], ["'dia' cannot be an ASR gate"]),
        (["--severity", "0.5"], ["severity '0.5'"]),
        (["--noise", "random", "--severity", "7"], ["random noise 7 is out of range"]),
        (["--noise", "batch", "--batch-size", "2"], ["sets the batch size to 4", "batch size 2"]),
        (["--device", "cuda:99"], ["device 'cuda:99' cannot be used", "--device cpu"]),
        (["--max-pixels", "100", "--images", "PHOTOS"], ["none of the", "is a usable image"]),
    ],
)
def test_bad_options_are_one_line_and_lose_nothing(
    style: Path, photos: Path, tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    arguments = [str(photos) if part == "PHOTOS" else part for part in arguments]
    failed(train(style, tmp_path / "new", *arguments), *words)
    assert not (tmp_path / "new").exists()


def test_a_mistyped_option_beside_overwrite_keeps_the_old_network(
    style: Path, tmp_path: Path
) -> None:
    succeeded(train(style, tmp_path / "run", "--steps", 1, "--quiet"))
    before = weights(tmp_path / "run")
    for wrong in (["--images", "no/such"], ["--device", "cuda:99"], ["--loss-network", "no/such"]):
        failed(train(style, tmp_path / "run", "--overwrite", *wrong), "no")
    assert equal(weights(tmp_path / "run"), before)


def test_a_photograph_that_is_none_is_an_error_when_given_by_name(
    style: Path, photos: Path, tmp_path: Path
) -> None:
    result = train(style, tmp_path / "run", "--images", photos / "page.jpg")
    failed(result, "page.jpg: looks like an HTML page")


def test_a_full_disk_leaves_no_broken_file(
    style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync, calls = os.fsync, []

    def full_after_four(handle: int) -> None:
        calls.append(handle)
        if len(calls) > 5:  # the config, then the log and the state of two steps
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full_after_four)
        failed(train(style, tmp_path / "run", "--quiet"), "no space left on the disk")
    assert sorted(os.listdir(tmp_path / "run")) == ["config.json", "log.csv", "resume.pt"]
    succeeded(train(style, tmp_path / "run", "--quiet"))
    succeeded(train(style, tmp_path / "whole", "--quiet"))
    assert equal(weights(tmp_path / "run"), weights(tmp_path / "whole"))


def test_a_loss_that_is_not_finite_is_one_line(
    style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        styletransfer.train, "draw_crops", lambda *a, **o: torch.full((2, 3, 64, 64), torch.nan)
    )
    failed(train(style, tmp_path / "run", "--quiet"), "at step 0 the loss is nan", "lower the")
