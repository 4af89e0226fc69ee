"""Files: atomic writes, checkpoints, saved models and exports."""
