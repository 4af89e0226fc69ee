"""The benchmark of training, on next to nothing: what it compares is what its page says."""

import copy
import importlib.util
import json
import signal
from pathlib import Path

import pytest
import torch

from asr_core.asr.parametrization import gated_layers
from robust.bench import training_cost as cost
from robust.bench import training_measure as measure
from robust.bench import training_page as page
from robust.bench.speed import in_turns
from robust.bench.training_cost import GATES, INFERENCE, TRAINING

SCRIPT = Path(__file__).parents[3] / "scripts" / "benchmarks" / "training.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("benchmark", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_published_form_and_asr_are_one_function():
    torch.manual_seed(0)
    trained, _ = cost.variants(11)
    gated = trained["ASR"].eval()
    published = trained["bn(x) × attention(ψ), as published"].eval()
    state = copy.deepcopy(trained["plain"]).state_dict()
    for key, value in gated.state_dict().items():
        key = key.replace("parametrizations.", "").removesuffix(".original")
        if key in state:
            state[key] = value
    for key in published.state_dict():
        stock = key.replace("bn3.bn.", "bn3.")
        if stock in state:
            published.state_dict()[key].copy_(state[stock])
    for name, layer in gated_layers(gated):
        wrapper = published.get_submodule(name)
        wrapper.psi.data.copy_(layer.asr.psi)
        wrapper.attention.load_state_dict(layer.asr.attention[0].state_dict())
    x = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        wanted = published(x)
        assert (gated(x) - wanted).abs().max() <= 1e-5 * wanted.abs().max()
        assert not torch.allclose(trained["plain"].eval()(x), wanted)


def test_fused_and_folded_are_asr_without_its_gates():
    trained, plain_again = cost.variants(11)
    x = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        wanted = trained["ASR"].eval()(x)
        for model in plain_again.values():
            assert (model(x) - wanted).abs().max() <= 1e-5 * wanted.abs().max()
    kinds = [{type(m).__name__ for m in model.modules()} for model in plain_again.values()]
    assert ["BatchNorm2d" in kind for kind in kinds] == [True, False]
    assert list(plain_again["ASR, fused"].state_dict()) == list(trained["plain"].state_dict())


def test_ratios_are_of_the_same_round():
    rounds = [{"plain": 1.0, "ASR": 2.0}, {"plain": 2.0, "ASR": 2.0}, {"plain": 4.0, "ASR": 2.0}]
    rows = page.timed_table(TRAINING, rounds).splitlines()
    assert rows[2] == "| plain | 2.000 | 1.000 | 1.000 | 1.000 |  |"
    assert rows[3] == "| ASR | 2.000 | 2.000 | 1.000 | 2.000 | ≤ 1.02 |"


def test_the_order_is_drawn_anew_each_round():
    order = []
    steps = {name: lambda name=name: order.append(name) for name in "abcdef"}
    kept = []
    seconds = in_turns(steps, 20, on_round=kept.append)
    rounds = ["".join(order[i : i + 6]) for i in range(0, len(order), 6)]
    assert len(rounds) == 21  # with the one that does not count
    assert {"".join(sorted(names)) for names in rounds} == {"abcdef"}
    # Of 720 orders; that 21 draws give fewer than 11 has a chance below 1e-17.
    assert len(set(rounds)) > 10
    assert {name: len(values) for name, values in seconds.items()} == dict.fromkeys("abcdef", 20)
    assert [list(seconds) for seconds in kept] == [list("abcdef")] * 20
    assert [seconds["c"] for seconds in kept] == seconds["c"]


POINTS = [(11, 2), (11, 4), (11, 8), (20, 2), (20, 8)]
TO = (164, 200)


