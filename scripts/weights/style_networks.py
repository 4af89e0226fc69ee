"""Train the style networks that ship with the package as ``robust train style`` does.

All variants of a seed share data, steps, learning rate and initial convolutions: only the norm
differs. The loss network is VGG16 (``robust weights get vgg16``). Finished networks are kept,
interrupted ones resumed. Mosaic and waves have several seeds, the other styles one. On a GPU all of
them take minutes, on a CPU a quarter of an hour and more each. One model card tells of all.

    python scripts/weights/style_networks.py [--device cuda --jobs 16] [--seeds 5]
        [--styles mosaic waves]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console

from asr_core.saving.files import write_text
from robust.models.card import shipped_card
from robust.studies.style_runs import Training, train_networks
from styletransfer.images.drawn import STYLE_WEIGHTS, STYLES
from styletransfer.losses.choose import VGG16
from styletransfer.network import NORMS
from styletransfer.zoo import WEIGHTS

CARD = "README.md"
SEVERAL_SEEDS = ("mosaic", "waves")


def file_name(style: str, norm: str, seed: int) -> str:
    return f"{style}-{norm.replace('+', '-')}-{seed}.safetensors"


def fields(style: str, norm: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    return {
        "style": style,
        "norm": norm,
        "seed": seed,
        "steps": options.steps,
        "batch_size": options.batch_size,
        "precision": "bfloat16",
        "style_weight": STYLE_WEIGHTS[style],
        "loss_network": options.loss_network,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2, help="networks trained at a time")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=2400)
    parser.add_argument("--batch-size", type=int, default=4)
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
    missing = [
        Training(options.work / target.stem, fields(*key, options), target)
        for key in wanted
        if not (target := options.out / file_name(*key)).exists()
    ]
    console.print(f"{len(wanted)} networks, {len(missing)} to train")
    for target in train_networks(missing, jobs=options.jobs, device=options.device):
        console.print(target.name)
    write_text(options.out / CARD, shipped_card(options.out))


if __name__ == "__main__":
    main()
