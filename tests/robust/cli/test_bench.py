"""``robust bench``: Table 1 beside what this machine measures."""

from __future__ import annotations

import json

from click.testing import CliRunner, Result

from robust.bench.table_one import TABLE_ONE
from robust.cli import main

QUICK = ("--rounds", "1", "--batch-size", "1")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["bench", *arguments], prog_name="robust")


def test_the_papers_columns_stand_beside_ours() -> None:
    result = run(*QUICK, "--model", "resnet164", "--data-shape", "cifar100")
    assert result.exit_code == 0, result.output
    title, head, *rows = result.stdout.splitlines()
    assert title == "resnet164, 100 classes, batches of 1 × 3 × 32 × 32, 1 rounds on cpu"
    assert head.split() == (
        ["parameters", "paper", "ms", "images/s", "speed", "paper", "lowest", "highest"]
    )
    cells = [row.split() for row in rows]
    assert [row[0] for row in cells] == list(TABLE_ONE["cifar100"])
    for label, count, paper, unit, *_ in cells:
        assert f"{int(count.replace(',', '')) / 1e6:.2f}" == paper, label
        assert unit == "M"
    ratios = {row[0]: row[7] for row in cells}
    assert (ratios["plain"], ratios["CBAM"], ratios["ASR(SPA)"]) == ("1.00", "0.41", "1.00")


def test_other_networks_have_no_papers_columns() -> None:
    result = run(*QUICK, "--model", "mobilenet_v1", "--quiet")
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    _, head, *rows, last = result.stdout.splitlines()
    assert "paper" not in head
    assert len({len(row.split()) for row in rows}) == 1
    assert last.startswith("DIA left out: 'dia' shares one cell")


def test_json() -> None:
    result = run(*QUICK, "--model", "resnet11", "--data-shape", "stl10", "--json")
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    assert (figures["model"], figures["shape"]) == ("resnet11", [1, 3, 96, 96])
    assert (figures["data"], figures["num_classes"], figures["rounds"]) == ("stl10", 10, 1)
    assert figures["environment"]["threads"] >= 1
    assert figures["left_out"] == {}
    rows = {row["label"]: row for row in figures["rows"]}
    assert list(rows) == list(TABLE_ONE["stl10"])
    assert rows["ASR(SE)"]["parameters"] == rows["plain"]["parameters"] < rows["SE"]["parameters"]
    assert rows["plain"]["ratio"] == 1
    assert rows["plain"]["paper"] is None


def test_errors_are_one_line() -> None:
    for arguments, words in (
        (("--model", "resnet1640"), "unknown model 'resnet1640'. Did you mean 'resnet164'?"),
        (("--data-shape", "imagenet"), "resnet164 takes images of side 32 or 96"),
    ):
        result = run(*arguments, "--quiet", "--batch-size", "1")
        assert result.exit_code == 2
        assert result.stdout == ""
        (line,) = result.stderr.splitlines()
        assert line.startswith(f"robust: error: {words}"), line
