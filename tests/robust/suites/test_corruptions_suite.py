"""The suite of corruptions: what the model sees, how often, and the figure made of it."""

import dataclasses

import pytest
import torch
from small_suite import COUNT, Seen, data

from asr_core import fuse_asr, insert_asr
from asr_core.errors import InputError
from asr_core.training import evaluate
from robust.corruptions import FIXED, KINDS, corrupt
from robust.corruptions.score import ALEXNET
from robust.suites import CLEAN, SUITES, Condition, SuiteOptions, load_result, run_suite
from robust.suites.cohort import cohorts
from robust.suites.kinds.corruptions import errors, score


def suite(given, **options):
    return SUITES["corruptions"](SuiteOptions(data=given, **options))


def run(model, given, *, batch_size=5, **options):
    return run_suite(model, given.test, suite(given, **options), batch_size=batch_size)


def test_all_kinds_at_all_severities_and_repeats_only_where_chance_has_a_part():
    found = suite(data()).conditions()
    assert [(c.kind, c.severity) for c in found] == [(k, s) for k in KINDS for s in range(1, 6)]
    assert {c.repeat for c in found} == {0}
    thrice = suite(data(), repeats=3, severities=("5", "2")).conditions()
    assert len(thrice) == 2 * len(FIXED) + 3 * 2 * (15 - len(FIXED))
    assert [c.repeat for c in thrice if c.kind == "fog"] == [0, 1, 2] * 2
    assert [c.severity for c in thrice if c.kind == "jpeg_compression"] == [2, 5]


def test_the_model_sees_the_corrupted_grey_levels_whatever_the_batches():
    given, model = data(), Seen()
    found = run(model, given, repeats=2, severities=("3",), seed=7)
    seen = torch.cat(model.images).split(COUNT)
    assert len(seen) == 1 + len(found.outcomes) - 1
    assert torch.equal(seen[0], given.test.images.float() / 255)
    for outcome, images in zip(found.outcomes[1:], seen[1:], strict=True):
        condition = outcome.condition
        expected = corrupt(
            given.test.images,
            condition.kind,
            3,
            indices=range(COUNT),
            seed=7,
            draw=condition.repeat,
        )
        assert torch.equal(images, expected.float() / 255)
    again = run(Seen(), given, repeats=2, severities=("3",), seed=7, batch_size=4)
    for a, b in zip(found.outcomes, again.outcomes, strict=True):
        assert torch.equal(a.correct, b.correct)


def test_passes_are_one_a_condition_and_one_clean_that_equals_evaluation():
    given, model = data(), Seen()
    found = run(model, given, batch_size=COUNT)
    assert len(model.images) == 75 + 1
    clean = evaluate(Seen(), given.test, batch_size=COUNT)
    assert found.clean.top1 == clean.top1
    assert torch.equal(found.clean.correct, clean.correct)


def test_the_models_mode_and_weights_are_as_before():
    given, model = data(), Seen().train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    run(model, given, severities=("1",))
    assert all(module.training for module in model.modules())
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_fused_and_unfused_agree_on_every_sample():
    given, model = data(), Seen()
    report = insert_asr(model, attention="se", targets=["body.1"])
    with torch.no_grad():
        for parameter in report.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
        model.body[-1].weight.mul_(20)
    fused = fuse_asr(model)
    ours, theirs = (run(m, given, severities=("1", "5")) for m in (model, fused))
    assert len({o.top1 for o in ours.outcomes}) > 1
    for a, b in zip(ours.outcomes, theirs.outcomes, strict=True):
        assert torch.equal(a.correct, b.correct)


def test_settings_name_the_table_and_say_that_frost_is_drawn(tmp_path):
    small, large = data(), data(side=96)
    assert suite(small, seed=3).settings() == {
        "seed": 3,
        "repeats": 1,
        "data": "pictures",
        "severity_table": "published for 32 pixels",
        "frost": "drawn",
    }
    assert suite(large).settings()["severity_table"] == "published for 224 pixels"
    found = run(Seen(), small, severities=("2",))
    found.save(tmp_path / "a.json")
    assert load_result(tmp_path / "a.json").settings["frost"] == "drawn"


@pytest.mark.parametrize("severity", ["0", "6", "hard"])
def test_other_severities_are_refused(severity):
    with pytest.raises(InputError, match=f"severity '{severity}' of corruptions is not one of 1"):
        suite(data(), severities=(severity,))


def told(found, errors_of_kinds):
    """The same result with given errors, severity by severity."""
    outcomes = [found.clean]
    for outcome in found.outcomes[1:]:
        c = outcome.condition
        outcomes.append(dataclasses.replace(outcome, top1=1 - errors_of_kinds[c.kind][c.severity]))
    return dataclasses.replace(found, outcomes=tuple(outcomes))


