"""styletransfer.losses.perceptual: the formulas against NumPy in float64, and what 0 means."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from asr_core.errors import InputError
from styletransfer.losses.embedded import EmbeddedLossNetwork
from styletransfer.losses.features import Features
from styletransfer.losses.perceptual import PerceptualLoss, statistics, total_variation

EPS = 1e-8


class TwoFeatures(nn.Module):
    """A small fixed loss network: two content features, two style features of other sizes."""

    name = "two features"

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.register_buffer("kernel", torch.randn(5, 3, 3, 3, generator=generator))
        self.calls: list[bool] = []

    def forward(self, images: Tensor, *, style: bool = True) -> Features:
        self.calls.append(style)
        first = F.relu(F.conv2d(images, self.kernel))
        second = F.avg_pool2d(first, 2)[:, :4] - 0.3
        return Features([(0.75, second), (0.25, 1 - images)], [first, second] if style else [])


class Constant(nn.Module):
    """Gives the features that it is told to."""

    name = "constant"

    def __init__(self, features: list[Tensor]) -> None:
        super().__init__()
        self.features = features

    def forward(self, images: Tensor, *, style: bool = True) -> Features:
        return Features([(1.0, images)], [f.expand(len(images), -1, -1, -1) for f in self.features])


def pictures(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def style() -> Tensor:
    return pictures(3, 14, 18, seed=9)


@pytest.fixture
def loss(style: Tensor) -> PerceptualLoss:
    return PerceptualLoss(TwoFeatures(), style)


@pytest.fixture(scope="module")
def embedded() -> PerceptualLoss:
    return PerceptualLoss(EmbeddedLossNetwork(), pictures(3, 64, 64, seed=9))


# --- the formulas ---------------------------------------------------------------------------------


def features64(image: Tensor) -> tuple[list[tuple[float, np.ndarray]], list[np.ndarray]]:
    found = TwoFeatures().double()(image[None].double())
    return (
        [(weight, feature[0].numpy()) for weight, feature in found.content],
        [feature[0].numpy() for feature in found.style],
    )


def relative64(found: np.ndarray, target: np.ndarray) -> float:
    return float(((found - target) ** 2).sum() / ((target**2).sum() + EPS))


def test_each_term_is_the_formula_in_numpy(loss: PerceptualLoss, style: Tensor) -> None:
    outputs, contents = pictures(3, 3, 14, 18, seed=1), pictures(3, 3, 14, 18, seed=2)
    terms = loss(outputs, contents)
    style_content, wanted_style = features64(style)
    for index in range(3):
        found_content, found_style = features64(outputs[index])
        wanted_content, _ = features64(contents[index])
        content = sum(
            weight * ((feature - target) ** 2).mean() / (like**2).mean()
            for (weight, feature), (_, target), (_, like) in zip(
                found_content, wanted_content, style_content, strict=True
            )
        )
        layers = []
        for feature, target in zip(found_style, wanted_style, strict=True):
            f, t = feature.reshape(len(feature), -1), target.reshape(len(target), -1)
            mean = relative64(f.mean(1), t.mean(1))
            layers.append((mean + relative64(np.cov(f, bias=True), np.cov(t, bias=True))) / 2)
        y = outputs[index].double().numpy()
        variation = np.abs(np.diff(y, axis=1)).mean() + np.abs(np.diff(y, axis=2)).mean()
        assert terms.content[index].item() == pytest.approx(content, rel=1e-5)
        assert terms.style[index].item() == pytest.approx(np.mean(layers), rel=1e-5)
        assert terms.total_variation[index].item() == pytest.approx(variation, rel=1e-5)
    assert (terms.content > 0.01).all()
    assert (terms.style > 0.001).all()


@given(st.integers(1, 5), st.integers(1, 6), st.integers(1, 6), st.integers(0, 999))
def test_statistics_are_numpys(channels: int, height: int, width: int, seed: int) -> None:
    features = torch.randn(
        2, channels, height, width, generator=torch.Generator().manual_seed(seed)
    )
    mean, covariance = statistics(features)
    assert mean.shape == (2, channels, 1)
    assert covariance.shape == (2, channels, channels)
    for index in range(2):
        flat = features[index].double().numpy().reshape(channels, -1)
        assert np.allclose(mean[index, :, 0], flat.mean(1), atol=1e-5)
        assert np.allclose(covariance[index], np.cov(flat, bias=True), atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_statistics_are_precise_under_autocast(dtype: torch.dtype) -> None:
    features = pictures(1, 4, 9, 9) + 10  # large means: rounded covariances would be noise
    wanted = statistics(features.to(dtype).double())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = statistics(features.to(dtype))
        rounded = (features[0].flatten(1) @ features[0].flatten(1).T).dtype
    assert rounded == torch.bfloat16, "autocast does not reach the product"
    for precise, value in zip(wanted, found, strict=True):
        assert value.dtype == torch.float32
        assert torch.allclose(value.double(), precise, rtol=1e-4, atol=1e-5)


def test_the_loss_of_half_precision_features_is_taken_in_float32() -> None:
    half = PerceptualLoss(Constant([pictures(1, 4, 9, 9).half()]), pictures(3, 9, 9))
    terms = half(pictures(2, 3, 9, 9).half(), pictures(2, 3, 9, 9, seed=1).half())
    assert terms.content.dtype == terms.style.dtype == torch.float32
    large = PerceptualLoss(Constant([200 * pictures(1, 4, 9, 9).half()]), pictures(3, 9, 9))
    assert large(pictures(1, 3, 9, 9), pictures(1, 3, 9, 9)).style.isfinite().all()


def test_mean_and_covariance_say_what_the_gram_matrix_says() -> None:
    """Johnson's eq. 3, up to its factor: G = Σ + μμᵀ."""
    features = pictures(1, 6, 9, 7)
    mean, covariance = statistics(features)
    flat = features.flatten(2)
    gram = flat @ flat.transpose(1, 2) / flat.shape[2]
    assert torch.allclose(covariance + mean @ mean.transpose(1, 2), gram, atol=1e-6)


