"""robust.data_card.simple: first-order numbers by hand, QDA and logistic against scipy."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from asr_core.errors import InputError
from robust.data_card.simple import QDA, first_order, logistic


def test_first_order_numbers_by_hand() -> None:
    """A ramp to the right: its gradient is one step, its deviation that of the ramp."""
    ramp = torch.arange(4).float().div(10).expand(1, 3, 4, 4).clone()
    ramp[:, 1] = 0.5
    (found,) = first_order(ramp)
    step = 2 / 3 * 0.1  # two of three channels rise
    assert found == pytest.approx(
        [0.15, 0.5, 0.15, np.std([0, 0.1, 0.2, 0.3]), 0, np.std([0, 0.1, 0.2, 0.3]), step]
    )


def test_first_order_numbers_forget_where_pixels_are() -> None:
    """All but the gradient."""
    images = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    mixed = images.flatten(2)[..., torch.randperm(64)].view_as(images)
    assert np.allclose(first_order(images)[:, :6], first_order(mixed)[:, :6])
    assert np.abs(first_order(images)[:, 6] - first_order(mixed)[:, 6]).min() > 1e-4


def blobs(seed: int, n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    roots = np.random.default_rng(9).normal(size=(3, 4, 4))
    points = np.einsum("nij,nj->ni", roots[labels], random.normal(size=(n, 4)))
    return points + labels[:, None] * 0.7, labels


def test_qda_is_bayes_rule_of_scipys_normal_densities() -> None:
    points, labels = blobs(0)
    labels = np.where(np.arange(len(labels)) % 7 == 0, 0, labels)  # unequal priors
    asked, truth = blobs(1)
    model = QDA(points, labels, 3)
    ridge = 1e-6 * np.diag(points.var(0) + 1e-12)
    expected = np.stack(
        [
            multivariate_normal(
                points[labels == k].mean(0), np.cov(points[labels == k].T) + ridge
            ).logpdf(asked)
            + np.log((labels == k).mean())
            for k in range(3)
        ],
        1,
    )
    constant = 0.5 * 4 * np.log(2 * np.pi)
    assert np.allclose(model.scores(asked) - constant, expected, atol=1e-8)
    assert (model.predict(asked) == expected.argmax(1)).all()
    assert (model.predict(asked) == truth).mean() > 0.7, "there is something to learn"


def test_qda_of_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.discriminant_analysis")
    points, labels = blobs(0)
    asked, _ = blobs(1)
    theirs = sklearn.QuadraticDiscriminantAnalysis().fit(points, labels).predict(asked)
    assert (QDA(points, labels, 3).predict(asked) == theirs).mean() > 0.99


def test_qda_takes_grey_sets_and_classes_of_one() -> None:
    """Equal channels make a covariance that has no inverse."""
    images = torch.rand(60, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    images = images.expand(-1, 3, -1, -1).clone()
    images[::2] *= 0.5
    features = first_order(images)
    labels = np.arange(60) % 2
    labels[-1] = 3
    model = QDA(features, labels, 5)
    assert (model.predict(features) == labels)[:-1].mean() == 1
    assert set(model.predict(features)) == {0, 1}, "classes 2, 3 and 4 cannot be learned"
    with pytest.raises(InputError, match="no class has two"):
        QDA(features[:2], np.array([0, 1]), 2)


def test_logistic_is_the_minimum_that_scipy_finds() -> None:
    random = np.random.default_rng(3)
    x = random.normal(size=(90, 4))
    labels = (x[:, 0] + 0.5 * random.normal(size=90) > 0).astype(int) + (x[:, 1] > 1)
    penalty = 0.05

    def loss(flat: np.ndarray) -> float:
        w, b = flat[:12].reshape(4, 3), flat[12:]
        logits = x @ w + b
        likelihood = logits[np.arange(90), labels] - logsumexp(logits, 1)
        return float(-likelihood.mean() + penalty / 2 * (w**2).sum())

    best = minimize(loss, np.zeros(15)).fun
    weights, biases = logistic(torch.from_numpy(x).float(), torch.from_numpy(labels), 3, penalty)
    found = loss(np.concatenate([weights.numpy().ravel(), biases.numpy()]))
    assert found == pytest.approx(best, abs=1e-4)
    assert found < 0.8 * loss(np.zeros(15))
