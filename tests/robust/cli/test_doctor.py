"""robust doctor: what is installed, what is missing, and what to install for it."""

import json
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from asr_core.pretrained.catalogue import PRETRAINED
from robust.cli import main
from robust.cli.doctor import EXTRAS

PROJECT = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
DEVELOPMENT = {"docs", "test"}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ROBUST_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, str | None]:
    """What is installed beside this project, as pyproject.toml asks for it; None: it is missing."""
    versions: dict[str, str | None] = {}
    about = metadata.metadata("robust-asr")
    del about["Requires-Dist"], about["Provides-Extra"]
    for text in PROJECT["dependencies"]:
        about["Requires-Dist"] = text
    for extra, texts in PROJECT["optional-dependencies"].items():
        about["Provides-Extra"] = extra
        for text in texts:
            about["Requires-Dist"] = f'{text}; extra == "{extra}"'
    monkeypatch.setattr(metadata, "metadata", lambda _: about)
    real = metadata.version

    def version(name: str) -> str:
        found = versions[name] if name in versions else real(name)
        if found is None:
            raise metadata.PackageNotFoundError(name)
        return found

    monkeypatch.setattr(metadata, "version", version)
    return versions


def doctor(*words: str) -> Result:
    return CliRunner().invoke(main, ["doctor", *words], prog_name="robust")


def told(code: int = 0) -> dict[str, object]:
    result = doctor("--json")
    assert result.exit_code == code, result.output
    found: dict[str, object] = json.loads(result.stdout)
    return found


def test_every_extra_is_told_what_it_is_for() -> None:
    assert set(EXTRAS) | DEVELOPMENT == set(PROJECT["optional-dependencies"])


def test_what_is_there_is_told(installed: dict[str, str | None], cache: Path) -> None:
    installed.update(dict.fromkeys(("onnx", "onnxruntime", "onnxscript"), "9"))
    cache.mkdir()
    (cache / "vgg16.safetensors").touch()
    found = told()
    assert found["ok"] is True
    assert found["problems"] == []
    assert found["packages"]["torch"] == metadata.version("torch")
    assert len(found["packages"]) == 1 + len(PROJECT["dependencies"])
    assert [each["name"] for each in found["extras"]] == list(EXTRAS)
    weights = {each["name"]: each["file"] for each in found["weights"]}
    files = {**dict.fromkeys(PRETRAINED), "vgg16": str(cache / "vgg16.safetensors")}
    assert weights == files
    lines = doctor().stdout.splitlines()
    assert any(line.split()[:2] == ["torch", metadata.version("torch")] for line in lines)
    assert any(line.startswith("export") and "yes" in line for line in lines)
    assert not any("pip install 'robust-asr[export]'" in line for line in lines)
    assert not any("robust weights get vgg16" in line for line in lines)
    assert any(line.endswith("robust weights get lpips-vgg") for line in lines)


@pytest.mark.parametrize("version", [None, "0.1"])
def test_an_extra_that_is_missing_or_too_old_says_the_command(
    installed: dict[str, str | None], version: str | None
) -> None:
    installed["ray"] = version
    result = doctor()
    assert result.exit_code == 0
    (line,) = (line for line in result.stdout.splitlines() if line.startswith("ray "))
    assert "ray>=" in line
    assert line.endswith("  pip install 'robust-asr[ray]'")


@pytest.mark.parametrize("version", [None, "0.1"])
@pytest.mark.parametrize("name", ["pydantic", "torch"])
def test_a_core_package_that_is_missing_or_too_old_fails(
    installed: dict[str, str | None], name: str, version: str | None
) -> None:
    installed[name] = version
    found = told(code=1)
    assert found["ok"] is False
    (problem,) = found["problems"]
    assert (problem["name"], problem["version"]) == (name, version)
    assert problem["install"].startswith(f"pip install '{name}>=")
    assert any(problem["install"] in line for line in doctor().stdout.splitlines())


def test_an_unfit_python_fails(
    installed: dict[str, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.python_version", lambda: "3.10.2")
    (problem,) = told(code=1)["problems"]
    assert (problem["name"], problem["version"]) == ("python", "3.10.2")


def test_sources_that_are_not_installed_are_a_problem(installed: dict[str, str | None]) -> None:
    installed["robust-asr"] = None
    (problem,) = told(code=1)["problems"]
    assert problem["name"] == "robust-asr"


def test_accelerators_have_the_names_that_the_device_option_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"card {index}")
    cpu, *others = told()["devices"]
    assert cpu["name"] == "cpu"
    assert others == [
        {"name": "cuda", "for": "card 0"},
        {"name": "cuda:1", "for": "card 1"},
    ]


def test_it_answers_without_what_other_commands_need() -> None:
    """Only what imports the command line itself is left: click, packaging and lazy-loader."""
    script = (
        "import sys\n"
        "for name in sys.argv[1:]: sys.modules[name] = None\n"
        "from robust.cli import main\n"
        "main(['doctor', '--json'])\n"
    )
    absent = ["torch", "torchvision", "numpy", "scipy", "PIL", "skimage", "rich", "matplotlib"]
    absent += ["safetensors", "accelerate", "pydantic", "foolbox"]
    done = subprocess.run(
        [sys.executable, "-c", script, *absent], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert [each["name"] for each in json.loads(done.stdout)["problems"]] == ["torch"]