def test_total_variation_by_hand() -> None:
    stripes = torch.tensor([0.0, 1.0, 0.0, 1.0]).expand(3, 4, 4)
    ramp = torch.linspace(0, 1, 5)[:, None].expand(3, 5, 4)
    assert total_variation(stripes[None]).item() == pytest.approx(1.0)
    assert total_variation(ramp[None]).item() == pytest.approx(0.25)
    assert total_variation(torch.full((1, 3, 4, 4), 0.7)).item() == 0.0


# --- what 0 means, and what does not matter -------------------------------------------------------


def test_a_picture_is_its_own_content(embedded: PerceptualLoss) -> None:
    x = pictures(2, 3, 64, 64)
    assert embedded(x, x).content.tolist() == [0, 0]
    assert (embedded(x, x.flip(-1)).content > 0.1).all()


def test_the_style_image_has_its_own_style(embedded: PerceptualLoss) -> None:
    style = pictures(3, 64, 64, seed=9)
    noise = pictures(2, 3, 64, 64)
    assert embedded(style[None], noise[:1]).style.item() < 1e-9
    assert embedded(style[None].pow(3), noise[:1]).style.item() > 0.05


def test_style_does_not_depend_on_where_things_are() -> None:
    """Of features alone: the same columns in another order have the same statistics."""
    feature = pictures(1, 4, 6, 6)
    loss = PerceptualLoss(Constant([feature]), pictures(3, 8, 8))
    loss.network = Constant([feature.flip(2).transpose(2, 3)])
    assert loss(pictures(1, 3, 8, 8), pictures(1, 3, 8, 8)).style.item() < 1e-9
    loss.network = Constant([feature.roll(1, 1)])
    assert loss(pictures(1, 3, 8, 8), pictures(1, 3, 8, 8)).style.item() > 1e-3


