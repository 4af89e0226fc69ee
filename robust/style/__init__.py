"""Attacks on style networks: plan, run, measure, and the grid picture."""
