"""Attention-alike structural re-parameterisation (ASR): attention at no inference cost."""
