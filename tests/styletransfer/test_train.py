"""styletransfer.train: equal recipes give equal weights, and a step does what it should."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tiny_training import photographs, quick_loss, same, tiny_recipe, trained
from torch import Tensor, nn

import styletransfer.train
from asr_core.errors import InputError
from styletransfer.network import NORMS
from styletransfer.train import StepNoise, StyleStep, evaluate, new_network, train_style

ALL_NORMS = NORMS.names()


@pytest.fixture
def fed(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The contents that training draws, in order."""
    batches: list[Tensor] = []
    draw = styletransfer.train.draw_crops

    def draw_and_keep(*args: object, **options: object) -> Tensor:
        batches.append(draw(*args, **options))  # type: ignore[arg-type]
        return batches[-1]

    monkeypatch.setattr(styletransfer.train, "draw_crops", draw_and_keep)
    return batches


# --- equal runs -----------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ALL_NORMS)
def test_equal_recipes_give_equal_weights(norm: str) -> None:
    recipe = tiny_recipe(norm)
    first = trained(recipe)
    assert same(first, trained(recipe))
    assert not same(first, new_network(recipe)), "training changes weights"
    assert not same(first, trained(tiny_recipe(norm, seed=1)))


def test_the_global_random_state_is_neither_read_nor_moved() -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = trained(tiny_recipe(steps=1))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert same(first, trained(tiny_recipe(steps=1)))


@pytest.mark.parametrize("norm", ALL_NORMS[1:])
def test_only_the_norm_differs_between_variants(norm: str, fed: list[Tensor]) -> None:
    trained(tiny_recipe("in"))
    instance = fed.copy()
    fed.clear()
    trained(tiny_recipe(norm))
    assert len(fed) == len(instance) == 3
    assert all(torch.equal(a, b) for a, b in zip(fed, instance, strict=True))
    assert not torch.equal(fed[0], fed[1])


def test_coarse_crops_come_first(fed: list[Tensor]) -> None:
    trained(tiny_recipe(steps=4, size=68, coarse_share=0.5, batch_size=3))
    assert [tuple(batch.shape) for batch in fed] == [(3, 3, 64, 64)] * 2 + [(3, 3, 68, 68)] * 2


# --- what a step does -----------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["in", "bn+asr"])
def test_the_loss_falls(norm: str) -> None:
    """On the same batch before and after: the crops of single steps differ too much."""
    recipe = tiny_recipe(norm, steps=15, lr=1e-2)
    loss, contents = quick_loss(), torch.stack(photographs())[..., :80, :80]

    def total(network: nn.Module) -> float:
        terms = loss(network.train()(contents), contents)
        return (terms.content + recipe.style_weight * terms.style).mean().item()

    assert total(trained(recipe)) < 0.9 * total(new_network(recipe))


def test_steps_are_reported_with_the_losses_of_the_recipe() -> None:
    recipe = tiny_recipe(batch_size=3, content_weight=2.0, style_weight=0.5, tv_weight=0.0)
    steps: list[StyleStep] = []
    trained(recipe, on_step=steps.append)
    assert [step.step for step in steps] == [0, 1, 2]
    assert {step.images for step in steps} == {3}
    for step in steps:
        assert step.loss == pytest.approx(2 * step.content + 0.5 * step.style, rel=1e-5)


def test_the_first_step_is_adams(fed: list[Tensor]) -> None:
    """Oracle: the first step of torch's own Adam on the clipped gradient of the weighted loss."""
    recipe = tiny_recipe("in", steps=1, warmup=4, lr=1e-2, clip=1e-3, style_weight=3, tv_weight=0.1)
    found = trained(recipe)
    # In the same layout: gradients that cancel out are rounding errors, and Adam takes their sign.
    network, loss = (
        module.to(memory_format=torch.channels_last)
        for module in (new_network(recipe).train(), quick_loss())
    )
    terms = loss(network(fed[0]), fed[0])
    (terms.content + 3 * terms.style + 0.1 * terms.total_variation).mean().backward()
    norm = torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None]).norm()
    assert norm > 1e-3, "clipping takes part"
    for (name, parameter), start in zip(
        found.named_parameters(), network.parameters(), strict=True
    ):
        assert start.grad is not None
        clipped = start.grad * (1e-3 / (norm + 1e-6))
        step = 1e-2 / 4 * clipped / (clipped.abs() + 1e-8)
        assert torch.allclose(parameter, start - step, atol=1e-6), name


