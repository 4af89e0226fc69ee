"""One input: files in a folder, and a command line that is given them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

ACCEPTED, REFUSED = "accepted", "refused"
INTERNAL, HANG, EXECUTED, MEMORY, RAW = "INTERNAL ERROR", "HANG", "EXECUTED", "MEMORY", "RAW"
FAULTS = (INTERNAL, HANG, EXECUTED, MEMORY, RAW)


class Special(NamedTuple):
    """What is no regular file of some bytes.

    Attributes:
        kind: "folder", "fifo", "link" (to ``value``), or "sparse" (``value`` bytes of nothing).
    """

    kind: str
    value: str = ""


Files = Mapping[str, bytes | Special]
"""By their paths inside the case's folder."""


@dataclass(frozen=True)
class Case:
    """One input, the same for the same seed.

    Attributes:
        name: KIND:SEED:INDEX, by which it is made again.
        about: what was done to the input.
        files: what stands in the working folder.
        line: the arguments of ``robust``; or "recipes" and a file, which only the library reads.
        work: whether the line may ask for work without end, which is cut when it begins.
    """

    name: str
    about: str
    files: Files
    line: tuple[str, ...]
    work: bool = field(default=False)

    def lay(self, folder: Path) -> None:
        """Write the files; folders come into being as needed."""
        for name, content in self.files.items():
            path = os.path.join(folder, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if isinstance(content, bytes):
                with open(path, "wb") as file:
                    file.write(content)
            elif content.kind == "folder":
                os.makedirs(path, exist_ok=True)
            elif content.kind == "fifo":
                os.mkfifo(path)
            elif content.kind == "link":
                os.symlink(content.value, path)
            else:
                with open(path, "wb") as file:
                    file.truncate(int(content.value))

    @property
    def size(self) -> int:
        """Bytes of files and line, by which the smallest of equal findings is chosen."""
        return sum(len(c) if isinstance(c, bytes) else 1 for c in self.files.values()) + sum(
            map(len, self.line)
        )


@dataclass(frozen=True)
class Verdict:
    """What became of a case.

    Attributes:
        kind: one of the above.
        what: type of the exception, or what was seen.
        place: where in our packages.
        said: the message, or what stood on the stack.
        seconds: of processor time.
    """

    kind: str
    what: str = ""
    place: str = ""
    said: str = ""
    seconds: float = 0