def test_errors_are_by_kind_and_severity_the_mean_over_repeats():
    found = run(Seen(), data(), repeats=2, severities=("1", "4"))
    rows = errors([found])
    assert list(rows) == list(KINDS)
    repeats = [o.error for o in found.of(Condition("fog", 4))]
    assert len(repeats) == 2
    assert rows["fog"][1] == pytest.approx(sum(repeats) / 2)
    assert CLEAN.kind not in rows


def test_the_figure_is_named_after_what_it_is_relative_to():
    found = run(Seen(), data())
    mine = told(found, {kind: {s: 0.1 * s for s in range(1, 6)} for kind in KINDS})
    twin = told(found, {kind: {s: 0.15 * s for s in range(1, 6)} for kind in KINDS})

    plain = score([mine])
    assert (plain.name, plain.value) == ("mean error", pytest.approx(0.3))
    assert set(plain.kinds) == set(KINDS)

    relative = score([mine], baseline=[twin])
    assert relative.name == "mCE relative to the plain twin"
    assert relative.value == pytest.approx(2 / 3)

    settings = {"data": "imagenet", "severity_table": "published for 224 pixels"}
    on_imagenet = dataclasses.replace(mine, settings={**mine.settings, **settings})
    absolute = score([on_imagenet])
    assert absolute.name == "mCE"
    expected = sum(0.3 / error for error in ALEXNET.values()) / 15
    assert absolute.value == pytest.approx(expected)
    assert absolute.kinds["fog"] == pytest.approx(0.3 / 0.819324)

    milder = dataclasses.replace(mine, settings={**mine.settings, "data": "imagenet"})
    assert score([milder]).name == "mean error"
    held_out = dataclasses.replace(on_imagenet, meta={"data": {"split": "validation"}})
    assert score([held_out]).name == "mean error"


def test_networks_of_several_seeds_are_scored_by_their_mean_errors():
    found = run(Seen(), data())
    low, high = (told(found, {k: dict.fromkeys(range(1, 6), e) for k in KINDS}) for e in (0.2, 0.6))
    assert score([low, high]).value == pytest.approx(0.4)
    assert score([low, high], baseline=[high]).value == pytest.approx(0.4 / 0.6)


def test_without_all_severities_imagenet_has_a_mean_error_and_no_mce():
    found = run(Seen(), data(), severities=("1",))
    settings = {"data": "imagenet", "severity_table": "published for 224 pixels"}
    on_imagenet = dataclasses.replace(found, settings={**found.settings, **settings})
    assert score([on_imagenet]).name == "mean error"


def named(found, name, seed=0):
    meta = {"name": name, "variant": name, "recipe": "r", "seed": seed}
    return dataclasses.replace(found, meta=meta)


def test_notes_say_the_figure_of_each_variant_and_that_frost_is_drawn():
    given = data()
    found = run(Seen(), given)
    mine = named(told(found, {k: dict.fromkeys(range(1, 6), 0.3) for k in KINDS}), "ASR(SE)")
    twin = named(told(found, {k: dict.fromkeys(range(1, 6), 0.4) for k in KINDS}), "plain")
    groups = cohorts([mine, twin])
    frost, alone = suite(given).notes(groups)
    assert frost.startswith("frost: drawn by code, not the published photographs; severities")
    assert alone == "mean error: ASR(SE) 30.0 %, plain 40.0 %"
    relative = suite(given, baseline="plain").notes(groups)[1]
    assert relative == "mCE relative to the plain twin (plain): ASR(SE) 75.0 %, plain 100.0 %"


def test_a_twin_without_errors_is_said_and_loses_no_report():
    given = data()
    found = run(Seen(), given)
    twin = named(told(found, {k: dict.fromkeys(range(1, 6), 0.0) for k in KINDS}), "plain")
    notes = suite(given, baseline="plain").notes(cohorts([named(found, "ASR(SE)"), twin]))
    assert notes[1].startswith("mCE relative to the plain twin: none (the reference makes no error")


def test_results_that_were_run_otherwise_are_not_compared():
    first, second = (run(Seen(), data(), severities=("1",), seed=seed) for seed in (0, 1))
    with pytest.raises(InputError, match=r"corrupted .*'seed': 0.*'seed': 1"):
        score([first], baseline=[second])
    with pytest.raises(InputError, match="has no corruptions"):
        errors([dataclasses.replace(first, suite="norm-noise")])
    with pytest.raises(InputError, match="no results"):
        score([])
