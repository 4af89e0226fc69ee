"""Train the mini-VGG of the embedded perceptual loss from nothing, on embedded photographs.

It learns to tell which photograph a 48-px patch comes from under heavy colour changes, so that
its features describe texture and shape rather than hue. Held-out pictures are never seen.

    python scripts/weights/loss_network.py [--steps 900] [--seed 0]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from rich.progress import track
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms.functional import resize

from asr_core.saving.checkpoint import save_checkpoint
from styletransfer.images.embedded import TRAINING, photograph
from styletransfer.losses.mini_vgg import STAGES, MiniVGG, folded

WEIGHTS = Path("styletransfer/weights/mini-vgg.safetensors")

SCALES = (160, 224, 320)
PATCH = 48


def augment(patches: Tensor, generator: torch.Generator) -> Tensor:
    """Flip, mix the colour channels, and change gamma and contrast, patch by patch."""
    n = len(patches)
    if torch.rand((), generator=generator) < 0.5:
        patches = patches.flip(-1)
    mix = torch.eye(3) + 0.5 * torch.randn(n, 3, 3, generator=generator)
    mix = mix / mix.sum(dim=2, keepdim=True).abs().clamp_min(0.5)
    patches = torch.einsum("nij,njhw->nihw", mix, patches).clamp(0, 1)
    gamma = torch.empty(n, 1, 1, 1).uniform_(0.6, 1.7, generator=generator)
    gain = torch.empty(n, 1, 1, 1).uniform_(0.5, 1.3, generator=generator)
    noise = 0.03 * torch.randn(patches.shape, generator=generator)
    return (gain * (patches + 1e-4) ** gamma + noise).clamp(0, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--batch-size", type=int, default=48)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    options = parser.parse_args()

    generator = torch.Generator().manual_seed(options.seed)
    torch.manual_seed(options.seed)
    pyramids = [
        [resize(photograph(name), [scale], antialias=True).clamp(0, 1) for scale in SCALES]
        for name in TRAINING
    ]
    features = MiniVGG(batch_norm=True)
    classify = nn.Linear(STAGES[-1][-1], len(TRAINING))
    parameters = [*features.parameters(), *classify.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=3e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=options.steps)

    def draw(count: int) -> tuple[Tensor, Tensor]:
        labels = torch.randint(len(TRAINING), (count,), generator=generator)
        patches = []
        for label in labels.tolist():
            image = pyramids[label][int(torch.randint(len(SCALES), (), generator=generator))]
            top = int(torch.randint(image.shape[1] - PATCH + 1, (), generator=generator))
            left = int(torch.randint(image.shape[2] - PATCH + 1, (), generator=generator))
            patches.append(image[:, top : top + PATCH, left : left + PATCH])
        return augment(torch.stack(patches), generator), labels

    losses, hits = [], []
    for _ in track(range(options.steps), description="mini-VGG"):
        patches, labels = draw(options.batch_size)
        logits = classify(features(patches)[-1].mean(dim=(2, 3)))
        loss = F.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        hits.append((logits.argmax(1) == labels).float().mean().item())

    last = max(1, options.steps // 10)
    save_checkpoint(
        options.out,
        {name: tensor.half() for name, tensor in folded(features).state_dict().items()},
        {
            "kind": "mini-vgg",
            "recipe": {"steps": options.steps, "batch_size": options.batch_size, "patch": PATCH},
            "seed": options.seed,
            "classes": list(TRAINING),
            "final": {
                "loss": sum(losses[-last:]) / last,
                "training_accuracy": sum(hits[-last:]) / last,
            },
        },
    )


if __name__ == "__main__":
    main()
