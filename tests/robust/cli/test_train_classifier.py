"""``robust train``: the command a user types, and each way it can go wrong."""

import errno
import json
import os
import signal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image
from processes import together
from tiny_classifier import forget_accelerator, register, tiny_data, tiny_recipe

import asr_core.recipes
from asr_core.data import DATASETS, ImageSet
from asr_core.data.source import Source
from asr_core.training import learner, open_run
from robust.cli import main

FIGURES = r"test top-1 \d+\.\d\d%, top-5 \d+\.\d\d% \(last epoch, fused, 17 images, \d+ images/s\)"


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recipe "tiny" on the data set "tiny", in a process that never ran Accelerate."""
    register(monkeypatch)
    forget_accelerator()
    load = asr_core.recipes.load_recipe
    known = {"tiny": tiny_recipe()}
    monkeypatch.setattr(asr_core.recipes, "load_recipe", lambda name: known.get(name) or load(name))
    monkeypatch.setitem(DATASETS._entries, "tiny", open_tiny)


def open_tiny(source: Source) -> ImageSet:
    source.check_size("tiny", 8)
    return tiny_data()


def train(out: Path, *arguments: object) -> Result:
    forget_accelerator()
    line = [
        "train",
        "--recipe",
        "tiny",
        "--attention",
        "ie",
        "--device",
        "cpu",
        "--out",
        out,
        *arguments,
    ]
    return CliRunner().invoke(main, [str(part) for part in line], prog_name="robust")


def failed(result: Result, *words: str, code: int = 2) -> None:
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    *_, line = result.stderr.strip().splitlines()
    assert line.startswith("robust: "), result.stderr
    assert "Traceback" not in result.output
    for word in words:
        assert word in line, line


# --- it works -------------------------------------------------------------------------------------


def test_a_run_from_nothing_to_a_fused_and_checked_file(tmp_path: Path) -> None:
    result = train(tmp_path / "run")
    assert result.exit_code == 0, result.output
    file, figures = result.stdout.splitlines()
    assert file == str(tmp_path / "run" / "fused.safetensors")
    assert "images/s" in result.stderr
    wrote = json.loads((tmp_path / "run" / "result.json").read_text())
    test = wrote["test"]
    assert figures.startswith(
        f"test top-1 {test['top1']:.2%}, top-5 {test['top5']:.2%} (last epoch"
    )
    assert json.loads((tmp_path / "run" / "parity.json").read_text())["same_class"] == 17


def test_as_json_it_prints_the_result_alone(tmp_path: Path) -> None:
    result = train(tmp_path / "run", "--json", "--quiet")
    assert result.exit_code == 0, result.output
    wrote = json.loads((tmp_path / "run" / "result.json").read_text())
    file = str(tmp_path / "run" / "fused.safetensors")
    assert json.loads(result.stdout) == {"file": file, **wrote}


def test_every_option_reaches_the_config(tmp_path: Path) -> None:
    options = [
        *("--mode", "both", "--attention", "se", "--delta", 2, "--psi", 0.3, "--epochs", 3),
        *("--batch-size", 10, "--lr", 0.02, "--weight-decay", 0.01, "--warmup-epochs", 1),
        *("--label-smoothing", 0.1, "--clip", 2, "--ema", 0.9, "--seed", 5),
        *("--precision", "bf16", "--accumulate", 2, "--channels-last", "--quiet"),
    ]
    result = train(tmp_path / "run", *options)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    config = json.loads((tmp_path / "run" / "config.json").read_text())["config"]
    recipe = config.pop("recipe")
    assert config == {
        "mode": "both", "attention": "se", "delta": 2, "psi": 0.3, "zero_gamma": False, "seed": 5,
        "data_folder": None, "precision": "bf16", "accumulate": 2, "channels_last": True,
        "compile": False,
    }  # fmt: skip
    changed = {
        "epochs": 3, "batch_size": 10, "lr": 0.02, "weight_decay": 0.01, "warmup_epochs": 1.0,
        "label_smoothing": 0.1, "clip": 2.0, "ema": 0.9,
    }  # fmt: skip
    assert recipe == {**tiny_recipe().as_dict(), **changed}
    assert open_run(tmp_path / "run").epoch == 3


@pytest.mark.parametrize(
    ("options", "folder", "file"),
    [
        (["--attention", "const"], "runs/tiny-asr-const-0", "fused.safetensors"),
        (["--mode", "plain", "--seed", "2"], "runs/tiny-plain-2", "model.safetensors"),
        (["--mode", "live"], "runs/tiny-live-se-0", "model.safetensors"),
        (["--mode", "frozen"], "runs/tiny-frozen-se-0", "fused.safetensors"),
        (["--mode", "free-v"], "runs/tiny-free-v-se-0", "fused.safetensors"),
    ],
)
def test_the_folder_is_named_after_what_is_trained(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    folder: str,
    file: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    line = ["train", "--recipe", "tiny", "--device", "cpu", "--quiet", *options]
    result = CliRunner().invoke(main, line, prog_name="robust")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0] == f"{folder}/{file}"
    kind = "fused" if file.startswith("fused") else options[1]
    assert f"(last epoch, {kind}, 17 images" in result.stdout


def test_a_run_file_says_what_to_train_and_options_override_it(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(
        'recipe = "tiny"\nattention = "ie"\nepochs = 1\npsi = 0.5\n'
        'noise = "constant"\nseverity = "0.9,0.1"\nchannels_last = true\n'
    )

    def train(config: object, out: Path, *arguments: object) -> Result:
        forget_accelerator()
        line = ["train", "--config", config, "--device", "cpu", "--quiet", "--out", out, *arguments]
        return CliRunner().invoke(main, [str(part) for part in line], prog_name="robust")

    assert train(tmp_path / "run.toml", tmp_path / "one", "--psi", 0.25).exit_code == 0
    one = json.loads((tmp_path / "one" / "config.json").read_text())
    assert one["config"]["recipe"] == tiny_recipe(epochs=1).as_dict()
    assert (one["config"]["attention"], one["config"]["psi"]) == ("ie", 0.25)
    assert one["setting"] == {"noise": {"noise": "constant", "severity": "0.9,0.1"}}
    # A run repeats from its own folder, or from the file in it.
    assert train(tmp_path / "one", tmp_path / "two").exit_code == 0
    for name in ("config.json", "metrics.csv", "fused.safetensors"):
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
    other = train(
        *(tmp_path / "one" / "config.json", tmp_path / "three"),
        *("--noise", "random", "--no-channels-last"),
    )
    assert other.exit_code == 0, "the severity of the other noise goes with it"
    three = json.loads((tmp_path / "three" / "config.json").read_text())
    assert three["setting"] == {"noise": {"noise": "random", "severity": "uniform"}}
    assert (one["config"]["channels_last"], three["config"]["channels_last"]) == (True, False)
    (tmp_path / "run.toml").write_text("attenton = 'ie'\n")
    failed(train(tmp_path / "run.toml", tmp_path / "four"), "'attenton'", "'attention'", "epochs")
    failed(train(tmp_path / "none.toml", tmp_path / "four"), "none.toml")
    assert not (tmp_path / "four").exists()


def test_events_for_tensorboard_lie_in_the_run(tmp_path: Path) -> None:
    assert train(tmp_path / "run", "--tensorboard", "--quiet").exit_code == 0
    assert any((tmp_path / "run" / "tensorboard").iterdir())


def speak(folder: Path) -> list[str]:
    """The whole command in one process of two."""
    result = train(folder)
    if result.exit_code:
        raise AssertionError(result.output)
    return [result.stdout, result.stderr]


def test_of_two_processes_the_first_alone_speaks(tmp_path: Path) -> None:
    (first, progress), second = together(2, speak, tmp_path / "ranks", tmp_path / "run")
    assert first.splitlines()[0] == str(tmp_path / "run" / "fused.safetensors")
    assert "(last epoch, fused, 17 images" in first
    assert "images/s" in progress
    assert second == ["", ""]


# --- it goes wrong --------------------------------------------------------------------------------


def press_in_step(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    step, calls = learner.Learner.step, []

    def pressed(self: learner.Learner, *args: object, **options: object) -> learner.Figures:
        calls.append(1)
        if len(calls) == number:
            signal.raise_signal(signal.SIGINT)
        return step(self, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(learner.Learner, "step", pressed)


def test_ctrl_c_exits_with_130_and_the_same_command_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        press_in_step(patch, 4)
        failed(train(tmp_path / "run"), "interrupted; the same command goes on from here", code=130)
    assert not (tmp_path / "run" / "result.json").exists()
    with monkeypatch.context() as patch:
        press_in_step(patch, 7)
        assert train(tmp_path / "run").exit_code == 0, "six steps were left"
    assert train(tmp_path / "whole").exit_code == 0
    for name in ("metrics.csv", "fused.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_other_options_do_not_go_on_with_an_interrupted_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        press_in_step(patch, 2)
        train(tmp_path / "run")
    failed(train(tmp_path / "run", "--lr", 0.5), "differs in config.recipe.lr (0.1, now 0.5)")
    assert train(tmp_path / "run", "--lr", 0.5, "--overwrite").exit_code == 0


def test_a_finished_run_is_kept(tmp_path: Path) -> None:
    assert train(tmp_path / "run").exit_code == 0
    failed(train(tmp_path / "run"), "holds a finished run", "overwrite it")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--attention", "dia"], ["'dia' cannot be an ASR gate"]),
        (["--mode", "plain", "--delta", "2"], ["mode 'plain' has no ASR, and so no delta"]),
        (["--zero-gamma"], ["'tiny' has no residual branches", "leave zero_gamma out"]),
        (["--batch-size", "41"], ["batch size 41 is larger than the set of 40 images"]),
        (["--accumulate", "9"], ["a batch of 8 images cannot be split"]),
        (["--precision", "fp16"], ["precision fp16 needs a GPU"]),
        (["--lr", "nan"], ["lr is nan"]),
        (["--recipe", "resnet29-embedded", "--data-folder", "x"], ["leave out x"]),
        (
            ["--recipe", "resnet29-embedded", "--data", "shapes", "--data-folder", "x"],
            ["shapes needs no folder", "leave out x"],
        ),
        (["--recipe", "vgg19-cifar10", "--data=stl10"], ["stl10 needs a folder"]),
        (["--data", "embedded"], ["unknown recipe 'tiny-embedded'", "resnet29-embedded"]),
        (
            ["--recipe", "resnet164-cifar100", "--data-folder", "nowhere"],
            ["nowhere: no such folder", "downloaded to nowhere"],
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_is_said_in_one_line(
    tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    failed(train(tmp_path / "run", "--quiet", *arguments), *words)
    assert not (tmp_path / "run").exists()


def test_a_learning_rate_that_is_too_high_is_named_with_the_step(tmp_path: Path) -> None:
    result = train(tmp_path / "run", "--lr", "1e38", "--quiet")
    failed(result, "not finite at epoch 0, step", "learning rate", "lower learning rate")


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    failed(
        train(tmp_path / "run", "--quiet"),
        "no space left on the disk: ",
        "config.json; free some and run again",
    )


def test_an_option_of_classifiers_before_style_is_refused(tmp_path: Path) -> None:
    line = ["train", "--lr", "0.1", "style", "--style", "mosaic", "--out", str(tmp_path / "run")]
    result = CliRunner().invoke(main, line, prog_name="robust")
    failed(result, "--lr before 'style' is an option of classifiers")


def test_a_recipe_in_the_place_of_a_command_is_told_where_it_goes() -> None:
    result = CliRunner().invoke(main, ["train", "resnet164-cifar100"], prog_name="robust")
    failed(result, "unknown command 'resnet164-cifar100'", "a recipe is given by --recipe")


def test_an_unreadable_image_stops_the_run_or_is_named_and_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part, count in (("train", 6), ("val", 2)):
        for name in ("cat", "dog"):
            folder = tmp_path / "data" / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                Image.radial_gradient("L").convert("RGB").save(folder / f"{number}.png")
    bad = tmp_path / "data" / "val" / "dog" / "1.png"
    bad.write_bytes(bad.read_bytes()[:100])
    files = tiny_recipe(data="imagenet", image_size=8, epochs=1)
    monkeypatch.setattr(asr_core.recipes, "load_recipe", lambda name: files)
    line = ["--data-folder", tmp_path / "data", "--workers", 0, "--quiet"]
    failed(train(tmp_path / "stopped", *line), str(bad), "unreadable image", "skip such files")
    result = train(tmp_path / "run", *line, "--skip-unreadable")
    assert result.exit_code == 0, result.output
    named, counted = result.stderr.splitlines()
    assert named.startswith(f"skipped {bad}: ")
    assert counted == "files skipped: 1"
    assert "(last epoch, fused, 3 images" in result.stdout


def test_help_names_the_options_and_the_style_command() -> None:
    result = CliRunner().invoke(main, ["train", "--help"], prog_name="robust")
    assert result.exit_code == 0
    for word in ("--recipe", "--mode", "--zero-gamma", "torchrun", "style"):
        assert word in result.output.replace("default: ", ""), word
