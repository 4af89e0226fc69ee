"""What ``robust train`` does: runs as data, read from a run file, and kept in a run folder."""
