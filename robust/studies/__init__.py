"""The studies of docs/RESULTS.md: what each trains and tests, and the page that it writes.

``scripts/studies/`` starts them. Runs and tests that are there are not made again, so a study that
was stopped goes on where it was.
"""
