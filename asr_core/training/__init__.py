"""Training classifiers: on one process or many, resumable at any step, to a fused, checked file.

::

    config = TrainConfig(recipe=load_recipe("resnet29-embedded"), attention="se", mode="asr")
    accelerator = new_accelerator(config, folder)
    result = train(config, open_data("embedded"), folder, accelerator=accelerator)
    model = open_run(folder, which="best").model
"""

from asr_core.training.accelerator import new_accelerator
from asr_core.training.config import PRECISIONS, TrainConfig
from asr_core.training.data_summary import DataFacts
from asr_core.training.engine import train
from asr_core.training.evaluate import Evaluation, evaluate
from asr_core.training.finish import Result
from asr_core.training.folder import is_run
from asr_core.training.loop import EpochEnd, Step, StepNoise
from asr_core.training.run import OpenedRun, open_run

__all__ = [
    "PRECISIONS",
    "DataFacts",
    "EpochEnd",
    "Evaluation",
    "OpenedRun",
    "Result",
    "Step",
    "StepNoise",
    "TrainConfig",
    "evaluate",
    "is_run",
    "new_accelerator",
    "open_run",
    "train",
]
