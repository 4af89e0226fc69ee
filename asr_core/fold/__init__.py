"""The further step, for inference alone: batch norms and parallel branches into one layer."""
