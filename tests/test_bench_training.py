"""The benchmark of training, on next to nothing: what it compares is what its page says."""

import copy
import importlib.util
from pathlib import Path

import pytest
import torch

from asr_core.parametrization import gated_layers

PATH = Path(__file__).parent.parent / "scripts" / "bench_training.py"


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("bench_training", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_published_form_and_asr_are_one_function(bench):
    torch.manual_seed(0)
    trained, _ = bench.variants(11)
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


def test_fused_and_folded_are_asr_without_its_gates(bench):
    trained, plain_again = bench.variants(11)
    x = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        wanted = trained["ASR"].eval()(x)
        for model in plain_again.values():
            assert (model(x) - wanted).abs().max() <= 1e-5 * wanted.abs().max()
    kinds = [{type(m).__name__ for m in model.modules()} for model in plain_again.values()]
    assert ["BatchNorm2d" in kind for kind in kinds] == [True, False]
    assert list(plain_again["ASR, fused"].state_dict()) == list(trained["plain"].state_dict())


def test_ratios_are_of_the_same_round(bench):
    seconds = {"plain": [1.0, 2.0, 4.0], "ASR": [2.0, 2.0, 2.0]}
    rows = bench.table("training step", seconds).splitlines()
    assert rows[2] == "| plain | 2.000 | 1.000 | 1.000 | 1.000 |  |"
    assert rows[3] == "| ASR | 2.000 | 2.000 | 1.000 | 2.000 | ≤ 1.02 |"


def test_each_round_starts_with_another(bench):
    order = []
    steps = {name: lambda name=name: order.append(name) for name in "abc"}
    seconds = bench.in_turns(steps, 2)
    assert order == list("abcbcacab")
    assert {name: len(values) for name, values in seconds.items()} == dict.fromkeys("abc", 2)


def test_the_page(bench, tmp_path, capsys):
    out = tmp_path / "page.md"
    bench.main(["--rounds", "1", "--batch", "2", "--depth", "11", "--out", str(out)])
    page = out.read_text(encoding="utf-8")
    assert capsys.readouterr().out == page
    rows = [line.split(" | ")[0].removeprefix("| ") for line in page.splitlines() if "|" in line]
    trained = ["plain", "plain, again", "SE, live", "bn(x) × attention(ψ), as published", "ASR"]
    head = ["training step", "|---|---|---|---|---|---|"]
    assert rows[:7] == head + trained
    folded = ["ASR, folded", "plain, channels last", "ASR, folded, channels last"]
    assert rows[9:] == [*trained, "ASR, fused", *folded]
    assert "ResNet11, 32×32, batch 2" in page
