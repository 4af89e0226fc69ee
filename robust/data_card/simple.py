"""Classifiers too simple to see a shape: where they do well, a set does not need a network."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from asr_core.errors import InputError

Array = NDArray[np.float64]
RIDGE = 1e-6
"""Added to a class's covariance, times the features' variance: grey sets have equal channels."""
PENALTIES = (1e-1, 1e-2, 1e-3)
ITERATIONS = 60


def first_order(images: Tensor) -> Array:
    """Seven numbers an image: means and deviations of R, G and B, and the mean gradient.

    Args:
        images: (N, 3, H, W) in [0, 1], H and W at least 2.

    Returns:
        (N, 7). The gradient is that of the channels' mean, its length between neighbours.
    """
    x = images.double()
    grey = x.mean(1)
    down, across = grey.diff(dim=1)[:, :, :-1], grey.diff(dim=2)[:, :-1]
    gradient = torch.hypot(down, across).mean((1, 2))
    deviation = x.std((2, 3), correction=0)
    return torch.cat([x.mean((2, 3)), deviation, gradient[:, None]], 1).numpy()


class QDA:
    """Quadratic discriminant analysis: a normal distribution a class, the likeliest wins.

    Args:
        features: (N, D).
        labels: (N,), whole numbers from 0.
        classes: number of classes; one without two members is never chosen.

    Raises:
        InputError: no class has two members.
    """

    def __init__(self, features: Array, labels: NDArray[np.int64], classes: int) -> None:
        ridge = RIDGE * np.diag(features.var(0) + 1e-12)
        members = [features[labels == label] for label in range(classes)]
        self._known = [label for label, those in enumerate(members) if len(those) > 1]
        if not self._known:
            raise InputError("no class has two images: there is no variance to learn")
        self._means = [members[label].mean(0) for label in self._known]
        spread = [np.cov(members[label], rowvar=False) + ridge for label in self._known]
        self._roots = [np.linalg.cholesky(matrix) for matrix in spread]
        self._priors = [len(members[label]) / len(labels) for label in self._known]

    def scores(self, features: Array) -> Array:
        """Log density times prior of each class with two members, up to a constant: (N, K)."""
        found = []
        for mean, root, prior in zip(self._means, self._roots, self._priors, strict=True):
            white = np.linalg.solve(root, (features - mean).T)
            log_root = np.log(np.diag(root)).sum()
            found.append(np.log(prior) - log_root - 0.5 * (white**2).sum(0))
        return np.stack(found, 1)

    def predict(self, features: Array) -> NDArray[np.int64]:
        """The likeliest class of each row: (N,)."""
        return np.array(self._known)[self.scores(features).argmax(1)]


def logistic(x: Tensor, labels: Tensor, classes: int, penalty: float) -> tuple[Tensor, Tensor]:
    """Multinomial logistic regression: mean cross-entropy + penalty / 2 · |W|², by L-BFGS.

    Args:
        x: float32 (N, D), of mean 0 and deviation 1.
        labels: int64 (N,).
        classes: number of classes.
        penalty: of the squared weights; biases are free.

    Returns:
        Weights (D, classes) and biases (classes,).
    """
    weights = torch.zeros(x.shape[1], classes, requires_grad=True)
    biases = torch.zeros(classes, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weights, biases], max_iter=ITERATIONS, history_size=10, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = nn.functional.cross_entropy(x @ weights + biases, labels)
        value = value + penalty / 2 * weights.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return weights.detach(), biases.detach()
