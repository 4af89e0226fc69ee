"""asr_core.training.learner: a step against the same step in plain PyTorch."""

import contextlib
import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_classifier import CLASSES, SIDE, accelerator_for, register, tiny_config, tiny_data
from torch import Tensor, nn

from asr_core import fuse_asr
from asr_core.errors import InputError
from asr_core.training import DataFacts, TrainConfig
from asr_core.training.folder import LastState
from asr_core.training.learner import Learner, new_optimizer

FACTS = DataFacts.of(tiny_data())


@pytest.fixture(autouse=True)
def backbones(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch)


def batch(seed: int = 0, n: int = 8) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    images = torch.rand(n, 3, SIDE, SIDE, generator=random)
    return images, torch.randint(CLASSES, (n,), generator=random)


def learner(recipe: dict[str, Any] | None = None, **changes: Any) -> Learner:
    config: TrainConfig = tiny_config(recipe, **changes)
    return Learner(config, FACTS, accelerator_for(config, Path("unused")))


def close(first: nn.Module, second: nn.Module, **tolerance: float) -> bool:
    one, other = first.state_dict(), second.state_dict()
    assert one.keys() == other.keys()
    return all(torch.allclose(one[name], other[name], **tolerance) for name in one)


SETTINGS = [
    {"optimizer": "sgd"},
    {"optimizer": "adamw", "weight_decay": 0.1},
    {"label_smoothing": 0.2, "clip": 0.05},
]


@pytest.mark.parametrize("recipe", SETTINGS, ids=lambda recipe: "-".join(recipe))
@pytest.mark.parametrize("mode", ["plain", "asr"])
def test_steps_are_those_of_a_plain_loop(recipe: dict[str, Any], mode: str) -> None:
    ours = learner(recipe, mode=mode)
    model = copy.deepcopy(ours.model)
    start = copy.deepcopy(ours.model)
    clip, smoothing = recipe.get("clip"), recipe.get("label_smoothing", 0.0)
    if recipe.get("optimizer") == "adamw":
        optimizer: Any = torch.optim.AdamW(
            model.parameters(), lr=1, betas=(0.9, 0.999), weight_decay=0.1
        )
    else:
        optimizer = torch.optim.SGD(model.parameters(), lr=1, momentum=0.9, weight_decay=1e-3)
    criterion = nn.CrossEntropyLoss(label_smoothing=smoothing)
    for step, lr in enumerate((0.1, 0.05, 0.2)):
        images, labels = batch(step)
        figures = ours.step(images, labels, lr=lr, at=(0, step))
        optimizer.param_groups[0]["lr"] = lr
        logits = model.train()(images)
        loss = criterion(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), clip or float("inf"))
        assert clip is None or norm > clip, "clipping has something to do"
        optimizer.step()
        assert figures.loss == pytest.approx(8 * loss.item(), rel=1e-5)
        assert figures.top1 == (logits.argmax(1) == labels).sum()
        assert figures.top5 == (logits.argsort(1)[:, 1:] == labels[:, None]).sum()
        assert figures.flagged == 0
    assert close(ours.model, model, atol=1e-6)
    assert not close(ours.model, start, atol=1e-3)


def test_weight_decay_reaches_psi() -> None:
    ours = learner(mode="asr")
    groups = new_optimizer(ours._config.recipe, ours.model).param_groups
    held = {id(p) for group in groups for p in group["params"]}
    assert {id(p) for p in ours.model.parameters()} == held
    assert [group["weight_decay"] for group in groups] == [1e-3]


@pytest.mark.parametrize("parts", [2, 3, 8])
def test_an_accumulated_batch_gives_the_gradient_of_the_whole(parts: int) -> None:
    recipe = {"backbone": "tiny-gn", "label_smoothing": 0.1, "clip": 0.5}
    whole, split = learner(recipe), learner(recipe)
    figures = [whole.step(*batch(step), lr=0.1, at=(0, step)) for step in range(3)]
    split = learner(recipe, accumulate=parts)
    for step in range(3):
        assert split.step(*batch(step), lr=0.1, at=(0, step)) == pytest.approx(figures[step])
    assert close(whole.model, split.model, atol=1e-6)


def test_an_average_of_the_weights_follows_its_formula() -> None:
    ours = learner({"ema": 0.75})
    ours.step(*batch(0), lr=0.1, at=(0, 0))
    expected = {name: value.clone() for name, value in ours.model.state_dict().items()}
    for step in (1, 2):
        ours.step(*batch(step), lr=0.1, at=(0, step))
        for name, value in ours.model.state_dict().items():
            if value.is_floating_point():
                expected[name] = 0.75 * expected[name] + 0.25 * value
    averaged = ours.evaluated.state_dict()
    assert ours.evaluated is not ours.model
    for name, value in averaged.items():
        if value.is_floating_point():
            assert torch.allclose(value, expected[name], atol=1e-6), name
    assert not close(ours.evaluated, ours.model, atol=1e-3)
    usual = learner()
    assert usual.evaluated is usual.model


