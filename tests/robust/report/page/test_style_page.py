"""robust.report.page.style: the page says what the run's data say, and holds nothing else."""

import html
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from attack_folder import write_attack
from click.testing import CliRunner

from asr_core.errors import InputError
from robust.cli import main
from robust.norm_noise import BatchNoise, ConstantNoise, RandomNoise
from robust.report.page.build import page_of, write_report
from robust.report.page.render import render
from robust.report.page.style import style_page
from robust.report.page.style_pictures import compare_of as kept_of
from robust.report.page.values import Compare, Curves, Dots

HOSTILE = "<img src=x onerror=alert(1)>\u202e</script>&amp;{{ 7*7 }}"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_attack(tmp_path_factory.mktemp("runs") / "attack")


def compare_of(folder: Path) -> Compare:
    (block,) = style_page(folder).sections[0].blocks
    assert isinstance(block, Compare)
    return block


def test_the_same_data_give_the_same_bytes(run: Path, tmp_path: Path) -> None:
    first = write_report([run]).read_bytes()
    assert write_report([run]).read_bytes() == first
    code = "import sys; from robust.cli import main; main(['report', *sys.argv[1:]])"
    out = tmp_path / "other.html"
    command = [sys.executable, "-c", code, str(run), "--out", str(out)]
    subprocess.run(command, check=True, capture_output=True, env={"PYTHONHASHSEED": "7"} | _paths())
    assert out.read_bytes() == first


def _paths() -> dict[str, str]:
    return {"PYTHONPATH": str(Path(__file__).parents[4])}


def test_the_report_is_made_without_torch(run: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from robust.report.page.build import write_report; "
        "write_report([Path(sys.argv[1])]); print('torch' in sys.modules)"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, str(run)], check=True, capture_output=True, text=True,
        env=_paths(),
    )  # fmt: skip
    assert told.stdout.strip() == "False"


def test_the_first_screen_has_the_summarys_answers_and_verdict(run: Path) -> None:
    summary = json.loads((run / "summary.json").read_text())
    page = style_page(run)
    assert [answer.sentence for answer in page.answers] == [
        *summary["holds"], *summary["headlines"],
    ]  # fmt: skip
    assert summary["holds"][0].startswith("Under batch noise IN holds;")
    assert "BN+ASR's loss rises by 25 %" in summary["holds"][0]
    (share,) = [
        s for s in summary["shares"]
        if (s["situation"], s["variant"], s["metric"], s["against"])
        == ("batch, attacked", "bn+asr", "loss", None)
    ]  # fmt: skip
    assert page.answers[1].verdict == share["answer"]
    dots = page.lead[0]
    assert isinstance(dots, Dots)
    assert [row[0] for row in dots.rows] == ["IN", "BN", "BN+ASR", "BN+frozen"]
    assert len({row[1] for row in dots.rows}) == 4
    clean, attacked = dots.rows[1][2]
    assert (clean.style, attacked.style) == ("clean", "noise")
    assert attacked.mean - clean.mean == pytest.approx(0.3, abs=0.01)
    shown = html.unescape(render(page))
    assert summary["headlines"][0] in shown
    assert "sha256 " + "0" * 64 in shown


def test_the_page_may_load_nothing_and_holds_no_style_or_handler_in_its_elements(run: Path) -> None:
    text = render(style_page(run))
    policy = html.unescape(re.findall(r'Content-Security-Policy" content="([^"]*)"', text)[0])
    assert policy.startswith("default-src 'none'; img-src data:; ")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert not re.findall(r"<[^>]+\s(?:style|on\w+)=", text)
    assert not re.findall(r'(?:src|href)="(?!data:image/|#)', text)


def test_hostile_names_are_shown_as_text(tmp_path: Path) -> None:
    folder = write_attack(tmp_path / "run", images=(HOSTILE, "]]>", "$x$"))
    assert sorted(path.name for path in (folder / "pictures").glob("*"))[:2] == [
        "0000-0-0.jpg", "0000-1-0.jpg",
    ]  # fmt: skip
    facts = json.loads((folder / "run.json").read_text())
    facts["skipped"] = {HOSTILE: "no picture"}
    (folder / "run.json").write_text(json.dumps(facts))
    text = render(style_page(folder))
    assert "<img src=x" not in text
    assert "\u202e" not in text
    assert "&lt;img src=x onerror=alert(1)&gt;\\u202e&lt;/script&gt;&amp;amp;{{ 7*7 }}" in text
    assert text.count("</script>") == text.count("<script")