@pytest.mark.parametrize("scale", [0.1, 10.0, 1000.0])
def test_the_scale_of_the_features_does_not_matter(scale: float) -> None:
    outputs, contents = pictures(1, 3, 8, 8, seed=1), pictures(1, 3, 8, 8, seed=2)
    found, wanted = pictures(1, 4, 6, 6, seed=3), pictures(1, 4, 6, 6, seed=4)
    values = []
    for factor in (1.0, scale):
        loss = PerceptualLoss(Constant([factor * wanted]), pictures(3, 8, 8))
        loss.network = Constant([factor * found])
        values.append(loss(outputs, contents).style.item())
    assert values[1] == pytest.approx(values[0], rel=1e-2)


def test_an_image_is_judged_alike_in_any_batch(embedded: PerceptualLoss) -> None:
    outputs, contents = pictures(3, 3, 64, 64, seed=1), pictures(3, 3, 64, 64, seed=2)
    together = torch.stack(embedded(outputs, contents))
    assert together.shape == (3, 3)
    alone = [
        torch.stack(embedded(y[None], x[None])) for y, x in zip(outputs, contents, strict=True)
    ]
    assert torch.allclose(together, torch.cat(alone, dim=1), rtol=1e-4)
    assert together.std(dim=1).min() > 0, "the images differ"


def test_one_content_serves_all_outputs(loss: PerceptualLoss) -> None:
    outputs, content = pictures(3, 3, 14, 18, seed=1), pictures(1, 3, 14, 18, seed=2)
    once, repeated = loss(outputs, content), loss(outputs, content.expand(3, -1, -1, -1))
    assert all(torch.allclose(a, b, rtol=1e-6) for a, b in zip(once, repeated, strict=True))


def test_outputs_may_have_another_size_than_the_style(loss: PerceptualLoss) -> None:
    assert loss(pictures(1, 3, 30, 22), pictures(1, 3, 30, 22)).style.shape == (1,)


# --- gradients ------------------------------------------------------------------------------------


@pytest.mark.parametrize("term", ["content", "style", "total_variation"])
def test_each_term_has_a_gradient_to_the_output(embedded: PerceptualLoss, term: str) -> None:
    output = pictures(1, 3, 64, 64).requires_grad_()
    getattr(embedded(output, pictures(1, 3, 64, 64, seed=5)), term).sum().backward()
    assert output.grad is not None
    assert output.grad.isfinite().all()
    assert output.grad.abs().max() > 0


def test_gradients_are_those_of_finite_differences(style: Tensor) -> None:
    loss = PerceptualLoss(TwoFeatures(), style).double()
    content = pictures(1, 3, 6, 7, seed=2).double()
    output = pictures(1, 3, 6, 7, seed=1).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda y: torch.stack(loss(y, content)).sum(0), output)


def test_the_content_is_a_target_and_gets_no_gradient(loss: PerceptualLoss) -> None:
    content = pictures(1, 3, 14, 18).requires_grad_()
    output = pictures(1, 3, 14, 18, seed=1).requires_grad_()
    loss(output, content).content.sum().backward()
    assert content.grad is None
    assert output.grad is not None


def test_the_contents_style_is_not_computed(loss: PerceptualLoss) -> None:
    network = loss.network
    assert isinstance(network, TwoFeatures)
    network.calls.clear()
    loss(pictures(1, 3, 14, 18), pictures(1, 3, 14, 18))
    assert network.calls == [False, True]


def test_there_is_nothing_to_train_or_to_save(embedded: PerceptualLoss) -> None:
    assert not [p for p in embedded.parameters() if p.requires_grad]
    assert not [name for name in embedded.state_dict() if name.startswith(("mean", "covariance"))]


# --- bad arguments --------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 3, 16, 16), (16, 16), (1, 16, 16)])
def test_a_style_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"style must be \(3, H, W\), got"):
        PerceptualLoss(TwoFeatures(), pictures(*shape))


@pytest.mark.parametrize("shape", [(2, 3, 14, 18), (3, 3, 14, 17), (1, 3, 7, 9)])
def test_contents_that_do_not_fit_are_refused(loss: PerceptualLoss, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="differ in shape"):
        loss(pictures(3, 3, 14, 18), pictures(*shape))
