"""The further step, for inference alone: batch norms and parallel branches folded into a layer."""