def test_a_name_of_a_picture_cannot_lead_out_of_the_folder(run: Path, tmp_path: Path) -> None:
    folder = write_attack(tmp_path / "run")
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    path = folder / "pictures" / "index.json"
    index = json.loads(path.read_text())
    index["outputs"][0]["file"] = "../../secret.jpg"
    path.write_text(json.dumps(index))
    with pytest.raises(InputError, match="secret"):
        style_page(folder)


def test_over_its_budget_a_page_holds_the_first_pictures_and_names_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_attack(tmp_path / "run", images=("a", "b", "c"))
    whole = compare_of(folder)
    assert [len(found) for found in whole.pictures] == [14, 14, 14]
    size = sum(map(len, set(whole.pictures[0].values())))
    index = json.loads((folder / "pictures" / "index.json").read_text())
    summary = json.loads((folder / "summary.json").read_text())
    few = kept_of(folder, summary, index, budget=int(2.5 * size))
    assert few is not None
    assert few.images == ["a", "b"]
    assert "first 2 of 3" in few.note
    assert few.note.endswith("c.")


def test_only_severities_with_an_order_are_joined(tmp_path: Path) -> None:
    severities = RandomNoise(0.2), RandomNoise(0.1), RandomNoise(None)
    folder = write_attack(tmp_path / "random", severities=severities)
    (section,) = [s for s in style_page(folder).sections if s.name == "curves"]
    for curves in section.blocks:
        assert isinstance(curves, Curves)
        for panel in curves.panels:
            assert list(panel.places) == ["clean", "s = 0.1", "s = 0.2", "U(0, 1)"]
            assert all(list(series.joined) == [0, 1, 2] for series in panel.series)
    constant = write_attack(tmp_path / "constant", severities=(ConstantNoise(0.5, 0.2),))
    (section,) = [s for s in style_page(constant).sections if s.name == "curves"]
    for curves in section.blocks:
        assert isinstance(curves, Curves)
        assert not any(list(s.joined) for panel in curves.panels for s in panel.series)


def test_batches_are_ordered_from_clean_to_small(tmp_path: Path) -> None:
    severities = BatchNoise(2), BatchNoise(16), BatchNoise(4, "noise")
    folder = write_attack(tmp_path / "run", severities=severities)
    (section,) = [s for s in style_page(folder).sections if s.name == "curves"]
    block = section.blocks[1]
    assert isinstance(block, Curves)
    assert list(block.panels[0].places) == ["clean", "n = 16", "n = 2", "n = 4, noise"]


def test_a_run_of_an_earlier_version_has_a_page_without_pictures_and_changes(
    tmp_path: Path,
) -> None:
    folder = write_attack(tmp_path / "run")
    for path in (folder / "pictures").iterdir():
        path.unlink()
    summary = json.loads((folder / "summary.json").read_text())
    for name in ("changes", "holds"):
        del summary[name]
    for share in summary["shares"]:
        del share["visible"]
    (folder / "summary.json").write_text(json.dumps(summary))
    page = style_page(folder)
    assert [section.name for section in page.sections] == ["curves", "tables", "made"]
    assert summary["headlines"][0] in html.unescape(render(page))


@pytest.mark.parametrize("damage", ["[]", "{}", '{"cells": 3}', "not JSON"])
def test_a_damaged_run_is_one_line(damage: str, tmp_path: Path) -> None:
    folder = write_attack(tmp_path / "run", images=("cat",))
    (folder / "summary.json").write_text(damage)
    with pytest.raises(InputError, match=r"run|attack"):
        page_of(folder)
    result = CliRunner().invoke(main, ["report", str(folder)])
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    assert not (folder / "report.html").exists()


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a finished run"):
        page_of(tmp_path)
    with pytest.raises(InputError, match="no folder"):
        page_of(tmp_path / "none")
