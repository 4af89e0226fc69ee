"""The package: what a wheel holds, what it needs, and which way its imports point."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from email import message_from_string
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ["asr_core", "styletransfer", "robust"]  # each may import those before it
# Where the import name differs.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "axe_playwright_python": "axe-playwright-python",
    "lazy_loader": "lazy-loader",
    "skimage": "scikit-image",
    "yaml": "pyyaml",
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a wheel is built from: building leaves folders behind."""
    tree = tmp_path_factory.mktemp("tree")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree / name)
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    (tree / "styletransfer" / "weights" / "made-up.safetensors").write_bytes(b"weights")
    (tree / "styletransfer" / "weights" / "made-up.json").write_text("{}")
    (tree / "styletransfer" / "weights" / "scratch.tmp").write_text("not for users")
    return tree


def build(kind: str, tree: Path, dist: Path) -> Path:
    """The ``wheel`` or ``sdist`` of a tree, by the build backend; the path of the archive."""
    dist.mkdir(exist_ok=True)
    script = f"import sys; from setuptools.build_meta import *; build_{kind}(sys.argv[1])"
    built = subprocess.run(
        [sys.executable, "-c", script, str(dist)],
        cwd=tree, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    (path,) = (path for path in dist.iterdir() if (path.suffix == ".whl") == (kind == "wheel"))
    return path


@pytest.fixture(scope="module")
def wheel(tree: Path) -> Iterator[zipfile.ZipFile]:
    path = build("wheel", tree, tree / "dist")
    with zipfile.ZipFile(path) as opened:
        yield opened


def test_the_wheel_holds_every_module(wheel: zipfile.ZipFile, tree: Path) -> None:
    modules = {
        str(path.relative_to(tree))
        for package in PACKAGES
        for path in (tree / package).rglob("*.py")
    }
    packed = {name for name in wheel.namelist() if name.endswith(".py")}
    assert packed == modules
    assert {f"{package}/__init__.pyi" for package in PACKAGES} < set(wheel.namelist())
    assert {f"{package}/py.typed" for package in PACKAGES} < set(wheel.namelist())
    assert "robust/cli/__init__.py" in packed


def test_the_wheel_holds_the_weights_byte_for_byte(wheel: zipfile.ZipFile, tree: Path) -> None:
    folder = tree / "styletransfer" / "weights"
    shipped = [path for path in folder.iterdir() if path.suffix in (".safetensors", ".json")]
    assert len(shipped) >= 2
    for path in shipped:
        assert wheel.read(str(path.relative_to(tree))) == path.read_bytes()


def test_the_wheel_holds_what_the_page_of_a_run_is_made_of(wheel: zipfile.ZipFile) -> None:
    parts = {f"robust/report/page/page.{suffix}" for suffix in ("html", "css", "js")}
    assert parts < set(wheel.namelist())


def test_the_wheel_holds_nothing_else(wheel: zipfile.ZipFile) -> None:
    extra = [
        name
        for name in wheel.namelist()
        if not name.endswith((".py", ".pyi", "/py.typed", ".safetensors", ".json", ".toml"))
        and name != "styletransfer/weights/README.md"
        and not name.startswith("robust/report/page/page.")
        and ".dist-info/" not in name
    ]
    assert extra == []
    assert {name.partition("/")[0] for name in wheel.namelist() if ".dist-info" not in name} == set(
        PACKAGES
    )


def dist_info(wheel: zipfile.ZipFile, name: str) -> str:
    (path,) = (each for each in wheel.namelist() if each.endswith(f".dist-info/{name}"))
    return wheel.read(path).decode()


def test_the_wheel_says_what_it_is(wheel: zipfile.ZipFile) -> None:
    about = message_from_string(dist_info(wheel, "METADATA"))
    assert about["Name"] == "robust-asr"
    assert about["Requires-Python"] == ">=3.11"
    assert about["License-Expression"] == "MIT"
    assert str(about.get_payload()).strip() == (ROOT / "README.md").read_text().strip()
    assert "the robust-asr authors" in dist_info(wheel, "licenses/LICENSE")


def test_the_wheel_brings_the_command(wheel: zipfile.ZipFile) -> None:
    assert "robust = robust.cli:main" in dist_info(wheel, "entry_points.txt").splitlines()


@pytest.fixture(scope="module")
def requirements(wheel: zipfile.ZipFile) -> list[str]:
    return message_from_string(dist_info(wheel, "METADATA")).get_all("Requires-Dist") or []


def names(requirements: list[str], *, extra: str | None = None) -> set[str]:
    """The distributions required, always or by an extra."""
    wanted = "" if extra is None else f'extra == "{extra}"'
    parts = [each.partition(";")[::2] for each in requirements]
    return {re.split("[><=~!]", name)[0] for name, marker in parts if marker.strip() == wanted}


def test_requirements_are_floors_not_pins(requirements: list[str]) -> None:
    assert len(requirements) > 10
    for requirement in requirements:
        specifier = requirement.partition(";")[0].strip()
        assert re.fullmatch(r"[A-Za-z0-9_.-]+>=[0-9.]+", specifier), requirement


def imports(path: Path) -> Iterator[str]:
    """The full names of all that a module imports, in functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield str(node.module)


def imported(folder: str) -> set[str]:
    """The top-level packages that the modules in ``folder`` import, the standard library aside."""
    found = {
        name.partition(".")[0] for path in (ROOT / folder).rglob("*.py") for name in imports(path)
    }
    return found - set(sys.stdlib_module_names)


def distributions(folder: str) -> set[str]:
    """What must be installed for the modules in ``folder``, beside ourselves."""
    own = (ROOT / "tests", ROOT / "scripts")
    helpers = {path.stem for place in own for path in place.rglob("*.py")}
    return {DISTRIBUTIONS.get(name, name) for name in imported(folder) - helpers - set(PACKAGES)}


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_point_one_way(package: str) -> None:
    allowed = PACKAGES[: PACKAGES.index(package) + 1]
    assert imported(package) & set(PACKAGES) <= set(allowed)


def test_the_arrows_are_there_at_all() -> None:
    assert "asr_core" in imported("styletransfer")
    assert "torch" in imported("asr_core")


@pytest.mark.parametrize("package", PACKAGES)
def test_what_is_imported_is_required(package: str, requirements: list[str]) -> None:
    assert distributions(package) <= names(requirements)


def test_what_the_tests_import_is_required(requirements: list[str]) -> None:
    assert "hypothesis" in distributions("tests")
    assert distributions("tests") <= names(requirements) | names(requirements, extra="test")


def test_nothing_is_required_that_no_module_imports(requirements: list[str]) -> None:
    used = set().union(*map(distributions, PACKAGES))
    assert names(requirements) <= used


# --- installed ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_sdist_makes_the_same_wheel(tree: Path, wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    archive = build("sdist", tree, tmp_path / "sdist")
    with tarfile.open(archive) as opened:
        opened.extractall(tmp_path, filter="data")
    unpacked = tmp_path / archive.name.removesuffix(".tar.gz")
    again = build("wheel", unpacked, tmp_path / "again")
    with zipfile.ZipFile(again) as other:
        assert len(wheel.namelist()) > 300
        assert sorted(other.namelist()) == sorted(wheel.namelist())
        for name in wheel.namelist():
            if not name.endswith("/RECORD"):
                assert other.read(name) == wheel.read(name), name


SMOKE = """
import importlib.resources, sys, torch
import asr_core, robust, styletransfer
from asr_core.recipes import load_recipe, recipes
from styletransfer.zoo import shipped
for package in (asr_core, robust, styletransfer):
    assert package.__file__.startswith(sys.prefix), package.__file__
    assert importlib.resources.files(package).joinpath("py.typed").is_file(), package
assert len([load_recipe(name) for name in recipes()]) > 10
assert len(shipped()) >= 30
photographs = torch.rand(1, 3, 64, 64)
pictures = robust.stylize(photographs, style="mosaic", norm="in")
assert pictures.shape == photographs.shape
assert 0 <= pictures.min() < pictures.max() <= 1
"""


@pytest.mark.slow
def test_it_works_where_nothing_but_the_wheel_and_its_requirements_is(tmp_path: Path) -> None:
    """Installed from a wheel of this checkout, in an environment of its own, run from elsewhere."""
    folder = tmp_path / "tree"
    folder.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, folder / package, ignore=ignored)
    archive = build("wheel", folder, tmp_path / "dist")
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    def run(*command: object) -> str:
        done = subprocess.run(
            list(map(str, command)), cwd=elsewhere, capture_output=True, text=True, check=False,
            env={"PATH": os.environ["PATH"], "HOME": str(elsewhere), "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert done.returncode == 0, (command, done.stderr)
        return done.stdout

    run(python, "-m", "pip", "install", "--no-deps", "--no-index", archive)
    # The requirements are those of the tests. Its own packages come first on the path, and editable
    # installs, which lines in .pth files make, are not followed from here.
    own = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    (own / "requirements.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    robust = tmp_path / "venv" / "bin" / "robust"
    assert "Commands:" in run(robust, "--help")
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert run(robust, "--version") == f"robust {version}\n"
    assert "mosaic" in run(robust, "list")
    assert "resnet" in run(robust, "recipes")
    found = json.loads(run(robust, "doctor", "--json"))
    assert found["ok"], found["problems"]
    run(python, "-c", SMOKE)
