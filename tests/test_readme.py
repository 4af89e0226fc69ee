"""Every command and every line of Python in the README and in docs/ works as it stands there."""

import dataclasses
import re
import shlex
from collections.abc import Iterable
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

import robust.sweep.run
from asr_core.data import DATASETS, ImageSet, embedded
from asr_core.data.source import Source
from asr_core.recipes import load_recipe
from robust.cli import main
from robust.studies.endpoints import short_table
from robust.studies.sections import read_sections
from robust.sweep import Run

ROOT = Path(__file__).parent.parent
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
}
README = PAGES["README.md"]
EXAMPLES = {Path(name).stem: text for name, text in PAGES.items() if "docs/examples/" in name}
# What the commands of a page leave behind, some of it named on the page.
MADE = {
    "README.md": ["drawn/one.png", "runs/first/parity.json", "runs/my/in/network.safetensors"],
    "docs/asr-in-your-model.md": ["resnet18.onnx", "resnet18.safetensors", "plain.safetensors"],
    "docs/reproduce-the-paper.md": ["runs/sweep-init/sweep.md", "runs/live-se/model.safetensors"],
    "docs/train-a-classifier.md": ["runs/first/parity.json", "runs/first/fused.safetensors"],
    "docs/your-own-styles.md": [
        "stylised/one.png", "runs/my/bn+const/network.safetensors", "network.pt2",
    ],
    "docs/examples/attack.md": ["runs/mine/grid.png", "runs/mine/metrics.csv"],
    "docs/examples/evaluate.md": ["runs/robustness"],
    "docs/examples/fuse.md": ["fused.safetensors"],
    "docs/examples/export.md": ["asr.onnx", "asr.pt2"],
    "docs/examples/freeze.md": ["plain.safetensors"],
    "docs/examples/stripes.md": ["runs/live-se/stripes"],
    "docs/examples/study.md": ["runs/study/declared.json", "runs/study/page.md"],
    "docs/examples/stylize.md": ["drawn/one.png", "stylised/one.png"],
    "docs/examples/sweep.md": ["runs/sweep-init/sweep.md"],
    "docs/examples/train.md": ["runs/asr/parity.json", "runs/asr-1/fused.safetensors"],
}  # fmt: skip

# Appended to a command to make it small: where an option comes twice, the last one counts.
SMALL = {
    "attack": ["--size", "64", "--train-seeds", "1", "--repeats", "1", "--quiet"],
    "attack classify": ["--quiet"],
    "freeze": ["--max-images", "8", "--split", "validation"],
    "stripes": ["--max-images", "8", "--channels", "8"],
    "data": ["--quick", "--quiet"],
    "bench": ["--model", "resnet11", "--rounds", "1", "--batch-size", "1", "--quiet"],
    "study": ["--no-train", "--data", "embedded", "--device", "cpu", "--quiet"],
    "sweep": ["--epochs", "1", "--device", "cpu", "--quiet"],
    "train": ["--epochs", "1", "--device", "cpu", "--quiet"],
    "train --data": ["--epochs", "1", "--batch-size", "32", "--device", "cpu", "--quiet"],
    "train style": ["--steps", "1", "--size", "64", "--batch-size", "2", "--width", "4", "--quiet"],
}


def examples(text: str) -> list[tuple[str, str]]:
    """Language and text of the blocks of code, from top to bottom."""
    return re.findall(r"```(sh|python)\n(.*?)```", text, flags=re.DOTALL)


def lines(block: str) -> list[list[str]]:
    return [words for line in block.splitlines() if (words := shlex.split(line, comments=True))]


def commands(*pages: str) -> list[list[str]]:
    blocks = [each for text in pages for each in examples(text)]
    return [line for language, block in blocks if language == "sh" for line in lines(block)]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh folder, but for what is the reader's own: photographs, a style, and scores."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROBUST_CACHE", str(tmp_path / "cache"))  # the small loss network
    monkeypatch.setattr(embedded, "PATCHES", {"train": 4, "validation": 1, "test": 1})
    monkeypatch.setitem(DATASETS._entries, "shapes", few_shapes)
    photos = tmp_path / "photos"
    photos.mkdir()
    picture = Image.radial_gradient("L").resize((80, 96))
    Image.merge("RGB", (picture, picture.rotate(90), picture.rotate(180))).save(photos / "one.jpg")
    Image.merge("RGB", (picture, picture, picture.rotate(45))).save(tmp_path / "style.png")
    scores = "plain,0,70\nplain,1,71\nasr,0,70.5\nasr,1,72\n"
    (tmp_path / "pilot.csv").write_text(f"variant,seed,score\n{scores}")
    monkeypatch.setattr(robust.sweep.run, "run_missing", first_only)
    monkeypatch.setattr(robust.sweep.run, "estimated_seconds", lambda config, device: 1.0)
    return tmp_path


def few_shapes(source: Source) -> ImageSet:
    """In place of 30,000 pictures."""
    return dataclasses.replace(embedded.open_embedded(source), name="shapes")


