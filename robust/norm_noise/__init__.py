"""Noise on normalisation layers: batch, constant and random, one definition for every task.

What is exported stands in ``__init__.pyi`` and is imported when it is first used, so that the
severities are read without torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
