"""The Python API does what the commands do, and imports nothing before it is used."""

import html
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from tiny_networks import save_all
from tiny_run import picture
from torch import nn

import robust
import styletransfer.zoo
from asr_core.errors import InputError
from robust.cli import main
from robust.cli.runs.attack import attack as attack_command
from robust.norm_noise import BatchNoise, ConstantNoise, Noise, RandomNoise


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    save_all(folder)
    return folder


@pytest.fixture(autouse=True)
def shipped(monkeypatch: pytest.MonkeyPatch, weights: Path) -> None:
    """Small networks in the place of those that ship."""
    monkeypatch.setattr(styletransfer.zoo.shipped, "__defaults__", (weights,))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return picture(tmp_path / "cat.png", size=(75, 50))


def command(*arguments: object) -> None:
    result = CliRunner().invoke(main, [*map(str, arguments)], prog_name="robust")
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("package", ["robust", "styletransfer"])
def test_a_package_imports_nothing_before_it_is_used(package: str) -> None:
    program = (
        f"import sys, {package} as p; print(*(n for n in dir(p) if n in p.__all__)); "
        "print(*({'torch', 'numpy', 'PIL', 'asr_core'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    names, imported = done.stdout.split("\n")[:2]
    assert "stylize" in names.split()
    assert imported == ""


@pytest.mark.parametrize("package", [robust, styletransfer])
def test_every_name_is_there_and_no_other(package: Any) -> None:
    for name in package.__all__:
        assert callable(getattr(package, name)) or name == "NORMS"
    with pytest.raises(AttributeError, match="nothing_such"):
        package.nothing_such  # noqa: B018


def test_an_attack_is_what_the_command_writes(
    photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "run"
    command(
        "attack", "--severity", 2, "--severity", "4:noise", "--images", photo, "--size", 64,
        "--quiet", "--out", out,
    )  # fmt: skip
    result = robust.attack("batch", severities=[2, "4:noise"], images=[photo], size=64)
    assert result.measurements.encode() == (out / "metrics.csv").read_bytes()
    assert np.array_equal(np.asarray(result.grid), np.asarray(Image.open(out / "grid.png")))
    assert not (tmp_path / "runs").exists(), "in memory nothing is written"
    again = robust.attack(severities=[2, "4:noise"], images=[photo], size=64, out=tmp_path / "b")
    for name in ("metrics.csv", "summary.json", "grid.png"):
        assert (out / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert again.summary == result.summary
    assert [row[0].text for row in result.table.rows[:2]] == ["IN", "BN"]
    assert len(result.details.rows) == len(result.summary["cells"])
    assert set(result.answers) == {
        "clean",
        "batch, n = 2",
        "batch, n = 4, noise",
        "batch, attacked",
    }
    assert result.headline == result.summary["headlines"][0]
    assert repr(result) == f"<AttackResult: {result.headline}>"
    shown = result._repr_html_()
    assert shown.index(html.escape(result.headline)) < shown.index(result.table.html())


def test_a_frame_holds_every_measurement_and_needs_pandas(
    photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"severities": [2], "images": [photo], "size": 64, "norms": ["bn"]}
    results = [robust.attack(**options, out=out) for out in (None, tmp_path / "run")]
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pandas", None)
        with pytest.raises(InputError, match="pandas"):
            results[0].frame()
    pytest.importorskip("pandas")
    for result in results:
        frame = result.frame()
        assert set(frame.columns) > {"norm", "noise", "severity", "image", "metric", "value"}
        assert set(frame.image) == {"cat"}
        assert frame.value.dtype == float
        assert frame.draw[frame.noise == "clean"].isna().all()
        assert (frame.draw[frame.noise == "batch"] == 0).all()
        clean = frame[(frame.noise == "clean") & (frame.metric == "loss")]
        cell = result.summary["cells"][0]["metrics"]["loss"]
        assert clean.value.mean() == pytest.approx(cell["mean"], rel=1e-5)


def test_every_option_of_the_command_is_one_of_the_function() -> None:
    of_command = {parameter.name for parameter in attack_command.params}
    of_classifiers = {"phase", "data", "data_folder", "split", "precision"}
    of_output = {"task", "as_json", "quiet", "verbose", "no_report"}
    wanted = of_command - of_classifiers - of_output | {"command"}
    assert set(inspect.signature(robust.attack).parameters) == wanted


def test_stylised_pictures_are_the_commands(photo: Path, tmp_path: Path) -> None:
    command("stylize", photo, "--norm", "bn", "--out", tmp_path / "out")
    wanted = np.asarray(Image.open(tmp_path / "out" / "cat.png"))
    pixels = np.asarray(Image.open(photo).convert("RGB"))
    images = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None] / 255
    from_tensor = robust.stylize(images, style="mosaic", norm="bn")
    assert from_tensor.shape == images.shape
    levels = (from_tensor[0] * 255).round().byte().permute(1, 2, 0).numpy()
    from_image = robust.stylize(Image.open(photo), norm="bn")
    (from_path,) = robust.stylize(photo, norm="bn")
    first, second = robust.stylize([Image.open(photo), str(photo)], norm="bn")
    for found in (levels, from_image, from_path, first, second):
        assert np.array_equal(np.asarray(found), wanted)
    fused = robust.stylize(images, norm="bn", fused=True)
    assert torch.allclose(fused, from_tensor, atol=1e-4)
    done = robust.stylize_files([photo], tmp_path / "files", norm="bn")
    assert (tmp_path / "files" / "cat.png").read_bytes() == Path(done.written[0]).read_bytes()
    assert np.array_equal(np.asarray(Image.open(done.written[0])), wanted)


def test_pictures_in_memory_are_not_resized(photo: Path) -> None:
    (small,) = robust.stylize(photo, size=32)
    assert small.size == (48, 32)
    for images in (torch.rand(1, 3, 20, 20), Image.open(photo), [photo, Image.open(photo)]):
        with pytest.raises(InputError, match="size 32"):
            robust.stylize(images, size=32)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("given", "severity"),
    [
        (("constant", (0.8, 0.5)), ConstantNoise(0.8, 0.5)),
        (("constant", "0.8,0.5"), ConstantNoise(0.8, 0.5)),
        (("random", 0.2), RandomNoise(0.2)),
        (("random", "uniform"), RandomNoise(None)),
        (("batch", 4), BatchNoise(4)),
        ((BatchNoise(4),), BatchNoise(4)),
    ],
)
def test_noise_is_that_of_its_severity(given: Any, severity: Any) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval()
    x = torch.rand(8, 3, 6, 6)
    with robust.noise(model, *given, seed=3) as noise:
        assert noise.severity == severity
        found = model(x)
    with Noise(model, severity, seed=3):
        assert torch.equal(model(x), found)
    assert not torch.allclose(model(x), found, atol=1e-3)


@pytest.mark.parametrize(
    ("given", "value"),
    [
        (("constant",), "''"),
        (("constant", (0.8,)), "0.8"),
        (("batch", 4.5), "4.5"),
        (("nose", 1), "nose"),
        ((BatchNoise(4), 4), "4"),
    ],
)
def test_other_severities_are_refused(given: Any, value: str) -> None:
    with pytest.raises(InputError, match=value):
        robust.noise(nn.BatchNorm2d(3), *given)
