"""From the folders of runs to ``report.html``."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path

from asr_core.errors import InputError
from asr_core.saving.files import in_utf8, write_text
from robust.report.page.values import Page

REPORT = "report.html"
_KINDS = {
    "style": (("run.json", "summary.json"), "robust.report.page.style:style_page"),
}
"""By the files that a folder has: where its page is made."""


def page_of(folder: Path) -> Page:
    """The page of the run in ``folder``.

    Raises:
        InputError: no such folder, or one without a run.
    """
    if not folder.is_dir():
        raise InputError(f"{in_utf8(folder)}: no folder of a run")
    for files, target in _KINDS.values():
        if all((folder / name).is_file() for name in files):
            return _imported(target)(folder)
    known = "; ".join(f"{kind}: {', '.join(files)}" for kind, (files, _) in _KINDS.items())
    raise InputError(f"{in_utf8(folder)}: not a finished run. Expected one of these files: {known}")


def write_report(folders: Sequence[Path], out: Path | None = None) -> Path:
    """Write the page of one run into its folder, or of several to ``out``.

    Returns:
        The file.

    Raises:
        InputError: as :func:`page_of`, or several runs without ``out``.
    """
    from robust.report.page.render import render

    (folder,) = folders
    target = folder / REPORT if out is None else out
    write_text(target, render(page_of(folder)))
    return target


def _imported(target: str) -> Callable[[Path], Page]:
    module, _, name = target.partition(":")
    found: Callable[[Path], Page] = getattr(importlib.import_module(module), name)
    return found
