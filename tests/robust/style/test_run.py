"""robust.style.run: each number belongs to the pair of pictures that its row names."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio
from tiny_networks import save_all
from torch import Tensor
from torchvision.models import alexnet

from asr_core.errors import InputError
from robust.metrics.lpips import LPIPS
from robust.norm_noise import BatchNoise, ConstantNoise, RandomNoise, Severity
from robust.style.measure import Measures
from robust.style.names import OTHER_SEED, SHARED
from robust.style.objective import Objective
from robust.style.plan import AttackPlan
from robust.style.results import CLEAN, Row
from robust.style.run import Output, StyleAttack
from styletransfer.images.drawn import draw_style
from styletransfer.images.embedded import held_out, pool
from styletransfer.losses.embedded import EmbeddedLossNetwork
from styletransfer.losses.perceptual import PerceptualLoss
from styletransfer.network import NORMS
from styletransfer.zoo import describe, load_network

SIZE = 64
OBJECTIVE = Objective(content_weight=2.0, style_weight=5.0)


def untrained_lpips() -> LPIPS:
    """A distance of the right form; its weights are drawn."""
    generator = torch.Generator().manual_seed(0)
    with torch.device("meta"):
        features = alexnet().features
    state = {f"features.{name}": tensor for name, tensor in features.state_dict().items()}
    widths = enumerate((64, 192, 384, 256, 256))
    state |= {f"lin{index}.weight": torch.empty(1, width, 1, 1) for index, width in widths}
    drawn = {n: 0.1 * torch.randn(t.shape, generator=generator) for n, t in state.items()}
    return LPIPS("alex", {n: t.abs() if n.startswith("lin") else t for n, t in drawn.items()})


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return save_all(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def measures() -> Measures:
    loss = PerceptualLoss(EmbeddedLossNetwork(), draw_style("mosaic", size=64))
    return Measures(loss, OBJECTIVE, untrained_lpips(), every=True)


@pytest.fixture(scope="module")
def image() -> Tensor:
    return held_out("cat", size=SIZE)


def run(
    checkpoints: list[Path], measures: Measures, image: Tensor, *severities: Severity, **plan: Any
) -> tuple[list[Row], list[Output]]:
    networks = tuple(describe(path) for path in checkpoints)
    made = AttackPlan(networks=networks, severities=severities, size=SIZE, draws=2, **plan)
    attack = StyleAttack(made, measures, pool(size=SIZE)[1])
    outputs: list[Output] = []
    with attack.statistics():
        rows = attack.rows("cat", image, on_output=outputs.append)
    return rows, outputs


def value(rows: list[Row], **wanted: object) -> float:
    found = [row for row in rows if all(getattr(row, k) == v for k, v in wanted.items())]
    assert len(found) == 1, found
    return found[0].value


def psnr(a: Tensor, b: Tensor) -> float:
    return peak_signal_noise_ratio(b[0].double().numpy(), a[0].double().numpy(), data_range=1.0)


def test_similarities_compare_with_in_of_the_same_training_seed(
    checkpoints: list[Path], measures: Measures, image: Tensor
) -> None:
    rows, _ = run(checkpoints[:4], measures, image, BatchNoise(2))
    clean = {}
    for path in checkpoints[:4]:
        network, meta = load_network(path)
        with torch.no_grad():
            clean[meta["model"]["norm"], meta["seed"]] = network(image[None])
    for seed in (0, 1):
        found = value(rows, norm="bn", noise=CLEAN, seed=seed, metric="psnr_to_in")
        assert found == pytest.approx(psnr(clean["bn", seed], clean["in", seed]), rel=1e-4)
        wrong = psnr(clean["bn", seed], clean["in", 1 - seed])
        assert abs(found - wrong) > 0.01  # the other seed would give another number
    ceiling = value(rows, norm=OTHER_SEED, seed=0, metric="psnr_to_in")
    assert ceiling == pytest.approx(psnr(clean["in", 1], clean["in", 0]), rel=1e-4)


def test_attacked_outputs_are_compared_with_their_own_clean_ones(
    checkpoints: list[Path], measures: Measures, image: Tensor
) -> None:
    rows, outputs = run(checkpoints[4:6], measures, image, RandomNoise(0.5))
    pictures = {(o.norm, o.training_seed, o.severity, o.draw): o.picture for o in outputs}
    for draw in (0, 1):
        clean, attacked = (
            pictures["bn+asr", 1, None, 0],
            pictures["bn+asr", 1, RandomNoise(0.5), draw],
        )
        assert not torch.equal(clean, attacked)
        found = value(
            rows, norm="bn+asr", noise="random", seed=1, metric="psnr_to_clean", draw=draw
        )
        assert found == pytest.approx(psnr(attacked, clean), rel=1e-4)


def test_batch_noise_leaves_in_alone_and_moves_bn(
    checkpoints: list[Path], measures: Measures, image: Tensor
) -> None:
    _, outputs = run(checkpoints, measures, image, BatchNoise(4), BatchNoise(4, "noise"))
    by_norm: dict[str, list[Tensor]] = {}
    for output in outputs:
        if output.training_seed == 0:
            by_norm.setdefault(output.norm, []).append(output.picture)
    assert all(torch.equal(picture, by_norm["in"][0]) for picture in by_norm["in"])
    for norm in ("bn", "bn+asr", "bn+const"):
        clean, *attacked = by_norm[norm]
        assert len(attacked) == 4  # two severities, two draws
        assert all((picture - clean).abs().max() > 1e-3 for picture in attacked)
        assert not torch.equal(attacked[0], attacked[1])


def test_the_shortcut_for_in_under_batch_noise_is_what_a_real_batch_gives(
    checkpoints: list[Path], image: Tensor
) -> None:
    network, _ = load_network(checkpoints[0])
    assert network.config["norm"] == "in"
    with torch.no_grad():
        in_batch = network(torch.cat([image[None], pool(size=SIZE)[1][:3]]))[:1]
        torch.testing.assert_close(in_batch, network(image[None]), rtol=0, atol=1e-6)


def test_spread_is_the_deviation_of_the_draws(
    checkpoints: list[Path], measures: Measures, image: Tensor
) -> None:
    rows, outputs = run(checkpoints[:4], measures, image, BatchNoise(2))
    drawn = [o.picture for o in outputs if o.norm == "bn" and o.training_seed == 0 and o.severity]
    expected = torch.cat(drawn).double().std(dim=0, correction=1).mean().item()
    assert value(rows, norm="bn", seed=0, metric="spread") == pytest.approx(expected, rel=1e-6)
    assert not [row for row in rows if row.norm == "in" and row.metric == "spread"]


def test_constant_noise_gives_one_output_and_no_spread(
    checkpoints: list[Path], measures: Measures, image: Tensor
) -> None:
    rows, outputs = run(checkpoints[:2], measures, image, ConstantNoise(0.8, 0.5))
    assert len(outputs) == 2 * 2
    assert not [row for row in rows if row.metric == "spread"]


def test_statistics_change_what_bn_gives_and_are_named(
    checkpoints: list[Path], measures: Measures, image: Tensor
) -> None:
    noise = ConstantNoise(0.8, 0.5)
    found = {}
    for statistics in ("running", "batch", "re-estimated"):
        rows, outputs = run(checkpoints[:3], measures, image, noise, statistics=statistics)
        named = {row.statistics for row in rows if row.norm == "bn"}
        assert named == {"batch (n = 4)" if statistics == "batch" else statistics}
        assert {row.statistics for row in rows if row.norm in ("in", OTHER_SEED)} == {"instance"}
        found[statistics] = next(o.picture for o in outputs if o.norm == "bn" and o.severity)
    for a, b in (("running", "batch"), ("running", "re-estimated"), ("batch", "re-estimated")):
        assert (found[a] - found[b]).abs().max() > 1e-3


def test_a_batch_larger_than_the_pool_is_refused_before_anything_is_loaded(
    checkpoints: list[Path], measures: Measures
) -> None:
    plan = AttackPlan((describe(checkpoints[0]),), (BatchNoise(64),), size=SIZE)
    with pytest.raises(InputError, match="a batch of 64 needs 63 companions"):
        StyleAttack(plan, measures, pool(size=SIZE)[1])


def test_losses_are_the_training_objective_and_its_terms(
    checkpoints: list[Path], measures: Measures, image: Tensor
) -> None:
    rows, outputs = run(checkpoints[:4], measures, image, BatchNoise(2))
    for output in outputs:
        terms = measures.loss(output.picture, image[None])
        wanted = {
            "content_loss": terms.content.item(),
            "style_loss": terms.style.item(),
            "loss": (2 * terms.content + 5 * terms.style).item(),
        }
        noise = output.severity.noise if output.severity else CLEAN
        key = {
            "norm": output.norm, "noise": noise, "seed": output.training_seed,
            "draw": output.draw if output.severity else "",
        }  # fmt: skip
        for metric, expected in wanted.items():
            assert value(rows, **key, metric=metric) == pytest.approx(expected, rel=1e-4)


def test_lpips_is_to_the_clean_in_picture_of_the_training_seed(
    checkpoints: list[Path], measures: Measures, image: Tensor
) -> None:
    rows, outputs = run(checkpoints[:4], measures, image, RandomNoise(0.5))
    clean = {o.training_seed: o.picture for o in outputs if o.norm == "in" and not o.severity}
    assert measures.lpips is not None
    for output in outputs:
        if output.draw:
            continue
        expected = measures.lpips(output.picture, clean[output.training_seed]).item()
        noise, draw = (output.severity.noise, 0) if output.severity else (CLEAN, "")
        key = {"norm": output.norm, "noise": noise, "seed": output.training_seed, "draw": draw}
        found = value(rows, **key, metric="lpips_to_in")
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-9)
        assert (found < 1e-6) == (output.norm == "in" and output.severity is None)
    ceiling = measures.lpips(clean[1], clean[0]).item()
    found = value(rows, norm=OTHER_SEED, seed=0, metric="lpips_to_in")
    assert found == pytest.approx(ceiling, rel=1e-4)


def test_without_every_metric_those_of_the_tables_are_measured(
    checkpoints: list[Path], measures: Measures, image: Tensor
) -> None:
    few = replace(measures, every=False)
    rows, _ = run(checkpoints[:4], few, image, ConstantNoise(0.8, 0.5))
    assert {row.metric for row in rows} == set(SHARED)
    assert OTHER_SEED not in {row.norm for row in rows}
    without, _ = run(checkpoints[:4], replace(few, lpips=None), image, ConstantNoise(0.8, 0.5))
    assert {row.metric for row in without} == set(SHARED) - {"lpips_to_in"}
    assert without == [row for row in rows if row.metric != "lpips_to_in"]


def test_controls_are_run_where_the_plan_says(
    checkpoints: list[Path], measures: Measures, image: Tensor
) -> None:
    severities = BatchNoise(1), BatchNoise(2)
    rows, _ = run(checkpoints, measures, image, *severities, controls_for=("bn",))
    assert {row.norm for row in rows if row.severity == "1"} == {"bn"}
    assert {row.norm for row in rows if row.severity == "2"} == set(NORMS)


def test_in_keeps_its_clean_picture_in_batches_after_other_noise(
    checkpoints: list[Path], measures: Measures, image: Tensor
) -> None:
    _, outputs = run(checkpoints[:1], measures, image, ConstantNoise(0.8, 0.5), BatchNoise(2))
    clean, noisy, batch = (output.picture for output in outputs)
    assert torch.equal(clean, batch)
    assert not torch.equal(clean, noisy)
