"""``robust stylize`` end to end: pictures as large as they came, and none lost."""

import errno
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from tiny_networks import save_all, save_tiny
from tiny_run import picture

import styletransfer.inference
import styletransfer.zoo
from robust.cli import main
from styletransfer.images.read import read_image
from styletransfer.inference import stylize
from styletransfer.recipe import StyleRecipe
from styletransfer.train import new_network
from styletransfer.zoo import load_network, save_network


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small networks in the place of those that ship."""
    folder = tmp_path_factory.mktemp("weights")
    save_all(folder)
    return folder


@pytest.fixture(autouse=True)
def weights(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Path:
    monkeypatch.setattr(styletransfer.zoo.shipped, "__defaults__", (folder,))
    return folder


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return picture(tmp_path / "cat.jpg", size=(75, 50))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for index in range(3):
        picture(folder / f"photo{index}.png", index)
    (folder / "notes.txt").write_text("hello")
    return folder


def run(out: Path, *arguments: object) -> Result:
    line = ["stylize", *map(str, arguments), "--out", str(out)]
    return CliRunner().invoke(main, line, prog_name="robust")


def failed(result: Result, *words: str, code: int = 2) -> None:
    assert result.exit_code == code, result.output
    *_, line = result.stderr.strip().splitlines()
    assert line.startswith("robust: "), result.stderr
    assert "Traceback" not in result.output
    for word in words:
        assert word in line, line


# --- it works -------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [[], ["--format", "png"], ["--format", "jpg"]])
def test_a_picture_is_as_large_as_the_photograph(
    photo: Path, tmp_path: Path, arguments: list[str]
) -> None:
    result = run(tmp_path / "out", photo, *arguments)
    suffix = arguments[-1] if arguments else "png"
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{tmp_path / 'out' / f'cat.{suffix}'}\n"
    with Image.open(tmp_path / "out" / f"cat.{suffix}") as image:
        assert image.size == (75, 50)
        assert image.format == {"png": "PNG", "jpg": "JPEG"}[suffix]
    assert os.listdir(tmp_path / "out") == [f"cat.{suffix}"]


@pytest.mark.parametrize(("norm", "seed"), [("in", 0), ("bn", 1), ("bn+asr", 1), ("bn+const", 0)])
def test_it_is_the_chosen_network_picture(
    photo: Path, tmp_path: Path, weights: Path, norm: str, seed: int
) -> None:
    result = run(tmp_path / "out", photo, "--norm", norm, "--train-seed", seed)
    assert result.exit_code == 0, result.output
    name = f"mosaic-{norm.replace('+', '-')}-{seed}.safetensors"
    wanted = stylize(load_network(weights / name)[0], read_image(photo)[None])[0]
    found = np.asarray(Image.open(tmp_path / "out" / "cat.png"))
    assert np.array_equal(found, (wanted * 255).round().byte().permute(1, 2, 0).numpy())


def test_an_own_network_is_used(photo: Path, tmp_path: Path) -> None:
    own = save_tiny(tmp_path, "bn", 7, style="blocks")
    run(tmp_path / "out", photo, "--norm", "bn")
    result = run(tmp_path / "own", photo, "--checkpoint", own)
    assert result.exit_code == 0, result.output
    pictures = [np.asarray(Image.open(tmp_path / name / "cat.png")) for name in ("out", "own")]
    assert not np.array_equal(*pictures)


def test_photographs_can_be_resized(photo: Path, tmp_path: Path) -> None:
    run(tmp_path / "out", photo, "--size", 34)
    assert Image.open(tmp_path / "out" / "cat.png").size == (51, 34)


def test_a_folder_is_stylised_file_by_file(photos: Path, tmp_path: Path) -> None:
    result = run(tmp_path / "out", photos)
    assert result.exit_code == 0, result.output
    assert sorted(os.listdir(tmp_path / "out")) == [f"photo{index}.png" for index in range(3)]
    assert len(result.stdout.splitlines()) == 3
    skipped, count = result.stderr.strip().splitlines()
    assert skipped.startswith(f"skipped {photos / 'notes.txt'}: is not an image")
    assert count == "files skipped: 1"


def test_equal_names_from_two_folders_get_two_pictures(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        picture(tmp_path / name / "cat.png")
    result = run(tmp_path / "out", tmp_path / "one", tmp_path / "two")
    assert result.exit_code == 0, result.output
    assert sorted(os.listdir(tmp_path / "out")) == ["one-cat.png", "two-cat.png"]


# --- the folded network ---------------------------------------------------------------------------


def test_folded_it_gives_the_same_picture_and_the_ratio(photo: Path, tmp_path: Path) -> None:
    run(tmp_path / "out", photo)
    result = run(tmp_path / "fused", photo, "--fused")
    assert result.exit_code == 0, result.output
    pictures = [
        np.asarray(Image.open(tmp_path / name / "cat.png")).astype(int) for name in ("out", "fused")
    ]
    assert np.abs(pictures[0] - pictures[1]).max() <= 1
    path, line = result.stdout.splitlines()
    assert path.endswith("cat.png")
    match = re.fullmatch(
        r"fused: (\d+) ms for 75 × 50 pixels; IN network of the same width: (\d+) ms; "
        r"(\d+\.\d\d) times as fast",
        line,
    )
    assert match, line
    assert float(match[3]) > 0


def test_the_speed_is_measured_on_a_part_of_a_large_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, ...]] = []

    def measure(first: object, second: object, images: torch.Tensor) -> tuple[float, float]:
        seen.append(tuple(images.shape))
        return 2.0, 1.0

    monkeypatch.setattr(styletransfer.inference, "speed_ratio", measure)
    large = picture(tmp_path / "large.png", size=(530, 40))
    result = run(tmp_path / "out", large, picture(tmp_path / "b.png"), "--fused", "--json")
    assert seen == [(1, 3, 40, 512)], "once, of the first picture"
    assert json.loads(result.stdout)["speed"] == {
        "height": 40, "width": 512, "in_seconds": 2.0, "fused_seconds": 1.0, "ratio": 2.0
    }  # fmt: skip


def test_instance_norm_cannot_be_folded(photo: Path, tmp_path: Path) -> None:
    failed(run(tmp_path / "out", photo, "--norm", "in", "--fused"), "cannot be folded")
    assert not (tmp_path / "out").exists()


# --- json -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("fused", [False, True])
def test_json_is_all_that_stdout_holds(photos: Path, tmp_path: Path, fused: bool) -> None:
    result = run(tmp_path / "out", photos, "--json", *(["--fused"] if fused else []))
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["written"] == [str(tmp_path / "out" / f"photo{i}.png") for i in range(3)]
    assert list(report["skipped"]) == [str(photos / "notes.txt")]
    assert "is not an image" in report["skipped"][str(photos / "notes.txt")]
    if fused:
        speed = report["speed"]
        assert speed["ratio"] == pytest.approx(speed["in_seconds"] / speed["fused_seconds"])
    else:
        assert report["speed"] is None


# --- nothing lost or half-written -----------------------------------------------------------------


def test_pictures_that_exist_are_found_before_any_is_made(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "photo2.png").write_text("mine")  # the last one
    failed(run(out, photos), f"{out / 'photo2.png'} exist", "overwrite")
    assert os.listdir(out) == ["photo2.png"]
    assert (out / "photo2.png").read_text() == "mine"
    (out / "photo0.png").write_text("mine")
    failed(run(out, photos), "photo0.png and 1 more exist already")
    result = run(out, photos, "--overwrite")
    assert result.exit_code == 0, result.output
    assert all(Image.open(out / f"photo{index}.png").size == (80, 70) for index in range(3))


def test_pictures_of_another_format_are_not_in_the_way(photo: Path, tmp_path: Path) -> None:
    assert run(tmp_path / "out", photo).exit_code == 0
    assert run(tmp_path / "out", photo, "--format", "jpg").exit_code == 0
    assert sorted(os.listdir(tmp_path / "out")) == ["cat.jpg", "cat.png"]


def test_a_photograph_is_not_replaced_by_its_picture(tmp_path: Path) -> None:
    photo = picture(tmp_path / "cat.png")
    before = photo.read_bytes()
    failed(run(tmp_path, photo), "cat.png exists already")
    assert photo.read_bytes() == before


def test_ctrl_c_keeps_what_is_finished(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def interrupted(network: object, images: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return images

    monkeypatch.setattr(styletransfer.inference, "stylize", interrupted)
    result = run(tmp_path / "out", photos)
    failed(result, "interrupted", f"{tmp_path / 'out'} keeps the 2 finished pictures", code=130)
    assert sorted(os.listdir(tmp_path / "out")) == ["photo0.png", "photo1.png"]


def test_a_full_disk_leaves_no_broken_file(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync, calls = os.fsync, []

    def full_at_the_second(handle: int) -> None:
        calls.append(handle)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", full_at_the_second)
    failed(run(tmp_path / "out", photos), "no space left on the disk")
    assert os.listdir(tmp_path / "out") == ["photo0.png"]


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--train-seed", "9"], ["unknown seed", "'9'", "Known: 0, 1"]),
        (["--device", "cuda:99"], ["device 'cuda:99' cannot be used"]),
        (["--max-pixels", "100"], ["has 3,750 pixels, over the limit of 100"]),
    ],
)
def test_bad_options_are_one_line(
    photo: Path, tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    failed(run(tmp_path / "out", photo, *arguments), *words)
    assert not (tmp_path / "out").exists()


def test_no_photograph_is_a_usage_error(tmp_path: Path) -> None:
    failed(run(tmp_path / "out"), "IMAGES")


def test_a_file_is_no_output_folder(photo: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    failed(run(tmp_path / "out", photo, "--overwrite"), "is a file")
    assert (tmp_path / "out").read_text() == "mine"


def test_a_folder_without_images_is_an_error(photos: Path, tmp_path: Path) -> None:
    for path in photos.glob("*.png"):
        path.unlink()
    failed(run(tmp_path / "out", photos), "none of the 1 files is a usable image")
    (photos / "notes.txt").unlink()
    failed(run(tmp_path / "out", photos), "the folder holds no files")


def test_a_large_photograph_gets_a_hint(tmp_path: Path, photo: Path) -> None:
    small = StyleRecipe(norm="in", width=4, blocks=1, size=64, coarse_size=64)
    model = tmp_path / "own.safetensors"
    save_network(model, new_network(small), style="x", seed=0, facts={"recipe": small.as_dict()})
    large = picture(tmp_path / "large.png", size=(200, 300))
    other = picture(tmp_path / "other.png", size=(300, 193))
    edge = picture(tmp_path / "edge.png", size=(192, 300))
    pictures = [photo, edge, large, other]
    result = run(tmp_path / "out", *pictures, "--checkpoint", model)
    assert result.exit_code == 0, result.output
    (hint,) = [line for line in result.stderr.splitlines() if "hint" in line]
    assert all(word in hint for word in ("large", "200", "64", "--size 128"))
    assert "pictures as large as that: 2" in result.stderr
    again = run(tmp_path / "again", *pictures, "--checkpoint", model, "--size", 128)
    assert again.stderr == ""
    public = save_tiny(tmp_path, "in", 0, style="y")
    assert run(tmp_path / "third", large, "--checkpoint", public).stderr == "", "it does not say"
