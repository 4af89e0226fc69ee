"""One page for every kind of run: a :class:`~robust.report.page.values.Page`, rendered to HTML.

Each kind of run has a module that reads its folder into a page; the template knows blocks, and no
kinds. Nothing here imports torch.
"""