def filled(path, of=()):
    """Counts and seconds that a fit and ratios can be read off by hand."""
    kept = measure.Measurements(path, dict(of))
    names = ["plain", "ASR"]
    for turn in range(2):
        for what in (TRAINING, INFERENCE):
            for name, block in (("plain", 3), ("ASR", 4)):
                for depth, batch in POINTS:
                    n = (depth - 2) // 9
                    # The second time all is a tenth more, ratios are the same.
                    number = (90 + block * n + 5 * batch + 2 * n * batch) * 10**5 * (10 + turn)
                    kept.counts["instructions"][turn][cost.unit(what, name, (depth, batch))] = (
                        number
                    )
                for of, number in (("operators", 40), ("bytes", 10**6)):
                    extra = number // 4 if name == "ASR" else 0
                    kept.counts[of][turn][cost.unit(what, name, TO)] = number + extra
    for what, rounds in ((TRAINING, 2), (INFERENCE, 6)):
        kept.seconds[what] = [dict.fromkeys(names, 1.0)] * rounds
    kept.seconds[GATES] = [{GATES: 0.01}] * 6
    kept.loads = [1.0, 2.0, 9.0]
    return kept


def test_counts_are_ratios_to_plain(tmp_path):
    kept = filled(tmp_path / "state.json")
    rows = page.counted_table(TRAINING, kept, TO).splitlines()
    assert rows[2:] == [
        "| plain | 40 | 1.000 | 1.0 | 1.0000 |",
        "| ASR | 50 | 1.250 | 1.2 | 1.2500 |",
    ]


def test_instructions_of_another_net_and_batch_are_of_the_fit(tmp_path):
    kept = filled(tmp_path / "state.json")
    rows = page.instruction_table(TRAINING, kept, POINTS, TO).splitlines()
    assert "ResNet164: fixed | per image | ratio at batch 200" in rows[0]
    # n = 18: plain 90 + 54 + (5 + 36) 200, ASR 18 more.
    assert rows[3].startswith("| ASR | 108.0 (1.0093) | 122.0 (1.0083) |")
    assert rows[3].endswith(f"| 162 | 41.0 | {1 + 18 / (144 + 41 * 200):.4f} | ≤ 1.02 |")
    assert page.misfit(kept, TRAINING, POINTS) < 1e-12
    text = "\n".join(page.counted_page(kept, TO, POINTS))
    # Here all that ASR adds is fixed.
    assert f"fixed cost alone makes ASR's ratio {1 + 18 / (144 + 41 * 200):.4f}" in text
    assert f"by the fit would be {1 + 18 / (144 + 41 * 100):.4f}" in text
    assert "differ by at most 0.000%" in text


def test_what_repeats_is_the_ratio(tmp_path):
    kept = filled(tmp_path / "state.json")
    assert page.repeats(kept, "instructions") < 1e-12
    second = kept.counts["instructions"][1]
    second[cost.unit(INFERENCE, "ASR", (11, 2))] *= 1.25
    assert page.repeats(kept, "instructions") == pytest.approx(0.25)


def test_what_the_fit_misses_is_told(tmp_path):
    kept = filled(tmp_path / "state.json")
    kept.counts["instructions"][0][cost.unit(TRAINING, "ASR", (11, 4))] *= 2
    assert page.misfit(kept, TRAINING, POINTS) > 0.2


def test_what_was_measured_is_measured_once(tmp_path, capsys):
    path = tmp_path / "state.json"
    filled(path, {"batch": 2}).save()
    again = measure.Measurements(path, {"batch": 2})
    assert "continues" in capsys.readouterr().err
    asked = []
    measure.take_turns(again, TRAINING, {"plain": lambda: asked.append(1)}, 2)
    assert not asked
    measure.take_turns(again, TRAINING, {"plain": lambda: asked.append(1)}, 5)
    assert len(asked) == 1 + 3  # the warm-up, and the rounds that were missing
    found = json.loads(path.read_text())
    assert len(found["seconds"][TRAINING]) == 5
    assert len(found["loads"]) == 3 + 3


def test_other_code_or_options_are_measured_anew(tmp_path, capsys):
    path = tmp_path / "state.json"
    filled(path, {"batch": 2}).save()
    assert not measure.Measurements(path, {"batch": 3}).seconds
    assert str(path) in capsys.readouterr().err


