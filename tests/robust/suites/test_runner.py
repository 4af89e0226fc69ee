"""robust.suites.runner: how often the model runs, on what, and how it is left."""

import contextlib
from collections.abc import Iterator, Sequence

import pytest
import torch
from tiny_classifier import SIDE, net, split
from torch import Tensor, nn

from asr_core.errors import InputError
from asr_core.training.evaluate import evaluate
from robust.suites import CLEAN, Condition, Samples, Suite, SuiteResult, run_suite


class Counted(nn.Module):
    """A small classifier that counts the images it sees."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = net("bn", 6)
        optimizer = torch.optim.SGD(self.net.parameters(), lr=0.1)
        data = split(60, 0)
        for _ in range(15):  # so that answers differ
            logits = self.net(data.test_batch(torch.arange(60)))
            nn.functional.cross_entropy(logits, data.labels).backward()
            optimizer.step()
            optimizer.zero_grad()
        self.images = 0

    def forward(self, images: Tensor) -> Tensor:
        self.images += len(images)
        logits: Tensor = self.net(images)
        return logits


class Darker(Suite):
    """Images times a factor; two factors, three repeats that move each image by its own draw."""

    name = "darker"

    def __init__(self) -> None:
        self.open: list[Condition] = []

    def conditions(self) -> Sequence[Condition]:
        return [Condition("dark", factor, repeat) for factor in (0.5, 0.1) for repeat in range(3)]

    def apply(self, condition: Condition, model: nn.Module, samples: Samples) -> Tensor:
        assert not model.training
        assert self.open == [condition]
        assert isinstance(condition.severity, float)
        own = ((samples.indices * 7 + condition.repeat) % 5)[:, None, None, None] / 50
        logits: Tensor = model(samples.images * condition.severity + own)
        return logits

    @contextlib.contextmanager
    def context(self, condition: Condition, model: nn.Module) -> Iterator[None]:
        self.open.append(condition)
        yield
        self.open.pop()


def run(model: nn.Module, suite: Suite, batch_size: int = 4) -> SuiteResult:
    return run_suite(model, split(17, 2), suite, batch_size=batch_size)


def test_the_clean_pass_is_made_once_and_each_condition_once() -> None:
    model = Counted()
    result = run(model, Darker())
    assert model.images == 17 * (2 * 3 + 1)
    assert [outcome.condition for outcome in result.outcomes] == [CLEAN, *Darker().conditions()]
    assert result.cells() == [CLEAN, Condition("dark", 0.5), Condition("dark", 0.1)]


def test_clean_is_what_evaluate_says_to_the_last_bit() -> None:
    model, data = Counted(), split(17, 2)
    found = evaluate(model, data, batch_size=4)
    clean = run(model, Darker()).clean
    assert (clean.top1, clean.top5, clean.loss) == (found.top1, found.top5, found.loss)
    assert torch.equal(clean.correct, found.correct)


def test_each_sample_is_judged_by_hand() -> None:
    model, data = Counted().eval(), split(17, 2)
    images, places = data.test_batch(torch.arange(17)), torch.arange(17)
    result = run(model, Darker())
    for outcome in result.outcomes[1:]:
        condition = outcome.condition
        own = ((places * 7 + condition.repeat) % 5)[:, None, None, None] / 50
        with torch.no_grad():
            logits = model(images * condition.severity + own)
        assert torch.equal(outcome.correct, logits.argmax(1) == data.labels)
        assert outcome.top1 == pytest.approx(outcome.correct.double().mean().item())
        loss = nn.functional.cross_entropy(logits, data.labels).item()
        assert outcome.loss == pytest.approx(loss, rel=1e-5)
    shares = {outcome.top1 for outcome in result.outcomes}
    assert len(shares) > 1, "the conditions make no difference"


@pytest.mark.parametrize("batch_size", [1, 5, 100])
def test_batches_make_no_difference(batch_size: int) -> None:
    model = Counted()
    first, second = run(model, Darker()), run(model, Darker(), batch_size)
    for one, other in zip(first.outcomes, second.outcomes, strict=True):
        assert torch.equal(one.correct, other.correct)


def test_the_mode_is_kept_and_no_gradient_is_taken() -> None:
    model = Counted().train()
    model.net[1].eval()
    run(model, Darker())
    assert model.training
    assert not model.net[1].training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_suite_with_gradients_gets_them() -> None:
    class Slope(Darker):
        @torch.enable_grad()
        def apply(self, condition: Condition, model: nn.Module, samples: Samples) -> Tensor:
            images = samples.images.requires_grad_()
            (slope,) = torch.autograd.grad(model(images).sum(), images)
            assert slope.abs().sum() > 0
            logits: Tensor = model(images)
            return logits

    assert run(Counted(), Slope()).clean.top1 == run(Counted(), Slope()).outcomes[1].top1


def test_an_exception_leaves_the_model_as_it_was() -> None:
    class Breaks(Darker):
        def apply(self, condition: Condition, model: nn.Module, samples: Samples) -> Tensor:
            raise KeyboardInterrupt

    model = Counted().train()
    with pytest.raises(KeyboardInterrupt):
        run(model, Breaks())
    assert all(module.training for module in model.modules())


def test_samples_that_a_suite_leaves_out_are_found() -> None:
    class Forgets(Darker):
        def batches(self, condition: Condition, count: int, batch_size: int) -> list[Tensor]:
            return [torch.arange(count - 1)]

    with pytest.raises(RuntimeError, match="'darker' leave samples out"):
        run(Counted(), Forgets())


def test_logits_that_are_no_numbers_are_wrong_but_no_error() -> None:
    class Breaks(Darker):
        def apply(self, condition: Condition, model: nn.Module, samples: Samples) -> Tensor:
            return torch.full((len(samples.images), 6), torch.nan)

    class Infinite(Breaks):
        def apply(self, condition: Condition, model: nn.Module, samples: Samples) -> Tensor:
            return torch.full((len(samples.images), 6), torch.inf)

    for suite in (Breaks(), Infinite()):
        assert run(Counted(), suite).outcomes[1].top1 == 0
    result = run(Counted(), Breaks())
    assert result.outcomes[1].loss != result.outcomes[1].loss
    assert result.as_dict()["conditions"][1]["loss"] is None


def test_progress_is_told_by_the_batch() -> None:
    seen: list[tuple[str, int]] = []
    run_suite(
        Counted(),
        split(17, 2),
        Darker(),
        batch_size=10,
        on_batch=lambda condition, count: seen.append((condition.kind, count)),
    )
    assert seen == [("clean", 17), *[("dark", 10), ("dark", 7)] * 6]


def test_bad_input() -> None:
    with pytest.raises(InputError, match="batch size is 0"):
        run(Counted(), Darker(), 0)
    with pytest.raises(InputError, match=r"label 3 is none of the model's 3 classes"):
        run(net("bn", 3), Darker())
    assert SIDE == 8
