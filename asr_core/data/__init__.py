"""Classification data: sets by name, their splits, and the order in which training sees them.

::

    data = open_data("embedded")
    for images, labels in train_batches(data.train, batch_size=128, seed=0, epoch=0):
        ...
"""

from asr_core.data.folder.split import FolderSplit
from asr_core.data.image_set import ImageSet
from asr_core.data.memory import MemorySplit
from asr_core.data.open import open_data
from asr_core.data.order import steps_per_epoch, test_batches, train_batches
from asr_core.data.source import DATASETS
from asr_core.data.split import Split

__all__ = [
    "DATASETS",
    "FolderSplit",
    "ImageSet",
    "MemorySplit",
    "Split",
    "open_data",
    "steps_per_epoch",
    "test_batches",
    "train_batches",
]
