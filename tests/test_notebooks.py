"""The notebooks run from top to bottom, and their key cells give figures."""

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# What a key cell must give: MIME type and a pattern of its text.
FIGURES = {
    "your-model": {
        "insert": ("text/plain", r"(?s)1\.bn2.*2\.bn2"),
        "train": ("text/plain", r"loss: \d\.\d\d in the first 5 steps, \d\.\d\d in the last"),
        "parity": ("text/plain", r"outputs agree: max abs \S+, relative \S+"),
        "operators": ("text/plain", r"untouched +(\d+) operators.*\n.*\nfused +\1 operators"),
        "export": ("text/plain", r"\d+ operators, [\d,]+ bytes; outputs agree"),
        "load": ("text/plain", r"\d+\.\d% of 256 test images are right"),
    },
    "attack-and-look": {
        "attack": ("text/html", r"(?s)<table>.*<td>BN\+ASR</td>.*\d\.\d+"),
        "grid": ("image/png", "."),
        "answers": ("text/plain", r"(?i)batch"),
        "noise": ("image/png", "."),
        "look": ("image/png", "."),
        "table": (
            "text/plain",
            r"\| bn\\\+asr \||\| bn\+asr \| 0\.\d{3} \| 0\.\d{3} \| 0\.\d{3} \|",
        ),
    },
}


def test_each_notebook_is_committed_without_outputs() -> None:
    assert {path.stem for path in NOTEBOOKS} == set(FIGURES)
    for path in NOTEBOOKS:
        book = nbformat.read(path, as_version=4)
        nbformat.validate(book)
        for cell in book.cells:
            if cell.cell_type == "code":
                assert not cell.outputs, (path.name, cell.id)
                assert cell.execution_count is None


def given(cell: Any, kind: str) -> str:
    """What ``cell`` shows as ``kind``; printed text is text/plain."""
    shown = [
        output.text if output.output_type == "stream" else output.get("data", {}).get(kind, "")
        for output in cell.outputs
        if output.output_type != "stream" or kind == "text/plain"
    ]
    return "".join(shown)


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_gives_figures(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    book = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(book, timeout=300, kernel_name="python3", resources=resources).execute()
    cells = {cell.id: cell for cell in book.cells}
    for name, (kind, pattern) in FIGURES[path.stem].items():
        text = given(cells[name], kind)
        assert re.search(pattern, text), (name, text[:2000])
