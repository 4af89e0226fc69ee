"""Which loss network a run uses."""

from __future__ import annotations

from pathlib import Path

from asr_core.errors import CheckpointError
from asr_core.pretrained import path_of
from styletransfer.losses.embedded import EmbeddedLossNetwork
from styletransfer.losses.vgg import VGGLossNetwork, cached_weights

AUTO, VGG16, EMBEDDED = "auto", "vgg16", "embedded"


def settled(choice: str = AUTO) -> str:
    """``choice``, or what "auto" stands for on this machine.

    That is "vgg16" where its weights have been fetched, and else the fallback, "embedded".
    """
    if choice != AUTO:
        return choice
    return EMBEDDED if cached_weights() is None else VGG16


def name_of(choice: str) -> str:
    """What runs, tables and checkpoints call the loss network ``choice``."""
    return (EmbeddedLossNetwork if settled(choice) == EMBEDDED else VGGLossNetwork).name


def loss_network(choice: str = AUTO) -> EmbeddedLossNetwork | VGGLossNetwork:
    """A loss network: VGG16, or the one that ships with the package.

    Args:
        choice: "vgg16", as it was fetched; "embedded"; "auto" (:func:`settled`); or a file with
            VGG16's weights.

    Raises:
        CheckpointError: the weights are missing, damaged, or not VGG16's.
    """
    chosen = settled(choice)
    if chosen == EMBEDDED:
        return EmbeddedLossNetwork()
    if chosen != VGG16:
        return VGGLossNetwork(Path(chosen))
    weights = cached_weights()
    if weights is None:
        raise CheckpointError(f"vgg16 has not been fetched: {path_of('vgg16')} is missing")
    return VGGLossNetwork(weights)
