"""The engine under a run: Hugging Face Accelerate, as the config wants it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from asr_core.errors import InputError
from asr_core.training.config import TrainConfig

if TYPE_CHECKING:
    from accelerate import Accelerator

Device = Literal["auto", "cpu"]
TENSORBOARD = "tensorboard"


def new_accelerator(
    config: TrainConfig, folder: Path, *, device: Device = "auto", tensorboard: bool = False
) -> Accelerator:
    """An accelerator for :func:`asr_core.training.train`, alone or as one of several processes.

    What ``torchrun`` or ``accelerate launch`` put into the environment says which.

    Args:
        config: precision, accumulation and compilation are taken from it.
        folder: the run's; TensorBoard's events go into its folder "tensorboard".
        device: "auto", the machine's accelerator or else the CPU; or "cpu".
        tensorboard: write events.

    Raises:
        InputError: fp16 on a CPU, TensorBoard is not installed, or the launcher's processes do
            not find each other.
    """
    from accelerate import Accelerator
    from accelerate.utils import ProjectConfiguration, is_tensorboard_available

    # Without an accelerator Accelerate would take each of several processes for a run of its own.
    cpu = device == "cpu" or not torch.accelerator.is_available()
    if cpu and config.precision == "fp16":
        raise InputError("precision fp16 needs a GPU; on a CPU use bf16, or leave it out")
    if tensorboard and not is_tensorboard_available():
        raise InputError("TensorBoard is not installed: pip install 'robust-asr[tensorboard]'")
    accelerator = Accelerator(
        cpu=cpu,
        mixed_precision=config.precision,
        gradient_accumulation_steps=config.accumulate,
        dynamo_backend="inductor" if config.compile else None,
        log_with=TENSORBOARD if tensorboard else None,
        project_config=ProjectConfiguration(str(folder), logging_dir=str(folder)),
    )
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    if accelerator.num_processes != launched:
        raise InputError(
            f"{launched} processes were launched, but this one sees {accelerator.num_processes}; "
            "launch them with torchrun or accelerate launch"
        )
    return accelerator
