"""What a finished run records, made up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from asr_core.training import TrainConfig
from asr_core.training.history import COLUMNS

DATA = {
    "name": "embedded",
    "classes": ["a", "b"],
    "image_size": 32,
    "mean": [0.5, 0.5, 0.5],
    "std": [0.25, 0.25, 0.25],
    "sizes": [7200, 900, 1800],
    "labels": "0123456789abcdef",
}
TEST = {"top1": 0.5, "top5": 0.9, "loss": 1.0, "images": 1800}


def result(*, seconds: float = 30, last: dict[str, float] | None = None, **test: Any) -> str:
    """``result.json``; a row of ``metrics.csv`` is 0 where ``last`` leaves it open."""
    row = dict.fromkeys(COLUMNS, 0.0) | (last or {})
    return json.dumps(
        {
            "file": "model.safetensors",
            "epoch": 3,
            "test": {**TEST, **test},
            "images_per_second": 100.0,
            "last": row,
            "best": row,
            "train_seconds": seconds,
            "gates": 0,
            "parameters": 1000,
            "processes": 1,
            "device": "cpu",
            "torch": "2.6.0",
        }
    )


def write_config(folder: Path, config: TrainConfig) -> None:
    """``config.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = {"schema": 1, "config": config.as_dict(), "data": DATA, "setting": {}}
    (folder / "config.json").write_text(json.dumps(whole))
