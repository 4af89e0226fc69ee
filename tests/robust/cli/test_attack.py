"""``robust attack`` end to end, on small networks; the shipped ones are in test_main_job.py."""

import csv
import hashlib
import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_networks import save_all, save_tiny

from asr_core.saving.checkpoint import META, load_meta, save_checkpoint, sha256
from robust.cli import main
from robust.style.folder import FILES, PICTURES
from robust.style.run import StyleAttack
from styletransfer.images.embedded import UNSEEN


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return save_all(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for index, colour in enumerate(("red", "teal")):
        gradient = Image.radial_gradient("L").resize((90, 70))
        Image.composite(
            Image.new("RGB", (90, 70), colour), Image.new("RGB", (90, 70), "white"), gradient
        ).save(folder / f"photo{index}.png")
    return folder


def robust(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["attack", *map(str, arguments)], prog_name="robust")


def attack(models: list[Path], out: Path, *arguments: object) -> Result:
    chosen = [part for path in models for part in ("--checkpoint", path)]
    return robust(*chosen, "--size", 64, "--quiet", "--out", out, *arguments)


def failed(result: Result, *words: str, code: int = 2) -> None:
    assert result.exit_code == code, result.output
    *_, line = result.stderr.strip().splitlines()
    assert line.startswith("robust: "), result.stderr
    assert "Traceback" not in result.output
    for word in words:
        assert word in line, line


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_writes_its_four_files_and_answers(models: list[Path], tmp_path: Path) -> None:
    result = attack(models, tmp_path / "run", "--severity", "4:noise", "--repeats", 1)
    assert result.exit_code == 0, result.output
    assert {path.name for path in (tmp_path / "run").iterdir()} == {*FILES, PICTURES, "report.html"}
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    said = " ".join(result.stdout.split())
    assert said.startswith(" ".join(summary["headlines"]))
    assert not any(share["sentence"] in said for share in summary["shares"])
    assert max(map(len, result.stdout.splitlines()[:-1])) <= 80  # the last one names the folder
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert facts["seed"] == 0
    assert facts["loss_network"].startswith("embedded")
    assert facts["loss_precision"] == "float32"
    assert facts["lpips"].startswith("not measured")
    assert facts["loss"]["source"] == "defaults of training"
    assert f"loss network: {facts['loss_network']}" in result.stderr
    assert "robust weights get vgg16" in result.stderr
    assert {network["sha256"] for network in facts["networks"]} == {sha256(m) for m in models}
    assert torch.__version__.startswith(facts["environment"]["versions"]["torch"])
    assert facts["images"] == ["astronaut", "cat", "coffee", "yurt"]
    assert facts["command"][:1] == ["robust"]
    grid = Image.open(tmp_path / "run" / "grid.png")
    assert grid.width > 4 * 100


def test_equal_seeds_give_equal_bytes_and_other_seeds_other_numbers(
    models: list[Path], photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def digest(name: str, seed: int) -> str:
        options = ("--images", photos, "--noise", "random", "--severity", 0.5, "--seed", seed)
        assert attack(models[2:4], tmp_path / name, *options).exit_code == 0
        return hashlib.sha256((tmp_path / name / "metrics.csv").read_bytes()).hexdigest()

    first = digest("a", 3)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2})
    assert digest("b", 3) == first  # whatever the number of workers
    assert digest("c", 4) != first


