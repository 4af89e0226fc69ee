"""Stripes, in numbers: gates read by hand, scores of gates whose variances are known."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from live_nets import randomise
from torch import nn

from asr_core import fuse_asr
from asr_core.attention import SE
from asr_core.data import MemorySplit
from asr_core.errors import CheckpointError, InputError
from asr_core.freeze import freeze_attention
from asr_core.models import Normalized, build
from asr_core.stripes import (
    AttentionRecord,
    AttentionRecorder,
    chosen,
    differences,
    gate_values,
    gate_vectors,
    load_record,
    save_record,
    settled_epoch,
    settled_share,
    spatial_attention,
    stripe_score,
)
from asr_core.stripes import record as record_file
from asr_core.stripes.convergence import settled_epochs
from asr_core.training.loop import EpochEnd

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)


def images(n: int, seed: int = 0) -> torch.Tensor:
    """Of unequal contrast, so that gates differ."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, 3, 32, 32, generator=generator) * torch.linspace(0.1, 1, n).view(
        -1, 1, 1, 1
    )


def live(attention: str = "se", mode: str = "live") -> Normalized:
    model = randomise(build("resnet11", 5, mode=mode, attention=attention))
    return Normalized(model, MEAN, STD)


# --- values ---------------------------------------------------------------------------------------


def test_values_are_what_the_module_gives_on_its_input() -> None:
    model, x = live(), images(5)
    seen: dict[str, torch.Tensor] = {}
    block = model.model.layer2[0]  # type: ignore[index, union-attr]
    block.attention.register_forward_pre_hook(lambda _, args: seen.update(x=args[0]))
    values, refusals = gate_values(model.train(), [x[:3], x[3:]])
    assert model.training, "its mode is restored"
    assert refusals == []
    assert {n: tuple(v.shape) for n, v in values.items()} == {
        "layer1.0.attention": (5, 64),
        "layer2.0.attention": (5, 128),
        "layer3.0.attention": (5, 256),
    }
    model.eval()(x)
    se = block.attention
    pooled = seen["x"].mean((2, 3))
    hidden = (pooled @ se.reduce.weight.T + se.reduce.bias).relu()
    wanted = torch.sigmoid(hidden @ se.expand.weight.T + se.expand.bias)
    assert torch.allclose(values["layer2.0.attention"], wanted, atol=1e-5)
    assert wanted.std(0).mean() > 1e-4, "they differ between images"


def test_the_score_is_that_of_freezing() -> None:
    model, x = live(), images(6)
    values, _ = gate_values(model.model, [x])
    report = freeze_attention(model.model, [x])
    for gate in report.gates:
        assert stripe_score(values[gate.name]) == pytest.approx(gate.statistics.stripe, rel=1e-5)


def test_gates_of_asr_are_no_live_ones() -> None:
    model = live(mode="both")
    values, _ = gate_values(model, [images(2)])
    assert list(values) == [f"layer{i}.0.attention" for i in (1, 2, 3)]
    vectors = gate_vectors(model)
    assert list(vectors) == [f"layer{i}.0.bn3" for i in (1, 2, 3)]
    gated = model.model.layer1[0].bn3  # type: ignore[index, union-attr]
    stock = gated.parametrizations.weight.original
    assert torch.allclose(vectors["layer1.0.bn3"] * stock, gated.weight, rtol=1e-6)
    assert gate_vectors(fuse_asr(model)) == {}


def test_attention_without_a_gate_per_channel_is_refused_by_name() -> None:
    values, refusals = gate_values(live("cbam"), [images(2)])
    assert values == {}
    assert [r.name for r in refusals] == [f"layer{i}.0.attention" for i in (1, 2, 3)]
    assert "spatial half" in refusals[0].reason


