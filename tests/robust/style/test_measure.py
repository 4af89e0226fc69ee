"""robust.style.measure: what bfloat16 in the loss network does to the numbers."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from robust.style.measure import Measures
from robust.style.objective import Objective
from styletransfer.images.drawn import draw_style
from styletransfer.images.embedded import held_out
from styletransfer.losses.perceptual import PerceptualLoss
from styletransfer.losses.vgg import VGGLossNetwork
from styletransfer.zoo import load_network, select, shipped


def test_vgg16_in_bfloat16_moves_the_losses_by_less_than_a_hundredth(
    fetched: Callable[[str], Path],
) -> None:
    network = VGGLossNetwork(fetched("vgg16"))
    exact = Measures(PerceptualLoss(network, draw_style("mosaic", size=128)), Objective())
    image = held_out("coffee", size=128)[None]
    with torch.inference_mode():
        outputs = torch.cat(
            [
                load_network(select(shipped(), style="mosaic", norm=norm)[0].path)[0](image)
                for norm in ("in", "bn")
            ]
        )
        precise, lower = (
            measures.numbers(outputs, measures.of_content(image), None)
            for measures in (exact, replace(exact, lower=True))
        )
    for metric in ("content_loss", "style_loss", "loss"):
        assert not torch.equal(lower[metric], precise[metric])
        assert lower[metric].tolist() == pytest.approx(precise[metric].tolist(), rel=0.01)
