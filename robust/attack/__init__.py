"""The main job: style networks side by side, clean and under noise, with numbers."""
