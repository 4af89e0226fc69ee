"""Normalisation-noise attacks, image metrics, grids, reports and the command line ``robust``."""
