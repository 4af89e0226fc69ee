"""Byte-for-byte results of small runs, to hold a refactoring against.

    python scripts/checks/golden.py record before.json    # on the commit before
    python scripts/checks/golden.py compare before.json   # on the commit after, on the same machine

It runs the command line in an empty folder and hashes what that writes: tensors by their bytes,
tables and pictures as they are, results without where and when they were made. Floating point
differs between machines, so a record holds on the machine that made it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors import safe_open

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = (
    "attack --noise batch --severity 2 --severity 4:noise --style mosaic --train-seeds 2 --size 64"
    " --repeats 1 --quiet --out attack",
    "attack --noise random --severity 0.2 --granularity channel --train-seeds 1"
    " --size 64 --repeats 2 --quiet --out attack-random",
    "stylize images --style mosaic --norm bn+asr --fused --out stylised",
    "train style --style mosaic --norm bn+asr --steps 4 --size 64 --width 4 --quiet --out style",
    "train style --style mosaic --norm in --steps 4 --size 64 --width 4 --quiet --out style-noise"
    " --noise constant --severity 0.8,0.5",
    "fuse style/network.safetensors --out style-fused.safetensors",
    "train --recipe resnet11-embedded --epochs 1 --batch-size 256 --lr 0.02 --device cpu --quiet"
    " --out run",
    "train --recipe resnet11-embedded --epochs 1 --lr 0.02 --device cpu --quiet --noise batch"
    " --severity 128 --mode plain --out run-noise",
    "evaluate --suite norm-noise run --quiet --out suite",
)
OUTPUTS = (
    "attack/metrics.csv", "attack-random/metrics.csv", "stylised/*.png", "style/*.safetensors",
    "style-noise/*.safetensors", "style-fused.safetensors", "run/metrics.csv",
    "run/*.safetensors", "run-noise/*.safetensors", "suite/**/*.json",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=("record", "compare"))
    parser.add_argument("file", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        draw_images(Path(folder) / "images")
        for command in COMMANDS:
            print(f"robust {command}", file=sys.stderr, flush=True)
            run(command, folder)
        found = {pattern: digest(Path(folder), pattern) for pattern in OUTPUTS}
    if options.action == "record":
        options.file.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        return
    wanted = json.loads(options.file.read_text(encoding="utf-8"))
    differing = sorted(name for name in {*wanted, *found} if wanted.get(name) != found.get(name))
    if differing:
        sys.exit(f"golden values differ: {', '.join(differing)}")


def digest(folder: Path, pattern: str) -> str:
    """The hash of all files that ``pattern`` finds in ``folder``."""
    files = sorted(folder.glob(pattern))
    if not files:
        sys.exit(f"no command wrote {pattern}")
    total = hashlib.sha256()
    for file in files:
        total.update(READERS.get(file.suffix, Path.read_bytes)(file))
    return total.hexdigest()


def run(command: str, folder: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "robust", *command.split()],
        cwd=folder, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"robust {command}: exit {done.returncode}\n{done.stderr}")


def draw_images(folder: Path) -> None:
    """Two pictures of noise."""
    generator = np.random.default_rng(0)
    folder.mkdir()
    for index in range(2):
        pixels = generator.integers(0, 256, (64, 96, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")


def tensors(file: Path) -> bytes:
    total = hashlib.sha256()
    with safe_open(file, "pt") as content:
        for name in sorted(content.keys()):
            tensor = content.get_tensor(name)
            total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            total.update(tensor.double().numpy().tobytes())
    return total.digest()


def results(file: Path) -> bytes:
    """What a suite found, without how long it took and where it ran."""
    conditions = json.loads(file.read_text(encoding="utf-8"))["conditions"]
    for condition in conditions:
        del condition["seconds"]
    return json.dumps(conditions, sort_keys=True).encode()


READERS: dict[str, Callable[[Path], bytes]] = {".safetensors": tensors, ".json": results}


if __name__ == "__main__":
    main()
