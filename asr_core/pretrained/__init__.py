"""Weights that others trained: where they are to be had, how they are read, where they are kept.

Nothing is fetched unless :func:`fetch` is called.
"""

from asr_core.pretrained.cache import cached, path_of, verify
from asr_core.pretrained.catalogue import PRETRAINED, Pretrained
from asr_core.pretrained.fetch import fetch

__all__ = ["PRETRAINED", "Pretrained", "cached", "fetch", "path_of", "verify"]
