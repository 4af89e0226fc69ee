"""robust.suites.job and subject: which result stands for which model, and what it is called."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_classifier import net, register, tiny_config, tiny_data
from torch import nn

from asr_core.errors import InputError
from asr_core.models import Normalized
from asr_core.saving.model_facts import StockModel
from asr_core.saving.saved_model import save_model
from robust.suites import SUITES, SuiteOptions
from robust.suites.job import SuiteJob, evaluate_clean
from robust.suites.subject import Subject, open_subject, variant

DATA = tiny_data()
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch)


def saved(folder: Path, seed: int = 0) -> Subject:
    torch.manual_seed(seed)
    model = net("bn", 6)
    nn.init.normal_(model.get_submodule("fc").weight, std=2)  # type: ignore[arg-type]
    stock = StockModel("asr:tiny", {"num_classes": 6}, (3, 8, 8), DATA.mean, DATA.std)
    save_model(folder / "net.safetensors", Normalized(model, DATA.mean, DATA.std), stock)
    return open_subject(folder / "net.safetensors")


def job(subject: Subject, folder: Path, *, seed: int = 0, **changes: object) -> SuiteJob:
    noise = str(changes.pop("noise", "constant"))
    split = str(changes.get("split", "test"))
    suite = SUITES["norm-noise"](SuiteOptions(data=DATA, split=split, seed=seed, noise=noise))
    return SuiteJob([subject], DATA, suite, folder=folder, **changes)  # type: ignore[arg-type]


def test_a_result_that_is_there_is_read_and_nothing_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = saved(tmp_path)
    (first,) = job(subject, tmp_path / "out").run()
    monkeypatch.setattr("robust.suites.job.run_suite", lambda *_, **__: pytest.fail("run again"))
    (second,) = job(subject, tmp_path / "out", batch_size=3).run()
    assert second.as_dict() == first.as_dict()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"split": "validation"}, r"data\.split \('test', now 'validation'\)"),
        ({"precision": "bf16"}, r"precision \('no', now 'bf16'\)"),
        ({"seed": 1}, r"settings\.seed \(0, now 1\)"),
        ({"noise": "random"}, "conditions"),
        ("weights", "sha256"),
    ],
)
def test_another_model_data_precision_setting_or_condition_is_refused(
    tmp_path: Path, change: dict[str, object] | str, named: str
) -> None:
    out = tmp_path / "out"
    job(saved(tmp_path), out).run()
    before = {path: path.read_bytes() for path in out.iterdir()}
    other = job(saved(tmp_path, 1), out) if change == "weights" else job(
        saved(tmp_path), out, **change  # type: ignore[arg-type]
    )  # fmt: skip
    with pytest.raises(InputError, match=named):
        other.run()
    assert {path: path.read_bytes() for path in out.iterdir()} == before
    replace(other, overwrite=True).run()
    assert {path: path.read_bytes() for path in out.iterdir()} != before


def test_other_data_of_the_same_name_is_refused(tmp_path: Path) -> None:
    subject, out = saved(tmp_path), tmp_path / "out"
    job(subject, out).run()
    relabelled = tiny_data()
    relabelled.test.labels = relabelled.test.labels.flip(0)
    with pytest.raises(InputError, match=r"data\.labels"):
        replace(job(subject, out), data=relabelled).run()


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_the_clean_pass_is_evaluates_in_either_precision(tmp_path: Path, precision: str) -> None:
    subject = saved(tmp_path)
    alone = evaluate_clean(subject, DATA, device=CPU, precision=precision)
    (result,) = job(subject, tmp_path / "out", precision=precision).run()
    assert (result.clean.top1, result.clean.loss) == (alone.top1, alone.loss)
    full = evaluate_clean(subject, DATA, device=CPU)
    assert (alone.loss == full.loss) == (precision == "no")


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"mode": "plain"}, "plain"),
        ({"mode": "live", "attention": "se"}, "SE"),
        ({"mode": "asr", "attention": "se"}, "ASR(SE)"),
        ({"mode": "asr", "attention": "const"}, "const"),
        ({"mode": "both", "attention": "se"}, "SE + ASR(SE)"),
        ({"mode": "frozen", "attention": "se"}, "frozen(SE)"),
        ({"mode": "free-v", "attention": "ie", "zero_gamma": True}, "free-v(IE), zero γ"),
        ({"mode": "plain", "zero_gamma": True}, "zero γ"),
        ({"mode": "asr", "attention": "ie", "zero_gamma": True}, "ASR(IE), zero γ"),
    ],
)
def test_what_a_table_calls_a_network(changes: dict[str, object], name: str) -> None:
    assert variant(tiny_config(**changes)) == name  # type: ignore[arg-type]
