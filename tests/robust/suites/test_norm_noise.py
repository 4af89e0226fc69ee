"""The suite norm-noise against the definitions in robust.norm_noise, image by image."""

from pathlib import Path

import pytest
import torch
from suite_results import made_up
from tiny_classifier import register, run, tiny_config, tiny_data
from torch import Tensor, nn

from asr_core import fuse_asr
from asr_core.data import ImageSet
from asr_core.errors import InputError
from asr_core.training import open_run
from robust.norm_noise import BatchNoise, batch_statistics, deal, parse_severity, run_under
from robust.suites import SUITES, Condition, SuiteOptions, SuiteResult, run_suite
from robust.suites.cohort import cohorts

ALL = torch.arange(17)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with ASR, trained long enough that noise has something to destroy."""
    found = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        register(patch)
        run(tiny_config({"epochs": 12}, mode="asr"), found)
    return found


@pytest.fixture
def model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    register(monkeypatch)
    return open_run(folder).model


@pytest.fixture(scope="module")
def data() -> ImageSet:
    return tiny_data()


def attacked(
    model: nn.Module, data: ImageSet, batch_size: int = 5, **options: object
) -> SuiteResult:
    suite = SUITES["norm-noise"](SuiteOptions(data=data, **options))  # type: ignore[arg-type]
    return run_suite(model, data.test, suite, batch_size=batch_size)


def right(logits: Tensor, data: ImageSet) -> Tensor:
    return logits.argmax(1) == data.test.labels


@pytest.mark.parametrize(
    ("noise", "severity"),
    [
        *(("constant", text) for text in ("0.8,0.5", "0.5,0.5", "1.5,0.3")),
        *(("random", text) for text in ("0.5", "uniform")),
        *(("batch", text) for text in ("1", "3:noise")),
    ],
)
def test_every_image_gets_the_defined_noise(
    model: nn.Module, data: ImageSet, noise: str, severity: str
) -> None:
    """The oracle gives each image its own forward, or its own batch."""
    result = attacked(model, data, noise=noise, severities=(severity,), seed=3, repeats=2)
    images = data.test.test_batch(ALL)
    for outcome in result.outcomes[1:]:
        with torch.no_grad():
            logits = run_under(
                model,
                images,
                parse_severity(noise, severity),
                seed=3,
                keys=ALL.tolist(),
                draw=outcome.condition.repeat,
            )
        assert torch.equal(outcome.correct, right(logits, data))
        assert outcome.loss == pytest.approx(
            nn.functional.cross_entropy(logits, data.test.labels).item(), rel=1e-4
        )
        assert abs(outcome.loss - result.clean.loss) > 1e-3, "the noise does nothing"


@pytest.mark.parametrize("size", [2, 4, 17])
def test_batches_of_companions_are_dealt_from_the_images_under_test(
    model: nn.Module, data: ImageSet, size: int
) -> None:
    result = attacked(model, data, noise="batch", severities=(str(size),), repeats=2)
    for outcome in result.outcomes[1:]:
        draw = outcome.condition.repeat
        (order,) = deal(17, size, 10_000, seed=0, draw=draw)
        losses = torch.zeros(17)
        with torch.no_grad(), batch_statistics(model):
            for group in order.split(size):
                for place, own in enumerate(group):
                    mates = torch.cat([group[:place], group[place + 1 :]])
                    batch = torch.cat([data.test.test_batch(i) for i in (own[None], mates)])
                    logits = model(batch)[:1]
                    losses[own] = nn.functional.cross_entropy(logits, data.test.labels[own[None]])
        assert outcome.loss == pytest.approx(losses.mean().item(), rel=1e-4)
        assert outcome.condition.statistics == f"batch (n = {size})"
    if size < 17:
        first, second = result.outcomes[1:]
        assert first.loss != second.loss, "the draws are one"


def test_a_group_larger_than_the_split_is_refused(model: nn.Module, data: ImageSet) -> None:
    with pytest.raises(InputError, match="a batch of 18 cannot be drawn from 17 images"):
        attacked(model, data, noise="batch", severities=("18",))


def test_fused_and_unfused_agree_exactly(model: nn.Module, data: ImageSet) -> None:
    """Sample by sample, under every noise and severity; the gates are no 1."""
    plain = fuse_asr(model)
    first, second = (attacked(m, data, noise="all", repeats=2) for m in (model, plain))
    assert [o.condition for o in first.outcomes] == [o.condition for o in second.outcomes]
    for one, other in zip(first.outcomes, second.outcomes, strict=True):
        assert torch.equal(one.correct, other.correct)
        assert one.loss == other.loss
    assert len({o.top1 for o in first.outcomes}) > 3, "the noises make no difference"
    assert not any("asr" in name for name in plain.state_dict())


@pytest.mark.parametrize("noise", ["constant", "random", "batch"])
def test_batch_size_makes_no_difference(model: nn.Module, data: ImageSet, noise: str) -> None:
    runs = [attacked(model, data, batch_size=size, noise=noise) for size in (1, 4, 17)]
    for other in runs[1:]:
        for one, two in zip(runs[0].outcomes, other.outcomes, strict=True):
            assert one.loss == pytest.approx(two.loss, rel=1e-4)


@pytest.mark.parametrize("granularity", ["layer", "channel"])
def test_draws_can_be_one_for_a_pass(model: nn.Module, data: ImageSet, granularity: str) -> None:
    result = attacked(
        model, data, noise="random", severities=("0.5",), granularity=granularity, repeats=2
    )
    with torch.no_grad():
        logits = run_under(
            model,
            data.test.test_batch(ALL),
            parse_severity("random", "0.5"),
            seed=0,
            keys=ALL.tolist(),
            draw=1,
            granularity=granularity,
        )
    assert torch.equal(result.outcomes[2].correct, right(logits, data))
    assert result.settings["granularity"] == granularity


def test_what_does_not_depend_on_chance_is_run_once(data: ImageSet) -> None:
    suite = SUITES["norm-noise"](SuiteOptions(data=data, repeats=3))
    counts: dict[tuple[str, str], int] = {}
    for condition in suite.conditions():
        counts[condition.kind, str(condition.severity)] = condition.repeat + 1
    assert counts["constant", "0.5,0.5"] == counts["batch", "1"] == 1
    assert counts["random", "uniform"] == counts["batch", "4:noise"] == counts["batch", "2"] == 3
    assert ("batch", "64") not in counts, "there are but 17 images"


def test_conditions_know_what_tables_call_them() -> None:
    assert Condition("batch", "4:noise").label == "n = 4, noise"
    assert Condition("constant", "0.8,0.5").label == "Na 0.8, Nb 0.5"
    assert Condition("fog", 3).label == "3"
    assert Condition("batch", "1").is_control
    assert not Condition("batch", "2").is_control
    assert Condition("clean").is_control
    assert parse_severity("batch", "4:noise") == BatchNoise(4, "noise")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise": "bach"}, "unknown noise 'bach'. Did you mean 'batch'.*all"),
        ({"noise": "all", "severities": ("2",)}, "name the noise"),
        ({"noise": "batch", "severities": ("x",)}, "is no number"),
        ({"granularity": "pixel"}, "unknown granularity 'pixel'"),
        ({"repeats": 0}, "repeats is 0"),
        ({"seed": 0.5}, "seed 0.5 is not a whole number"),
    ],
)
def test_bad_options(data: ImageSet, options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SUITES["norm-noise"](SuiteOptions(data=data, **options))  # type: ignore[arg-type]


def test_a_model_without_norms_is_refused(data: ImageSet) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 6))
    for noise in ("constant", "random", "batch"):
        with pytest.raises(InputError, match="no normalisation layer"):
            attacked(model, data, noise=noise)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_noise_of_no_strength_is_clean_to_the_bit(
    model: nn.Module, data: ImageSet, precision: torch.dtype
) -> None:
    """In bfloat16 logits often tie, and a tie is decided alike in both passes."""
    with torch.no_grad():
        model.model.fc.weight.mul_(1e-3)
        model.model.fc.bias.fill_(1)  # so that they do
    with torch.autocast("cpu", dtype=precision, enabled=precision == torch.bfloat16):
        logits = model(data.test.test_batch(ALL)).sort(1, descending=True).values
        for noise, severity in (("constant", "1,0"), ("random", "0")):
            result = attacked(model, data, noise=noise, severities=(severity,))
            assert torch.equal(result.clean.correct, result.outcomes[1].correct)
    assert bool((logits[:, 0] == logits[:, 1]).any()) == (precision == torch.bfloat16)


def test_what_noise_cannot_reach_is_said() -> None:
    suite = SUITES["norm-noise"](SuiteOptions(data=tiny_data(), noise="batch"))
    counts = {"plain": (11, 11), "vit": (25, 0), "folded": (3, 3)}
    groups = cohorts(
        made_up(name, 0, 0.9, norm_layers=norms, batch_norms=batch)
        for name, (norms, batch) in counts.items()
    )
    none, layers = suite.notes(groups)
    assert none == "vit has no BatchNorm: batch noise cannot reach it, by construction"
    assert layers.startswith("norm layers under noise: plain 11, vit 25, folded 3 (")
    constant = SUITES["norm-noise"](SuiteOptions(data=tiny_data(), noise="constant"))
    assert len(constant.notes(groups)) == 1
    assert suite.notes(cohorts([made_up("plain", 0, 0.9), made_up("se", 0, 0.9)])) == []
