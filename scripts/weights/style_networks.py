"""Train the style networks that ship with the package as ``robust train style`` does.

All variants of a seed share data, steps, learning rate and initial convolutions: only the norm
differs. The loss network is VGG16 (``robust weights get vgg16``). Finished networks are kept,
interrupted ones resumed. Mosaic and waves have several seeds, the other styles one.

    python scripts/weights/style_networks.py [--jobs 2] [--seeds 3] [--styles mosaic waves]
"""

from __future__ import annotations

import argparse
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import torch
from rich.console import Console

from asr_core.saving.files import atomic_path
from robust.training.style import StyleFolder, StyleRun
from styletransfer.images.drawn import STYLES
from styletransfer.images.embedded import training_photographs
from styletransfer.losses.choose import VGG16
from styletransfer.network import NORMS
from styletransfer.recipe import StyleRecipe
from styletransfer.zoo import WEIGHTS

SEVERAL_SEEDS = ("mosaic", "waves")
STYLE_WEIGHTS = {"hatching": 0.25, "points": 0.3}
"""Other weights than the recipe's, found on the validation photographs."""


def file_name(style: str, norm: str, seed: int) -> str:
    return f"{style}-{norm.replace('+', '-')}-{seed}.safetensors"


def make(style: str, norm: str, seed: int, options: argparse.Namespace) -> str:
    torch.set_num_threads(1)
    target = options.out / file_name(style, norm, seed)
    run = StyleRun.from_fields(
        {
            "style": style,
            "norm": norm,
            "seed": seed,
            "steps": options.steps,
            "precision": "bfloat16",
            "style_weight": STYLE_WEIGHTS.get(style, StyleRecipe.style_weight),
            "loss_network": options.loss_network,
        }
    )
    place = StyleFolder(options.work / target.stem)
    network = place.network
    if not run.is_finished(place):
        network = run.train(place, training_photographs(), on_step=lambda step, line: None)
    with atomic_path(target) as temporary:
        temporary.write_bytes(network.read_bytes())
    return target.name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2, help="networks trained at a time")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=StyleRecipe.steps)
    parser.add_argument("--styles", nargs="+", default=STYLES.names(), choices=STYLES.names())
    parser.add_argument("--norms", nargs="+", default=NORMS.names(), choices=NORMS.names())
    parser.add_argument("--loss-network", default=VGG16)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--work", type=Path, default=Path("runs/style-weights"))
    options = parser.parse_args()

    console = Console()
    wanted = [
        (style, norm, seed)
        for seed in range(options.seeds)
        for style in options.styles
        for norm in options.norms
        if seed == 0 or style in SEVERAL_SEEDS
    ]
    missing = [key for key in wanted if not (options.out / file_name(*key)).exists()]
    console.print(f"{len(wanted)} networks, {len(missing)} to train")
    with ProcessPoolExecutor(options.jobs, multiprocessing.get_context("spawn")) as workers:
        futures = [workers.submit(make, *key, options) for key in missing]
        for future in as_completed(futures):
            console.print(future.result())


if __name__ == "__main__":
    main()