def test_both_turns_count_what_is_missing_in_either_order(tmp_path, monkeypatch):
    asked = []

    def instructions(code, arguments, *, say):
        asked.append(arguments[1:])
        yield from ((name, 7) for name in arguments[1:])

    monkeypatch.setattr(measure, "instructions", instructions)
    kept = measure.Measurements(tmp_path / "state.json", {})
    names = list(cost.counted_steps([(11, 1), (11, 2)]))
    kept.counts["instructions"][0] = dict.fromkeys(names[:-3], 7)
    measure.count_instructions(kept, [(11, 1), (11, 2)])
    assert asked == [names[-3:], names[::-1]]
    assert [set(found) for found in kept.counts["instructions"]] == [set(names)] * 2


def test_the_code_that_callgrind_runs(tmp_path, monkeypatch):
    """But for callgrind: the steps that are wanted, in their order."""
    ran = []
    monkeypatch.setattr(cost, "count_here", lambda steps: ran.extend(steps))
    wanted = [
        cost.unit(INFERENCE, "ASR, folded", (11, 2)),
        cost.unit(TRAINING, "ASR", (20, 1)),
    ]
    cost.count_under_valgrind("11x2,20x1", *wanted)
    assert ran == wanted


@pytest.mark.parametrize(
    "arguments",
    [
        ["--count-at", "11x2", "11x4", "11x8", "11x16"],
        ["--count-at", "11x2", "20x2", "29x2", "38x2"],
        ["--count-at", "11x2", "20x4", "20x4", "20x4"],
        ["--count-at", "12x2"],
        ["--count-at", "11x0"],
        ["--count-at", "11"],
        ["--rounds", "0"],
    ],
)
def test_numbers_that_give_no_fit_or_no_time(script, arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        script.parsed(arguments)
    assert stopped.value.code == 2
    assert arguments[0] in capsys.readouterr().err


TINY = ["--rounds", "1", "--batch", "2", "--depth", "11", "--count-at"]


def test_the_page(script, tmp_path, capsys):
    out, state = tmp_path / "page.md", tmp_path / "state.json"
    script.main([*TINY, "--out", str(out), "--state", str(state)])
    text = out.read_text(encoding="utf-8")
    said = capsys.readouterr()
    assert said.out == text
    # Without a terminal, too: each count and each round has its line.
    assert said.err.count("operators and bytes") == 2 * 10
    assert f"{TRAINING}: round 1 of 1" in said.err
    rows = [line.split(" | ")[0].removeprefix("| ") for line in text.splitlines() if "|" in line]
    rows = [row for row in rows if not row.startswith("---")]
    counted = ["plain", "SE, live", "bn(x) × attention(ψ), as published", "ASR"]
    timed = ["plain", "plain, again", *counted[1:]]
    fused = ["ASR, fused", "ASR, folded"]
    last = ["plain, channels last", "ASR, folded, channels last"]
    assert rows == [
        *("training step", *counted, "inference", *counted, *fused),
        *("training step", *timed, "inference", *timed, *fused, *last),
    ]
    assert "ResNet11, batch 2" in text
    assert "Instructions were not counted" in text
    script.main([*TINY, "--out", str(out), "--state", str(state)])
    assert "round" not in capsys.readouterr().err
    assert out.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_it_says_how_to_go_on(script, tmp_path, number, capsys, monkeypatch):
    def stopped(*args):
        signal.raise_signal(number)

    monkeypatch.setattr(measure, "allocated", lambda step: 1)
    monkeypatch.setattr(script, "measure_time", stopped)
    state = tmp_path / "state.json"
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert script.command([*TINY, "--state", str(state)]) == 130
    finally:
        signal.signal(signal.SIGTERM, before)
    assert "goes on" in capsys.readouterr().err.splitlines()[-1]
    assert json.loads(state.read_text())["counts"]["bytes"][1]
