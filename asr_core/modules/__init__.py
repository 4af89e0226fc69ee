"""What torch leaves open of modules: copies, shared memory, wrappers, changes undone whole."""