class Twice(nn.Module):
    """One gate for two inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = SE(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.gate(x) * self.gate(x * 2) * x


def test_a_gate_that_is_called_twice_has_no_one_value() -> None:
    values, (refusal,) = gate_values(Twice(), [images(2)])
    assert values == {}
    assert refusal.name == "gate"
    assert "2 times in 1 forwards" in refusal.reason


def test_a_gate_that_is_not_finite_is_named() -> None:
    model = live()
    model.model.layer2[0].attention.expand.bias.data[3] = math.nan  # type: ignore
    with pytest.raises(InputError, match=r"layer2\.0\.attention.*not finite"):
        gate_values(model, [images(2)])


# --- score ----------------------------------------------------------------------------------------


def test_constant_gates_are_a_perfect_stripe() -> None:
    model = build("resnet11", 5, mode="live", attention="se")
    randomise(model)
    for stage in (model.layer1, model.layer2, model.layer3):
        nn.init.zeros_(stage[0].attention.expand.weight)
    values, _ = gate_values(model, [images(7)])
    assert [stripe_score(gate) for gate in values.values()] == [0.0, 0.0, 0.0]
    assert all(gate.mean(0).std() > 0.01 for gate in values.values()), "channels differ"


def test_independent_gates_score_as_many_as_there_are_images() -> None:
    """Between channels the means vary by σ² / n, within one the images by σ²(n − 1) / n."""
    gates = torch.rand(50, 20000, generator=torch.Generator().manual_seed(0))
    assert stripe_score(gates) == pytest.approx(49, rel=0.03)


@given(st.floats(0.01, 3), st.floats(0.01, 3), st.integers(0, 50))
def test_the_score_is_the_ratio_of_the_variances(between: float, within: float, seed: int) -> None:
    """Channel means of variance ``between``², images around them of variance ``within``²."""
    generator = torch.Generator().manual_seed(seed)
    channels = torch.randn(1, 40, generator=generator, dtype=torch.float64)
    channels = (channels - channels.mean()) / channels.std(correction=0) * between
    noise = torch.randn(30, 40, generator=generator, dtype=torch.float64)
    noise = (noise - noise.mean(0)) / noise.std(0, correction=0) * within
    assert stripe_score(channels + noise) == pytest.approx((within / between) ** 2, rel=1e-6)


def test_channels_that_are_all_alike_score_infinity() -> None:
    assert stripe_score(torch.rand(5, 1).expand(5, 8)) == math.inf


@pytest.mark.parametrize("shape", [(1, 4), (4,), (2, 3, 4)])
def test_what_cannot_be_scored(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="at least two images"):
        stripe_score(torch.rand(shape))


# --- order ----------------------------------------------------------------------------------------


def test_the_order_is_a_function_of_what_width_and_seed() -> None:
    torch.manual_seed(1)
    first = chosen("channels", 64, 20, seed=3)
    torch.manual_seed(2)
    assert torch.equal(first, chosen("channels", 64, 20, seed=3))
    assert torch.equal(first, chosen("channels", 64, 100, seed=3)[:20])
    assert len(set(first.tolist())) == 20
    assert chosen("channels", 64, 100).sort().values.tolist() == list(range(64))
    for other in (chosen("images", 64, 20, seed=3), chosen("channels", 64, 20, seed=4)):
        assert not torch.equal(first, other)


@pytest.mark.parametrize(("width", "count"), [(0, 5), (5, 0)])
def test_nothing_cannot_be_chosen_from(width: int, count: int) -> None:
    with pytest.raises(InputError, match="at least 1"):
        chosen("images", width, count)


# --- spatial --------------------------------------------------------------------------------------


def test_spatial_attention_is_what_the_gate_has_beyond_its_channel_half() -> None:
    model, x = live("cbam"), images(3)
    found = spatial_attention(model.train(), x)
    assert model.training
    assert {n: tuple(v.shape) for n, v in found.items()} == {
        "layer1.0.attention": (3, 32, 32),
        "layer2.0.attention": (3, 16, 16),
        "layer3.0.attention": (3, 8, 8),
    }
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    cbam = model.model.layer2[0].attention  # type: ignore[index, union-attr]
    cbam.register_forward_hook(lambda _, args, out: seen.append((args[0], out)))
    model.eval()(x)
    ((features, gate),) = seen
    wanted = (gate / cbam.channel_gate(features)).mean(1)
    assert torch.allclose(found["layer2.0.attention"], wanted, atol=1e-5)
    assert wanted.std() > 1e-3, "positions differ"
    assert not cbam.spatial._forward_hooks


def test_no_spatial_attention_without_cbam() -> None:
    assert spatial_attention(live(), images(2)) == {}


# --- convergence ----------------------------------------------------------------------------------


def test_differences_are_between_neighbours() -> None:
    values = torch.tensor([[0.1, 0.9], [0.4, 0.8], [0.4, 0.2]])
    assert torch.allclose(differences(values), torch.tensor([[0.3, 0.1], [0.0, 0.6]]))
    with pytest.raises(InputError, match="1 were recorded"):
        differences(values[:1])


def test_a_value_has_settled_when_it_never_moves_again() -> None:
    steps = torch.tensor([[0.0, 0.3, 0.3, 0.0], [0.0, 0.0, 0.0, 0.3], [0.0, 0.0, 0.3, 0.0]])
    assert settled_epochs(steps, threshold=0.1).tolist() == [1, 2, 4, 3]
    assert settled_epoch(steps, threshold=0.1, share=0.5) == 2
    assert settled_epoch(steps, threshold=0.1, share=0.75) == 3
    assert settled_epoch(steps, threshold=0.1, share=0.76) is None
    assert settled_epoch(steps, threshold=0.31) == 1
    assert [settled_share(steps, t, threshold=0.1) for t in (1, 2, 3)] == [0.25, 0.5, 0.75]


@given(st.integers(0, 200), st.floats(0.05, 0.9), st.floats(0.1, 1))
def test_settled_against_the_definition(seed: int, threshold: float, share: float) -> None:
    steps = torch.rand(6, 11, generator=torch.Generator().manual_seed(seed)) ** 3
    rows = steps.tolist()
    wanted = None
    for t in range(6, 0, -1):
        still = [all(row[c] < threshold for row in rows[t - 1 :]) for c in range(11)]
        if sum(still) >= share * 11:
            wanted = t
    assert settled_epoch(steps, threshold=threshold, share=share) == wanted


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_thresholds_are_above_zero(bad: float) -> None:
    with pytest.raises(InputError, match="threshold"):
        settled_epoch(torch.rand(2, 3), threshold=bad)


@pytest.mark.parametrize("bad", [0.0, 1.5])
def test_shares_are_shares(bad: float) -> None:
    with pytest.raises(InputError, match="share"):
        settled_epoch(torch.rand(2, 3), share=bad)


# --- the record -----------------------------------------------------------------------------------


def split(n: int = 12) -> MemorySplit:
    return MemorySplit((images(n) * 255).to(torch.uint8), torch.arange(n))


def ends(count: int) -> list[EpochEnd]:
    """Epochs of a network that changes between them."""
    return [
        EpochEnd(t, Normalized(randomise(build("resnet11", 5, mode="both"), t), MEAN, STD), {})
        for t in range(count)
    ]


def test_the_record_is_the_forward_after_each_epoch(tmp_path) -> None:
    data = split()
    recorder = AttentionRecorder(tmp_path, data, images=4)
    epochs = ends(3)
    for end in epochs:
        recorder(end)
    record = load_record(tmp_path / "attention.npz")
    assert record.images.tolist() == [0, 3, 6, 9]
    assert record.epochs == 3
    shown = data.images[[0, 3, 6, 9]].float() / 255
    for t, end in enumerate(epochs):
        values, _ = gate_values(end.model, [shown])
        for name, gate in values.items():
            assert torch.equal(record.live[name][t], gate)
        for name, v in gate_vectors(end.model).items():
            assert torch.equal(record.asr[name][t], v)
    assert not torch.equal(record.live["layer1.0.attention"][0], gate), "the network changed"


def test_an_epoch_gone_through_again_replaces_what_was_recorded_of_it(tmp_path) -> None:
    first, second, third = ends(3)
    once, again = tmp_path / "once", tmp_path / "again"
    for folder, order in ((once, [first, second]), (again, [first, third, second])):
        recorder = AttentionRecorder(folder, split())
        for end in order:
            recorder(end._replace(epoch=min(end.epoch, 1)))
    a, b = (load_record(folder / "attention.npz") for folder in (once, again))
    assert a.epochs == b.epochs == 2
    assert all(torch.equal(a.live[name], b.live[name]) for name in a.live)


def test_a_record_with_a_gap_is_refused(tmp_path) -> None:
    first, _, third = ends(3)
    recorder = AttentionRecorder(tmp_path, split())
    with pytest.raises(CheckpointError, match="no such file"):
        recorder(third)
    recorder(first)
    with pytest.raises(CheckpointError, match="has 1 epochs of 2"):
        recorder(third)


def test_a_record_comes_back_as_it_was(tmp_path) -> None:
    path = tmp_path / "attention.npz"
    record = AttentionRecord(
        torch.tensor([1, 5]), {"a.file": torch.rand(2, 2, 3)}, {"file": torch.rand(2, 3)}
    )
    save_record(path, record)
    again = load_record(path)
    assert torch.equal(again.images, record.images)
    assert torch.equal(again.live["a.file"], record.live["a.file"])
    assert torch.equal(again.asr["file"], record.asr["file"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": np.arange(3.0)}, "images is torch.float64"),
        ({"images": np.zeros((1, 2), np.int64)}, "images is"),
        ({"live/a": np.zeros((2, 2), np.float32)}, r"live/a is torch.float32 \(2, 2\), not"),
        ({"live/a": np.zeros((2, 3, 4), np.float32)}, "not of the same epochs and images"),
        ({"live/a": np.zeros((2, 2, 4))}, "live/a is torch.float64"),
        ({"live/a": np.full((2, 2, 4), np.nan, np.float32)}, "live/a holds NaN"),
        ({"asr/b": np.zeros((3, 4), np.float32)}, "not of the same epochs"),
        ({"asr/b": np.zeros((), np.float32)}, r"asr/b is torch.float32 \(\), not"),
        ({"asr/b": np.array(["x"])}, "damaged"),
        ({"asr/b": np.array([None])}, "damaged"),
        ({"asr/b": np.zeros(2, np.complex64)}, "asr/b is of type"),
    ],
)
def test_arrays_of_another_kind_are_refused(tmp_path, change, message) -> None:
    path = tmp_path / "attention.npz"
    good = {"images": np.arange(2), "live/a": np.zeros((2, 2, 4), np.float32)}
    np.savez(path, **good)
    assert load_record(path).epochs == 2
    np.savez(path, **{**good, **change})
    with pytest.raises(CheckpointError, match=rf"attention\.npz: .*({message})"):
        load_record(path)


def test_a_record_that_unpacks_to_gigabytes_is_refused(tmp_path, monkeypatch) -> None:
    path = tmp_path / "attention.npz"
    monkeypatch.setattr(record_file, "_LARGEST", 10**6)
    save_record(path, AttentionRecord(torch.zeros(2 * 10**5, dtype=torch.int64)))
    assert path.stat().st_size < 10**4
    with pytest.raises(CheckpointError, match=r"1600\d\d\d bytes unpacked, of at most 1000000"):
        load_record(path)


def test_a_damaged_record_is_said(tmp_path) -> None:
    path = tmp_path / "attention.npz"
    save_record(path, AttentionRecord(torch.arange(3)))
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(CheckpointError, match="damaged"):
        load_record(path)
    path.write_text("not an archive")
    with pytest.raises(CheckpointError, match="damaged"):
        load_record(path)
