"""From the folders of runs to ``report.html``."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path

from asr_core.errors import InputError
from asr_core.saving.files import in_utf8, write_text
from robust.report.page.values import Page

REPORT = "report.html"
_HERE = "robust.report.page"
KINDS: dict[str, tuple[tuple[str, ...], str]] = {
    "an attack on style networks": (("run.json", "summary.json"), f"{_HERE}.style:style_page"),
    "a study": (("verdicts.json",), f"{_HERE}.study:study_page"),
    "a sweep": (("sweep.json",), f"{_HERE}.sweep:sweep_page"),
    "a training run": (("config.json", "result.json"), f"{_HERE}.training:training_page"),
    "a style training": (
        ("config.json", "log.csv", "network.safetensors"),
        f"{_HERE}.training:style_training_page",
    ),
    "suites": (("*.summary.json",), f"{_HERE}.suite:suite_page"),
    "stripes": (("stripes.json",), f"{_HERE}.stripes:stripes_page"),
}
"""By the files that a folder has: the function that makes its page, as ``module:name``."""


def kind_of(folder: Path) -> str:
    """Which of :data:`KINDS` the run in ``folder`` is.

    Raises:
        InputError: no such folder, or one without a finished run.
    """
    if not folder.is_dir():
        raise InputError(f"{in_utf8(folder)}: no folder of a run")
    for kind, (files, _) in KINDS.items():
        if all(any(folder.glob(name)) for name in files):
            return kind
    known = "; ".join(f"{kind} ({', '.join(files)})" for kind, (files, _) in KINDS.items())
    raise InputError(f"{in_utf8(folder)}: not a finished run, by its files. Known: {known}")


def page_of(folder: Path) -> Page:
    """The page of the run in ``folder``.

    Raises:
        InputError: as :func:`kind_of`, or the files are not those of such a run.
    """
    kind = kind_of(folder)
    module, _, name = KINDS[kind][1].partition(":")
    make: Callable[[Path], Page] = getattr(importlib.import_module(module), name)
    try:
        return make(folder)
    except InputError:
        raise
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise InputError(f"{in_utf8(folder)}: not the files of {kind} ({error!r})") from None


def write_report(folders: Sequence[Path], out: Path | None = None) -> Path:
    """Write the page of one run into its folder, or of several into the working folder.

    Args:
        folders: of the runs; several are of one kind.
        out: the file instead.

    Returns:
        The file.

    Raises:
        InputError: as :func:`page_of`, or runs of several kinds.
    """
    from robust.report.page.render import render

    if len(folders) == 1:
        (folder,) = folders
        page, target = page_of(folder), folder / REPORT
    else:
        from robust.report.page.several import several_page

        page, target = several_page(folders), Path(REPORT)
    target = target if out is None else out
    write_text(target, render(page))
    return target
