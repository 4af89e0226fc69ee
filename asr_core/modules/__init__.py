"""Helpers for torch modules: copies, shared memory, states, wrappers, lost writes, rollback."""
