"""A model's forward as a graph, traced by ``torch.fx`` or recorded."""
