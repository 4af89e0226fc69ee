"""Models by name and from files."""
