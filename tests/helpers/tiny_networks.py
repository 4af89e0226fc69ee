"""Small untrained style networks on disk, with batch statistics that are not the initial ones."""

from __future__ import annotations

from pathlib import Path

import torch

from styletransfer.network import NORMS
from styletransfer.recipe import StyleRecipe
from styletransfer.train import new_network
from styletransfer.zoo import save_network


def save_tiny(folder: Path, norm: str, seed: int, *, style: str = "mosaic") -> Path:
    network = new_network(StyleRecipe(norm=norm, seed=seed, width=4, blocks=1))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        network.train()(torch.rand(4, 3, 64, 64, generator=generator) ** 2)
        for name, parameter in network.named_parameters():
            if name.endswith(("bias", "original")) and parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    path = folder / f"{style}-{norm.replace('+', '-')}-{seed}.safetensors"
    save_network(path, network.eval(), style=style, seed=seed, facts={})
    return path


def save_all(folder: Path, *, seeds: int = 2, style: str = "mosaic") -> list[Path]:
    return [save_tiny(folder, norm, seed, style=style) for norm in NORMS for seed in range(seeds)]