def first_only(runs: Iterable[Run], **options: object) -> list[str]:
    """In place of a sweep's dozens of runs, in this process, where the data is small."""
    command = next(iter(runs)).prepare("cpu")
    result = CliRunner().invoke(main, [*command[command.index("train") :], *SMALL["train"]])
    assert result.exit_code == 0, result.output
    return []


def run(command: list[str]) -> str:
    kind, two = command[1], " ".join(command[1:3])
    if "classify" in command:
        two = "attack classify"
    arguments = [*command[1:], *SMALL.get(two, SMALL.get(kind, []))]
    if kind == "attack" and two != "attack classify" and "--images" not in command:
        arguments += ["--images", "photos/one.jpg"]
    result = CliRunner().invoke(main, arguments, prog_name="robust")
    assert result.exit_code == 0, result.output
    return result.output


def test_the_two_commands_come_first() -> None:
    first, second = commands(README)[:2]
    assert first == ["scripts/robust", "attack", "--noise", "batch"]
    assert second == ["scripts/test"]
    assert all((ROOT / command[0]).is_file() for command in (first, second))


@pytest.mark.slow
@pytest.mark.parametrize("page", [name for name, text in PAGES.items() if examples(text)])
def test_the_examples_of_a_page_run_from_top_to_bottom(place: Path, page: str) -> None:
    said = {}
    for language, block in examples(PAGES[page]):
        if language == "python":
            exec(compile(block, page, "exec"), {})
            continue
        for command in lines(block):
            if command[0].endswith("robust"):
                said[" ".join(command)] = run(["robust", *command[1:]])
    old = re.compile("hint: .* is now ")
    assert not [command for command, told in said.items() if old.search(told)], "an old spelling"
    for command, told in said.items():
        if command == "robust attack --checkpoint runs/my":
            assert "advantage" in told
            assert "No answer" not in told
    for made in MADE.get(page, []):
        assert (place / made).exists(), made
    if page == "docs/reproduce-the-paper.md":
        assert "(1 of 3 seeds)" in (place / "runs" / "sweep-init" / "sweep.md").read_text()


def test_every_command_is_run_or_is_a_file_of_ours() -> None:
    found = commands(*PAGES.values())
    assert len(found) > 60
    ours = {command[0] for command in found} - {"robust", "torchrun"}
    assert all((ROOT / name).is_file() for name in ours), ours


def test_the_command_for_several_processes_is_one_of_the_programs() -> None:
    (line,) = [command for command in commands(*PAGES.values()) if command[0] == "torchrun"]
    start = line.index("-m")
    assert line[start : start + 3] == ["-m", "robust", "train"]
    train = main.get_command(None, "train")  # type: ignore[arg-type]
    assert train is not None
    options = train.make_context("train", line[start + 3 :]).params
    assert load_recipe(options["recipe"]).data == options["data_folder"] == "imagenet"


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 120


def test_the_readmes_table_is_that_of_the_data() -> None:
    found = read_sections(ROOT / "README.md")["endpoints"]
    assert found == short_table(ROOT / "docs").markdown().strip()
    rows = [line for line in found.splitlines()[2:] if line.startswith("|")]
    assert len(rows) == 5
    results = read_sections(ROOT / "docs" / "RESULTS.md")["endpoints"]
    for row in rows:
        claim, *_, verdict = (cell.strip() for cell in row.strip("|").split("|"))
        assert re.search(rf"^\| {re.escape(claim)} .* {re.escape(verdict)} ", results, re.MULTILINE)


def test_every_file_that_the_readme_names_exists() -> None:
    linked = re.findall(r"\]\(((?!http)[^)#]+)\)", README)
    named = re.findall(r"`((?:scripts|docs|notebooks)/[\w./-]+)`", README)
    assert len(linked) >= 10
    assert len(named) >= 3
    for name in {*linked, *named}:
        assert (ROOT / name).exists(), name


def test_every_command_of_the_program_is_shown_in_an_example() -> None:
    shown = {command[1] for command in commands(*PAGES.values()) if command[0].endswith("robust")}
    assert shown == set(main.list_commands(None))  # type: ignore[attr-defined, arg-type]


def test_every_worked_example_is_of_a_command_and_shows_it() -> None:
    assert set(EXAMPLES) <= set(main.list_commands(None))  # type: ignore[attr-defined, arg-type]
    for name, text in EXAMPLES.items():
        assert ["robust", name] in [command[:2] for command in commands(text)], name


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/ARCHITECTURE.md", "docs/OPTIONS.md"])
def test_every_file_that_a_page_names_exists(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    named = {
        name
        for name in re.findall(r"`((?:\w+/)*[\w.-]+\.(?:py|toml))`", text)
        if not re.search(r"[A-Z]{3}", name)
    }
    assert named
    rooms = ("", "asr_core/", "robust/", "styletransfer/", "tests/robust/suites/")
    assert not [name for name in named if not any((ROOT / room / name).exists() for room in rooms)]
