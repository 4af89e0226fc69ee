"""What a pickle would call, read from its opcodes: nothing is run."""

from __future__ import annotations

import io
import os
import pickletools
import zipfile
from collections.abc import Callable
from pathlib import Path


class Marking:
    """Pickles as a call that makes a folder: what loading must never do."""

    CALL = f"{os.name} mkdir"

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.mkdir, (str(self.marker),)


def called(data: bytes) -> set[str]:
    """The names, as "module name", that a careless reader of a file would look up and call.

    Args:
        data: a pickle, several one after the other (torch's old format), or an archive of them
            (torch's format, and NumPy's .npz with arrays of objects).

    Returns:
        Empty where nothing is called.
    """
    if zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        pickles = [part for name, part in parts.items() if name.endswith(".pkl")]
        pickles += [part[_npy_header(part) :] for name, part in parts.items() if ".npy" in name]
        return set().union(*map(called, pickles))
    stream, names, calls = io.BytesIO(data), set[str](), False
    while stream.tell() < len(data):
        strings: list[str] = []
        try:
            for code, argument, _ in pickletools.genops(stream):
                if code.name == "GLOBAL":
                    names.add(argument)
                elif code.name == "STACK_GLOBAL":
                    names.add(" ".join(strings[-2:]))
                elif isinstance(argument, str):
                    strings.append(argument)
                calls |= code.name == "REDUCE"
        except ValueError:  # behind the pickles of torch's old format lie the tensors' bytes
            break
    return names if calls else set()


def _npy_header(part: bytes) -> int:
    """Where the values of a .npy file, version 1, begin."""
    return 10 + int.from_bytes(part[8:10], "little")
