"""Training classifiers: on one process or many, resumable at any step, to a fused, checked file.

::

    config = TrainConfig(recipe=load_recipe("resnet29-embedded"), attention="se", mode="asr")
    accelerator = new_accelerator(config, folder)
    result = train(config, open_data("embedded"), folder, accelerator=accelerator)
    model = open_run(folder, which="best").model
"""

from asr_core.training.config import PRECISIONS, DataFacts, TrainConfig
from asr_core.training.engine import Result, train
from asr_core.training.evaluate import Evaluation, evaluate
from asr_core.training.folder import OpenedRun, is_run, open_run
from asr_core.training.learner import new_accelerator
from asr_core.training.loop import EpochEnd, Step, StepNoise

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