def test_the_average_can_be_fused_while_training_goes_on() -> None:
    ours = learner({"ema": 0.5})
    ours.step(*batch(0), lr=0.1, at=(0, 0))
    images = batch(1)[0]
    plain = fuse_asr(ours.evaluated, example=images)
    before = copy.deepcopy(plain)
    ours.step(*batch(2), lr=0.1, at=(0, 1))
    assert close(plain, before, atol=0)
    with torch.no_grad():
        assert not torch.allclose(plain.eval()(images), ours.evaluated.eval()(images))


def test_draws_inside_the_model_follow_seed_epoch_and_step() -> None:
    def after(at: tuple[int, int], seed: int = 0, burn: int = 0) -> Tensor:
        ours = learner({"backbone": "tiny-dropout"}, seed=seed, mode="plain")
        ours.model.load_state_dict(start)
        torch.rand(burn)
        state = torch.get_rng_state()
        ours.step(*batch(), lr=0.1, at=at)
        assert torch.equal(torch.get_rng_state(), state), "the global state is left as it was"
        weight: Tensor = ours.model.model.fc.weight.detach().clone()
        return weight

    start = learner({"backbone": "tiny-dropout"}, mode="plain").model.state_dict()
    first = after((0, 0))
    assert torch.equal(after((0, 0), burn=3), first)
    for at, seed in (((0, 1), 0), ((1, 0), 0), ((0, 0), 1)):
        assert not torch.equal(after(at, seed), first)


def test_noise_is_around_each_forward_and_nothing_else() -> None:
    ours = learner({"backbone": "tiny-gn"}, accumulate=2)
    inside, forwards = [], []

    @contextlib.contextmanager
    def noise() -> Iterator[None]:
        inside.append(True)
        yield
        inside.pop()

    def seen(model: nn.Module, args: Any, output: Tensor) -> None:
        forwards.append(len(inside))
        output.register_hook(lambda gradient: forwards.append(-len(inside)))

    ours.model.register_forward_hook(seen)
    ours.step(*batch(), lr=0.1, at=(0, 0), noise=noise)
    assert forwards == [1, 0, 1, 0]


def test_a_learner_goes_on_from_its_state(tmp_path: Path) -> None:
    recipe = {"backbone": "tiny-dropout", "ema": 0.9}
    whole = learner(recipe)
    for step in range(4):
        whole.step(*batch(step), lr=0.1, at=(0, step))
    first = learner(recipe)
    for step in range(2):
        first.step(*batch(step), lr=0.1, at=(0, step))
    torch.save(first.state(), tmp_path / "state.pt")
    second = learner(recipe, seed=0)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    second.load_state(LastState(identity={}, history={}, **state), "state.pt")
    for step in range(2, 4):
        second.step(*batch(step), lr=0.1, at=(0, step))
    assert close(whole.model, second.model, atol=0, rtol=0)
    assert close(whole.evaluated, second.evaluated, atol=0, rtol=0)


def test_bf16_trains_and_leaves_a_full_precision_model_without_traces() -> None:
    full = learner()
    full.step(*batch(), lr=0.1, at=(0, 0))
    half = learner(precision="bf16")
    half.step(*batch(), lr=0.1, at=(0, 0))
    assert {p.dtype for p in half.model.parameters()} == {torch.float32}
    assert not close(half.model, full.model, atol=0), "the forward was in lower precision"
    assert close(half.model, full.model, atol=0.02)
    # Accelerate patches what it prepares; a fused copy must not run the original's forward.
    assert "forward" not in vars(half.model)
    images = batch()[0]
    plain = fuse_asr(half.model, example=images)
    with torch.no_grad():
        plain.model.fc.bias += 1
        assert torch.allclose(plain.eval()(images), half.model.eval()(images) + 1, atol=1e-5)


def test_channels_last_changes_the_layout_alone() -> None:
    ours, usual = learner(channels_last=True), learner()
    assert ours.model.model.conv.weight.is_contiguous(memory_format=torch.channels_last)
    for step in range(2):
        for each in (ours, usual):
            each.step(*batch(step), lr=0.1, at=(0, step))
    assert close(ours.model, usual.model, atol=1e-5)


def test_weights_that_are_not_finite_are_seen() -> None:
    ours = learner()
    assert ours.finite()
    with torch.no_grad():
        ours.model.model.fc.bias[2] = float("nan")
    assert not ours.finite()


def test_a_batch_that_cannot_be_split_is_refused() -> None:
    with pytest.raises(InputError, match="a batch of 8 images cannot be split among 1 processes"):
        learner(accumulate=9)
