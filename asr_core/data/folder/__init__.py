"""Image folders: their layouts, and files decoded in parallel."""
