"""Images: embedded photographs, styles drawn by code, and reading what users bring."""