def test_own_images_are_named_by_their_files_and_bad_ones_in_a_folder_are_counted(
    models: list[Path], photos: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "mixed"
    shutil.copytree(photos, folder)
    (folder / "page.jpg").write_text("<!DOCTYPE html><html></html>")
    (folder / "empty.png").touch()
    result = attack(models[:1], tmp_path / "run", "--images", folder, "--severity", 2)
    assert result.exit_code == 0, result.output
    assert {row["image"] for row in rows(tmp_path / "run")} == {"photo0", "photo1"}
    assert "2 files skipped" in result.stderr
    skipped = json.loads((tmp_path / "run" / "run.json").read_text())["skipped"]
    assert {Path(name).name for name in skipped} == {"page.jpg", "empty.png"}


@pytest.mark.slow
def test_full_takes_every_picture_severity_and_metric(models: list[Path], tmp_path: Path) -> None:
    quick, full = tmp_path / "quick", tmp_path / "full"
    some = [models[2], models[4]]  # BN and BN+ASR
    assert attack(some, quick).exit_code == 0
    assert attack(some, full, "--repeats", 1, "--full").exit_code == 0
    assert {row["severity"] for row in rows(quick)} == {"", "1", "2", "8"}
    assert {row["norm"] for row in rows(quick) if row["severity"] == "1"} == {"bn"}
    assert {row["draw"] for row in rows(quick)} == {"", "0"}
    assert {row["severity"] for row in rows(full)} == {"", "1", "2", "4", "8", "16", "4:noise"}
    assert {row["norm"] for row in rows(full) if row["severity"] == "1"} == {"bn", "bn+asr"}
    assert {row["image"] for row in rows(full)} == set(UNSEEN)
    assert len({row["image"] for row in rows(quick)}) == 4
    more = {row["metric"] for row in rows(full)} - {row["metric"] for row in rows(quick)}
    assert more > {"psnr_to_clean", "ssim_to_clean", "laplacian_variance", "total_variation"}


def test_verbose_adds_the_details(models: list[Path], photos: Path, tmp_path: Path) -> None:
    options = ("--images", photos, "--severity", 2)
    few = attack(models, tmp_path / "a", *options)
    more = attack(models, tmp_path / "b", *options, "-v")
    assert more.exit_code == 0, more.output
    summary = json.loads((tmp_path / "b" / "summary.json").read_text())
    assert summary == json.loads((tmp_path / "a" / "summary.json").read_text())
    for share in summary["shares"]:
        assert share["sentence"].split(":")[0] in more.stdout
    assert "What a network was asked for" not in few.stdout
    assert "grid energy are faults" in " ".join(more.stdout.split())


def test_explicit_severities_are_run_on_every_variant(
    models: list[Path], photos: Path, tmp_path: Path
) -> None:
    options = ("--images", photos / "photo0.png", "--severity", 1)
    assert attack([models[2], models[4]], tmp_path / "run", *options).exit_code == 0
    assert {row["norm"] for row in rows(tmp_path / "run")} == {"bn", "bn+asr"}
    assert {row["norm"] for row in rows(tmp_path / "run") if row["severity"]} == {"bn", "bn+asr"}


def test_json_is_the_summary_alone(models: list[Path], photos: Path, tmp_path: Path) -> None:
    options = ("--images", photos, "--severity", 2, "--json")
    result = attack(models[:2], tmp_path / "run", *options)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == json.loads((tmp_path / "run" / "summary.json").read_text())


def test_options_reach_the_run_and_granularities_differ(
    models: list[Path], photos: Path, tmp_path: Path
) -> None:
    options = [
        *("--images", photos / "photo0.png", "--noise", "random", "--severity", 0.5),
        *("--repeats", 3, "--norm", "bn", "--statistics", "batch", "--batch-size", 3),
    ]
    texts = set()
    for granularity in ("layer", "channel", "sample"):
        out = tmp_path / granularity
        assert attack(models, out, *options, "--granularity", granularity).exit_code == 0
        measured = rows(out)
        assert {row["norm"] for row in measured} == {"bn"}
        assert {row["draw"] for row in measured if row["noise"] == "random"} == {"0", "1", "2", ""}
        assert {row["statistics"] for row in measured} == {"batch (n = 3)"}
        assert json.loads((out / "run.json").read_text())["granularity"] == granularity
        texts.add((out / "metrics.csv").read_text())
    assert len(texts) == 3


def test_all_noises_in_one_run(models: list[Path], photos: Path, tmp_path: Path) -> None:
    options = ("--images", photos / "photo0.png", "--noise", "all", "--repeats", 1)
    result = attack([models[0], models[2]], tmp_path / "run", *options)
    assert result.exit_code == 0, result.output
    noises = {row["noise"] for row in rows(tmp_path / "run")}
    assert noises == {"clean", "batch", "constant", "random"}


def test_an_interrupted_run_keeps_whole_images(
    models: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = StyleAttack.rows

    def interrupted(self: StyleAttack, name: str, image: Any, **rest: Any) -> Any:
        if name == "cat":
            raise KeyboardInterrupt
        return measure(self, name, image, **rest)

    monkeypatch.setattr(StyleAttack, "rows", interrupted)
    result = attack(models[:1], tmp_path / "run", "--severity", 2)
    failed(result, "interrupted", "keeps the 1 finished images", code=130)
    assert {row["image"] for row in rows(tmp_path / "run")} == {"astronaut"}
    assert json.loads((tmp_path / "run" / "run.json").read_text())["interrupted"] is True


def test_an_interrupt_before_the_first_image_leaves_nothing(
    models: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(StyleAttack, "rows", interrupted)
    failed(attack(models[:1], tmp_path / "run", "--severity", 2), "interrupted", code=130)
    assert not (tmp_path / "run").exists()


def test_no_space_left_leaves_no_broken_file(
    models: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("robust.style.results.Results.add", full)
    failed(attack(models[:1], tmp_path / "run", "--severity", 2), "no space left")
    assert not (tmp_path / "run").exists()


# --- what cannot be used --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--severity", "0"), ("0", "1 to 256")),
        (("--severity", "2:photoz"), ("photoz", "N:noise")),
        (("--noise", "constant", "--severity", "0.8"), ("SCALE,SHIFT",)),
        (("--noise", "constant", "--severity", "99,0"), ("99", "0 to 10")),
        (("--noise", "random", "--severity", "1.5"), ("1.5", "0 to 1")),
        (("--severity", "200"), ("199 companions",)),
    ],
)
def test_bad_options_are_one_line_and_leave_nothing(
    models: list[Path], tmp_path: Path, options: tuple[str, ...], words: tuple[str, ...]
) -> None:
    result = attack(models[:1], tmp_path / "run", *options)
    failed(result, *words)
    assert not (tmp_path / "run").exists()


def test_an_existing_run_is_kept_without_overwrite(
    models: list[Path], photos: Path, tmp_path: Path
) -> None:
    options = ("--images", photos / "photo0.png", "--severity", 2)
    assert attack(models[:1], tmp_path / "run", *options).exit_code == 0
    before = (tmp_path / "run" / "metrics.csv").read_bytes()
    failed(attack(models[:1], tmp_path / "run", *options, "--seed", 1), str(tmp_path / "run"))
    assert (tmp_path / "run" / "metrics.csv").read_bytes() == before
    assert attack(models[:1], tmp_path / "run", *options, "--overwrite").exit_code == 0


def test_all_images_bad_is_an_error(models: list[Path], tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_text("<html>")
    failed(attack(models[:1], tmp_path / "run", "--images", tmp_path / "photos"), "usable image")
    assert not (tmp_path / "run").exists()


class _Bomb:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.marker,))


def test_a_pickle_with_code_is_refused_and_never_run(tmp_path: Path) -> None:
    marker, bad = tmp_path / "executed", tmp_path / "bad.pth"
    bad.write_bytes(pickle.dumps(_Bomb(marker)))
    failed(attack([bad], tmp_path / "run", "--style", "mosaic"), "bad.pth", "refused")
    assert not marker.exists()
    assert not (tmp_path / "run").exists()


def test_nan_weights_and_other_architectures_are_refused(tmp_path: Path) -> None:
    path = save_tiny(tmp_path, "bn", 0)
    meta = load_meta(path)
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
    broken = {**tensors, "conv1.conv2d.bias": torch.full((4,), float("nan"))}
    save_file(broken, path, metadata={META: json.dumps(meta)})
    failed(attack([path], tmp_path / "run"), "conv1.conv2d.bias", "NaN")
    del tensors["in1.weight"]
    save_checkpoint(path, tensors, meta)
    failed(attack([path], tmp_path / "run"), "another architecture", "in1.weight")
    assert not (tmp_path / "run").exists()


def test_an_own_network_needs_its_style_image(tmp_path: Path) -> None:
    path = save_tiny(tmp_path, "bn", 0, style="my-cat")
    failed(attack([path], tmp_path / "run", "--severity", 2), str(path), "style image")
    style = tmp_path / "style.png"
    Image.radial_gradient("L").convert("RGB").save(style)
    options = ("--severity", 2, "--style", style)
    assert attack([path], tmp_path / "run", *options).exit_code == 0
