"""Attention-alike structural re-parameterisation (ASR): attention at no inference cost."""

from asr_core.fuse import fuse_asr
from asr_core.insert import insert_asr

__all__ = ["fuse_asr", "insert_asr"]
