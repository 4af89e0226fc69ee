"""The study from its declaration to its page, on networks that train in a moment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fake_training import fake_python
from protocols import protocol
from tiny_classifier import register, run, tiny_data, tiny_recipe

import asr_core.recipes
from asr_core.errors import InputError
from asr_core.saving.text_files import read_toml
from robust.protocol import study as module
from robust.protocol.declared import SHIPPED
from robust.protocol.report import PAGE, PLOT, report
from robust.protocol.scores import read_findings
from robust.protocol.study import DECLARED, VERDICTS, Study
from robust.protocol.verdicts import decide
from robust.stats.answer import Answer

SEEDS = 3


pytestmark = pytest.mark.usefixtures("forgetful")


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch)
    monkeypatch.setattr(asr_core.recipes, "load_recipe", lambda name: tiny_recipe())
    monkeypatch.setattr(module, "open_data", lambda name, **options: tiny_data())


def small(**changes: Any) -> Any:
    rule = read_toml(SHIPPED)["noise"]
    return protocol(
        **{
            "data": "tiny", "training": {"recipe": "tiny"}, "least": 2, "pilot": 2,
            "noise": {**rule, "low": 0.0, "high": 1.0, "severities": ["0.1", "0.4"], "repeats": 1},
            **changes,
        }
    )  # fmt: skip


def begun(folder: Path, seeds: int | None = SEEDS, sha256: str = "0" * 64, **changes: Any) -> Study:
    return Study.begin(small(**changes), sha256, folder, seeds=seeds)


def train(study: Study) -> None:
    for each in study.runs().values():
        if not each.done:
            run(each.training.config, each.folder)


@pytest.mark.usefixtures("tiny")
def test_the_whole_study(tmp_path: Path) -> None:
    study = begun(tmp_path)
    assert json.loads((tmp_path / DECLARED).read_text())["seeds"] == SEEDS
    train(study)
    findings = study.measure()
    told = report(study, findings, "robust study paper --seeds 3")
    answers = {v.endpoint.name: v for v in told.verdicts}
    assert [v.seeds for v in told.verdicts] == [3, 3, 3, 3, 0]
    assert answers["style"].answer is Answer.NOT_TESTED
    means = {
        arm: sum(
            json.loads((tmp_path / "runs" / f"{arm}-{seed}" / "result.json").read_text())["test"][
                "top1"
            ]
            for seed in range(SEEDS)
        )
        / SEEDS
        for arm in ("asr", "plain")
    }
    interval = answers["accuracy"].interval
    assert interval is not None
    assert interval.mean == pytest.approx(100 * (means["asr"] - means["plain"]))
    text = (tmp_path / PAGE).read_text()
    assert text.count("<code>robust study paper --seeds 3") == 5
    assert (tmp_path / PLOT).is_file()
    assert len(json.loads((tmp_path / VERDICTS).read_text())["endpoints"]) == 5


@pytest.mark.usefixtures("tiny")
def test_what_was_measured_gives_the_same_verdicts_again(tmp_path: Path) -> None:
    study = begun(tmp_path, 2)
    train(study)
    findings = study.measure()
    kept = read_findings(tmp_path)
    assert list(kept.scores) == list(findings.scores)
    assert decide(study.declaration, kept) == decide(study.declaration, findings)
    files = {p: p.stat().st_mtime_ns for p in tmp_path.glob("*/*.json")}
    assert study.measure() == findings
    assert {p: p.stat().st_mtime_ns for p in files} == files, "nothing is tested again"
    by_place = {(s.arm, s.seed, s.on, s.detail): s.top1 for s in findings.scores}
    for (arm, seed), each in study.runs().items():
        assert by_place[arm, seed, "clean", ""] == each.result.test.top1
    assert by_place["live", 0, "freezing", "before"] == by_place["live", 0, "clean", ""]


@pytest.mark.usefixtures("tiny")
def test_a_smaller_study_is_declared_until_the_verdicts_are_seen(tmp_path: Path) -> None:
    begun(tmp_path, 5)
    study = begun(tmp_path, 3)
    told = report(study, study.measure(), "robust study paper")
    assert all(verdict.interval is None for verdict in told.verdicts), "nothing is finished"
    study = begun(tmp_path, 2)
    assert study.declaration.seeds == 2
    assert begun(tmp_path, None).declaration.seeds == 2
    train(study)
    report(study, study.measure(), "robust study paper")
    with pytest.raises(InputError, match=r"declared\.json: seeds is 3, declared was 2"):
        begun(tmp_path, 3)


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("margin", 2.0, r"endpoints\.accuracy\.margin is 2\.0, declared was 1\.0"),
        ("b", "frozen", r"endpoints\.accuracy\.b is 'frozen', declared was 'plain'"),
        ("name", "other", r"endpoints\.(accuracy|other)\.\w+ is .*, declared was"),
        ("published", None, r"published is None, declared was 0\.97"),
    ],
)
def test_another_endpoint_contrast_or_margin_is_refused(
    tmp_path: Path, field: str, value: Any, words: str
) -> None:
    begun(tmp_path)
    endpoints = read_toml(SHIPPED)["endpoints"]
    endpoints[0][field] = value
    if value is None:
        del endpoints[0][field]
    with pytest.raises(InputError, match=words):
        begun(tmp_path, endpoints=endpoints)


@pytest.mark.usefixtures("tiny")
def test_another_file_or_test_set_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(tmp_path)
    with pytest.raises(InputError, match=r"sha256 is '1111.*declared was '0000"):
        begun(tmp_path, sha256="1" * 64)
    other = tiny_data(sizes=(40, 13, 16))
    monkeypatch.setattr(module, "open_data", lambda name, **options: other)
    with pytest.raises(InputError, match=r"data\.\w+ is .*declared was"):
        begun(tmp_path)


@pytest.mark.usefixtures("tiny")
def test_a_run_of_other_options_is_refused(tmp_path: Path) -> None:
    study = begun(tmp_path, 2)
    train(study)
    file = tmp_path / "runs" / "asr-1" / "config.json"
    kept = json.loads(file.read_text())
    kept["config"]["recipe"]["weight_decay"] = 0.5
    file.write_text(json.dumps(kept))
    with pytest.raises(InputError, match=r"asr-1: .*weight_decay"):
        study.measure()


def test_runs_are_whole_seeds_first_and_a_failed_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_python(tmp_path, monkeypatch)
    study = Study.begin(protocol(), "0" * 64, tmp_path / "study", seeds=2)
    assert list(study.runs())[:5] == [
        ("plain", 0), ("asr", 0), ("frozen", 0), ("live", 0), ("plain", 1),
    ]  # fmt: skip
    failures = study.train(quiet=True)
    assert len(failures) == 4, "those of seed 1"
    assert all("lr is nan" in failure for failure in failures)