def test_bfloat16_rounds_the_forward_and_no_more() -> None:
    """The same first steps, but for rounding; weights, states and what is saved are float32."""
    exact, rounded = (trained(tiny_recipe("bn+asr", precision=p)) for p in ("float32", "bfloat16"))
    for (name, one), other in zip(
        exact.state_dict().items(), rounded.state_dict().values(), strict=True
    ):
        assert one.dtype == other.dtype, name
        if "running" in name:
            assert torch.allclose(one, other, rtol=0.05, atol=0.02), name
    assert not torch.equal(exact.deconv3.conv2d.weight, rounded.deconv3.conv2d.weight)


def test_the_network_comes_back_in_eval_mode_with_statistics_of_the_run() -> None:
    network = trained(tiny_recipe("bn"))
    assert not network.training
    assert network.get_buffer("in1.num_batches_tracked").item() == 3
    assert network.get_buffer("in1.running_mean").any()


def test_gates_learn_and_the_control_does_not() -> None:
    for norm, changes in (("bn+asr", True), ("bn+frozen", False), ("bn+const", False)):
        recipe = tiny_recipe(norm)
        start, end = new_network(recipe).state_dict(), trained(recipe).state_dict()
        gates = [name for name in end if ".asr." in name]
        assert gates
        assert any(not torch.equal(start[name], end[name]) for name in gates) == changes


# --- noise ----------------------------------------------------------------------------------------


@pytest.fixture
def entered() -> list[tuple[str, int]]:
    return []


@pytest.fixture
def noise(entered: list[tuple[str, int]]) -> StepNoise:
    """Doubles the first layer's output while its context is active."""

    @contextlib.contextmanager
    def at(network: nn.Module, step: int) -> Iterator[None]:
        entered.append(("in", step))
        handle = network.get_submodule("conv1").register_forward_hook(lambda m, a, out: 2 * out)
        try:
            yield
        finally:
            handle.remove()
            entered.append(("out", step))

    return at


def test_each_step_runs_in_its_own_noise(noise: StepNoise, entered: list[tuple[str, int]]) -> None:
    noisy = trained(tiny_recipe("bn"), noise=noise)
    assert entered == [(way, step) for step in range(3) for way in ("in", "out")]
    assert not same(noisy, trained(tiny_recipe("bn")))
    assert not noisy.get_submodule("conv1")._forward_hooks


# --- what stops a run -----------------------------------------------------------------------------


def test_no_photographs_is_an_error() -> None:
    with pytest.raises(InputError, match="no photographs to train on"):
        train_style(tiny_recipe(), quick_loss(), [])


def test_a_loss_that_is_not_finite_stops_the_run_at_its_step(tmp_path: Path) -> None:
    @contextlib.contextmanager
    def poison(network: nn.Module, step: int) -> Iterator[None]:
        factor = float("nan") if step == 2 else 1.0
        layer = network.get_submodule("deconv3")
        handle = layer.register_forward_hook(lambda m, a, out: factor * out)
        yield
        handle.remove()

    resume = tmp_path / "resume.pt"
    with pytest.raises(InputError, match=r"at step 2 the loss is nan .*lower the learning rate"):
        trained(tiny_recipe(steps=4), noise=poison, resume=resume, save_every=1)
    assert all(
        tensor.isfinite().all()
        for tensor in torch.load(resume, weights_only=True)["network"].values()
    ), "what is kept is from before"


def test_a_gradient_that_is_not_finite_stops_the_run_too(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[StyleStep] = []
    monkeypatch.setattr(
        nn.utils, "clip_grad_norm_", lambda parameters, limit: torch.tensor(float("inf"))
    )
    with pytest.raises(InputError, match=r"at step 0 the loss is .* and its gradient inf"):
        trained(tiny_recipe(), on_step=steps.append)
    assert steps == []


# --- evaluation -----------------------------------------------------------------------------------


def test_evaluation_is_the_mean_over_images() -> None:
    network, loss = new_network(tiny_recipe("in")).eval(), quick_loss()
    images = [photographs()[0], photographs()[1][:, :64, :64]]
    terms = [loss(network(image[None]), image[None]) for image in images]
    found = evaluate(network, loss, iter(images))
    assert found["content"] == pytest.approx(sum(t.content.item() for t in terms) / 2)
    assert found["style"] == pytest.approx(sum(t.style.item() for t in terms) / 2)
    assert found.keys() == {"content", "style"}


def test_evaluation_without_images_is_an_error() -> None:
    with pytest.raises(InputError, match="no images to evaluate on"):
        evaluate(new_network(tiny_recipe()), quick_loss(), [])
