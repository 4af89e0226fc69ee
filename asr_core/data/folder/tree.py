"""The files below a folder, without following links or entering a folder twice."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from asr_core.errors import InputError

LINK = "is a link; links in folders are not followed"


def files_below(folder: Path | str, *, on_skip: Callable[[Path, str], None]) -> Iterator[str]:
    """The regular files in ``folder`` and its subfolders, unordered, without hidden ones.

    ``folder`` may be a link; others could lead out of it, or in circles. ``on_skip`` is called
    with the path and the reason for each link, pipe, device or socket.

    Raises:
        InputError: a folder cannot be listed.
    """
    waiting, entered = [os.fspath(folder)], set[tuple[int, int]]()
    while waiting:
        place = waiting.pop()
        try:
            status = os.stat(place)
            if (status.st_dev, status.st_ino) in entered:  # a mount can loop without a link
                on_skip(Path(place), "is a folder that was read under another name")
                continue
            entered.add((status.st_dev, status.st_ino))
            with os.scandir(place) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if entry.is_symlink():
                        on_skip(Path(entry.path), LINK)
                    elif entry.is_dir():
                        waiting.append(entry.path)
                    elif entry.is_file():
                        yield entry.path
                    else:
                        on_skip(Path(entry.path), "is not a regular file")
        except OSError as error:
            raise InputError(f"{place}: cannot list the folder ({error.strerror})") from error
