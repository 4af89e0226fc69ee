"""A model's forward as a graph, found by ``torch.fx`` or recorded."""
