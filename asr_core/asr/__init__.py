"""Attention-alike structural re-parameterisation: the gate, and how a layer takes and loses it."""
