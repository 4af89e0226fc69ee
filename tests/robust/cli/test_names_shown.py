"""Names of strangers', through whole commands and reports; the data keep them as they are."""

import csv
import io
import json
import os
import re
import shutil
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from controls import CONTROLS
from PIL import Image
from suite_results import made_up
from tiny_classifier import tiny_data
from tiny_networks import save_all
from tiny_run import picture
from tiny_runs import PLAIN, make_known, train

import styletransfer.zoo
from robust.cli import main
from robust.report import escape
from robust.report.grid import draw_grid
from robust.report.page.build import write_report as render_report
from robust.stripes.page import panels, save
from robust.suites.report import write_report
from robust.suites.suite import SUITES, SuiteOptions

ODD = {
    os.fsdecode(b"caf\xe9"): r"caf\xe9",
    "two\nlines": r"two\nlines",
    "\x1b[31mred\x07": r"\x1b[31mred\x07",
    "$\\foo$": "$\\foo$",
    "=1+1|x": "=1+1|x",
    "\u202egnp": r"\u202egnp",
    "red] [bold]": "red] [bold]",
    "x" * 245: "x" * 245,
}  # fmt: skip
"""Stems of files, and how a terminal shows them; rich would take "photos[/red]" for mark-up."""


@pytest.fixture(autouse=True)
def networks(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> list[Path]:
    folder = tmp_path_factory.mktemp("weights")
    saved = save_all(folder)
    monkeypatch.setattr(styletransfer.zoo.shipped, "__defaults__", (folder,))
    return saved or sorted(folder.glob("*.safetensors"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos[").mkdir()
    for index, stem in enumerate(ODD):
        picture(tmp_path / "photos[" / f"{stem}.png", index)
    return tmp_path / "photos["


def robust(*arguments: object) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)], prog_name="robust")


def clean(result: Result, *, code: int = 0) -> str:
    assert result.exit_code == code, result.output
    assert "internal error" not in result.output
    for text in (result.stdout, result.stderr):
        assert not CONTROLS.search(text.replace("\n", "")), repr(text)
    return result.output


def test_pictures_keep_their_names_and_the_terminal_shows_them(
    photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = robust("stylize", photos, "--out", out)
    clean(result)
    assert {path.stem for path in out.iterdir()} == set(ODD), "the data keep the name"
    lines = result.stdout.splitlines()
    assert sorted(lines) == sorted(f"{out}/{shown}.png" for shown in ODD.values())
    again = robust("stylize", photos, "--out", out, "--overwrite", "--json")
    clean(again)
    assert {Path(path).stem for path in json.loads(again.stdout)["written"]} == set(ODD)


def test_what_is_skipped_is_named_on_one_line(photos: Path, tmp_path: Path) -> None:
    for path in list(photos.iterdir())[1:]:
        path.write_text("no image")
    (photos / "li\x1bnk").symlink_to("/")
    result = robust("stylize", photos, "--out", tmp_path / "out")
    clean(result)
    told = result.stderr.splitlines()
    assert len(told) == len(ODD) + 1
    assert f"skipped {photos}/li\\x1bnk: is a link; links in folders are not followed" in told
    assert told[-1] == f"files skipped: {len(ODD)}"


@pytest.mark.parametrize("stem", ODD)
def test_an_error_names_the_file_on_one_line(tmp_path: Path, stem: str) -> None:
    path = tmp_path / f"{stem}.png"
    path.write_text("no image")
    result = robust("stylize", path, "--out", tmp_path / "out")
    clean(result, code=2)
    assert result.stderr.startswith(f"robust: error: {tmp_path}/{ODD[stem]}.png: is not an image")
    assert result.stderr.count("\n") == 1
    gone = robust("evaluate", tmp_path / f"{stem}.gone", "--data", "embedded")
    clean(gone, code=2)
    assert gone.stderr.count("\n") == 1
    assert ODD[stem] in gone.stderr


def test_an_attack_writes_every_medium(photos: Path, networks: list[Path], tmp_path: Path) -> None:
    (photos / "bad].png").write_text("no image")
    models = [part for path in networks[:1] for part in ("--checkpoint", path)]
    result = robust(
        "attack", *models, "--images", photos, "--severity", 2, "--repeats", 1, "--out",
        tmp_path / "run", "--size", 64,
    )  # fmt: skip
    clean(result)
    with (tmp_path / "run" / "metrics.csv").open(newline="", encoding="utf-8") as file:
        images = {row["image"] for row in csv.DictReader(file)}
    assert images == set(map(escape.csv_cell, ODD))
    assert "'=1+1|x" in images
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert set(facts["images"]) == set(ODD)
    assert Image.open(tmp_path / "run" / "grid.png").width > 500


def test_a_grid_takes_any_label() -> None:
    cells = [torch.rand(3, 8, 8)]
    for label in (*ODD, "", "\n", "\x00" * 40):
        rows = [((label, label), cells), (label, cells)]
        plain = draw_grid(rows, column_labels=[label], title=label, footnote=label)
        shown = escape.line(label)
        rows = [((shown, shown), cells), (shown, cells)]
        again = draw_grid(rows, column_labels=[shown], title=shown, footnote=shown)
        if "\n" not in label:
            assert plain.tobytes() == again.tobytes()


@pytest.mark.filterwarnings("ignore:Glyph")
def test_a_report_takes_any_name_of_a_model(tmp_path: Path) -> None:
    names = [*ODD, "_hidden", "a & b_c 100% #1 {x}^~", "<img src=x>", "-2+3"]
    results = [made_up(name, 0, 0.5 + index / 40) for index, name in enumerate(names)]
    suite = SUITES["norm-noise"](SuiteOptions(data=tiny_data(), noise="constant"))
    written = {path.suffix: path for path in write_report(tmp_path, results, suite)}
    assert set(written) == {".md", ".csv", ".tex", ".png", ".svg", ".json"}
    page = render_report([tmp_path]).read_text(encoding="utf-8")
    assert not CONTROLS.search(page.replace("\n", ""))
    assert "<img src=x>" not in page
    for suffix in (".md", ".csv", ".tex", ".svg"):
        text = written[suffix].read_text(encoding="utf-8")
        assert not CONTROLS.search(text.replace("\n", "")), suffix
    table = [row for row in written[".md"].read_text().splitlines() if row.startswith("|")]
    cells = {len(re.split(r"(?<!\\)\|", row)) for row in table}
    assert cells == {3 + len(names) + 2}, "each name is one cell"
    rows = list(csv.DictReader(io.StringIO(written[".csv"].read_text())))
    assert {row["variant"] for row in rows} == set(map(escape.csv_cell, names))
    body = written[".tex"].read_text().splitlines()
    heads = next(line for line in body if "severity" in line)
    assert len(re.split(r"(?<!\\)&", heads)) == 3 + len(names)
    svg = written[".svg"].read_text()
    assert "foo" not in svg or "mathdefault" not in svg
    assert Image.open(written[".png"]).width > 300


def test_figures_of_stripes_take_any_title(tmp_path: Path) -> None:
    for title in list(ODD)[1:4]:
        figure, _ = panels(1, 1, title=title)
        assert figure.get_suptitle() == escape.picture(title)
        save(figure, tmp_path, "x", {"a": torch.zeros(1)})


def test_a_run_of_any_folder_is_tested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_known(monkeypatch)
    trained = train(tmp_path / "run", **PLAIN)
    for stem, shown in ODD.items():
        folder = tmp_path / stem
        shutil.copytree(trained, folder)
        result = robust("evaluate", folder, "--quiet")
        assert shown in clean(result)
        found = json.loads(clean(robust("evaluate", folder, "--json", "--quiet")))
        # JSON is UTF-8, which has no room for the other bytes of a name.
        assert found[0]["name"] == os.fsencode(stem).decode("utf-8", "backslashreplace")
        shutil.rmtree(folder)
    folder = tmp_path / ("x" * 245)
    shutil.copytree(trained, folder)
    result = robust("evaluate", folder, "--suite", "norm-noise", "--out", tmp_path / "o", "--quiet")
    clean(result, code=2)
    assert "too long a name" in result.stderr


def test_a_warning_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_known(monkeypatch)
    trained = train(tmp_path / "run", **PLAIN)
    (tmp_path / "set").mkdir()
    for name in ("a", "b"):
        (tmp_path / "set" / name).mkdir()
        for index in range(10):
            picture(tmp_path / "set" / name / f"{index}.png", index)
    (tmp_path / "set" / "a" / "li\x1b[31m\nnk").symlink_to("/")
    result = robust("evaluate", trained, "--data", tmp_path / "set", "--quiet")
    clean(result, code=2)  # of other classes than the run
    first = result.stderr.splitlines()[0]
    assert first.startswith("robust: warning: 1 links or special files are left out: ")
    assert r"li\x1b[31m\nnk (is a link" in first


def test_everything_a_command_says_goes_one_way() -> None:
    """What prints without escaping is what this file does not see."""
    folder = Path(main.__module__.replace(".", "/"))
    files = [*(Path(__file__).parents[3] / folder).rglob("*.py")]
    assert len(files) > 15
    for path in files:
        if path.name not in ("output.py", "progress.py"):
            assert not re.search(r"click\.(echo|secho)\(|\bprint\((?!_)", path.read_text()), path
