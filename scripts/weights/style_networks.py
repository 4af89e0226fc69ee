"""Train every style network that ships with the package, from nothing, on embedded pictures.

All variants of a seed share data, steps, learning rate and initial convolutions: only the norm
differs. Finished networks are kept, interrupted ones resumed.

    python scripts/weights/style_networks.py [--jobs 2] [--seeds 3] [--styles mosaic waves]
"""

from __future__ import annotations

import argparse
import platform
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import torch
from rich.console import Console

from styletransfer.images.drawn import STYLES, draw_style
from styletransfer.images.embedded import HELD_OUT, held_out, training_photographs
from styletransfer.losses.embedded import EmbeddedLossNetwork
from styletransfer.losses.perceptual import PerceptualLoss
from styletransfer.network import NORMS
from styletransfer.recipe import StyleRecipe
from styletransfer.train import StyleStep, evaluate, train_style
from styletransfer.zoo import WEIGHTS, load_network, save_network

LAST = 50


def file_name(style: str, norm: str, seed: int) -> str:
    return f"{style}-{norm.replace('+', '-')}-{seed}.safetensors"


def make(style: str, norm: str, seed: int, options: argparse.Namespace) -> str:
    torch.set_num_threads(1)
    target = options.out / file_name(style, norm, seed)
    recipe = StyleRecipe(norm=norm, seed=seed, steps=options.steps)
    loss = PerceptualLoss(EmbeddedLossNetwork(), draw_style(style))
    resume = options.work / target.with_suffix(".pt").name
    resume.parent.mkdir(parents=True, exist_ok=True)
    steps: list[StyleStep] = []
    network = train_style(recipe, loss, training_photographs(), resume=resume, on_step=steps.append)
    tail = steps[-LAST:]
    facts = {
        "recipe": recipe.as_dict(),
        "loss_network": loss.network.name,
        "torch": torch.__version__,
        "machine": platform.machine(),
        "training_loss": sum(step.loss for step in tail) / len(tail) if tail else None,
    }
    draft = resume.with_name(target.name)  # what counts is the network as it comes back from disk
    save_network(draft, network, style=style, seed=seed, facts=facts)
    reloaded, _ = load_network(draft)
    final = evaluate(reloaded, loss, [held_out(name) for name in HELD_OUT])
    save_network(target, reloaded, style=style, seed=seed, facts={**facts, "held_out": final})
    for file in (draft, resume):
        file.unlink()
    return f"{target.name}: content {final['content']:.3f}, style {final['style']:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2, help="networks trained at a time")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=StyleRecipe.steps)
    parser.add_argument("--styles", nargs="+", default=STYLES.names(), choices=STYLES.names())
    parser.add_argument("--norms", nargs="+", default=NORMS.names(), choices=NORMS.names())
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--work", type=Path, default=Path("runs/style-weights"))
    options = parser.parse_args()

    console = Console()
    wanted = [
        (style, norm, seed)
        for seed in range(options.seeds)
        for style in options.styles
        for norm in options.norms
    ]
    missing = [key for key in wanted if not (options.out / file_name(*key)).exists()]
    console.print(f"{len(wanted)} networks, {len(missing)} to train")
    with ProcessPoolExecutor(options.jobs) as workers:
        futures = [workers.submit(make, *key, options) for key in missing]
        for future in as_completed(futures):
            console.print(future.result())


if __name__ == "__main__":
    main()
