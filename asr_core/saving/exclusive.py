"""One process at a time in a run's folder, by a lock that dies with its owner.

``flock`` (on Windows ``msvcrt.locking``) locks a file ``.lock`` in the folder. The system releases
the lock however the process ends, so a killed one leaves none behind. On a local disk it works
between the processes of the machine. On a network disk it works between machines if the disk's
locks do: NFS on Linux, unless mounted with ``nolock`` or ``local_lock``, Lustre and GPFS mounted
with ``flock``; many FUSE disks lock for each machine alone. A disk without locks gives a warning.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

from asr_core.errors import InputError
from asr_core.saving.files import drafts, remove_draft

LOCK = ".lock"
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL)
_held: dict[tuple[int, Path], int] = {}
"""Open handles by thread and lock file."""


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Lock ``folder`` for this thread, and remove half-written files of a killed process.

    A missing folder is made, and removed if it stays empty. The same thread may enter again.
    Forked processes do not hold the lock.

    Raises:
        InputError: another process or thread holds it.
        OSError: the folder cannot be made or written.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    file = Path(os.path.realpath(folder)) / LOCK
    key = (threading.get_ident(), file)
    if key in _held:
        yield
        return
    handle = _locked(file)
    if handle is None:
        yield
        return
    _held[key] = handle
    try:
        for draft in drafts(folder):
            remove_draft(draft)
        yield
    finally:
        del _held[key]
        # Removed while locked: others that have it open will see that its name is gone.
        with contextlib.suppress(OSError):  # the folder is gone, or Windows keeps open files
            file.unlink()
        os.close(handle)
        with contextlib.suppress(OSError):  # not empty
            for path in made:
                path.rmdir()


def contents(folder: Path) -> list[Path]:
    """The files in ``folder`` except the lock and half-written ones."""
    ours = {folder / LOCK, *drafts(folder)}
    return [path for path in folder.iterdir() if path not in ours]


def _locked(file: Path) -> int | None:
    """A handle that holds the lock; None if the disk has no locks."""
    while True:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:  # another run has just removed the folder that it made
            continue
        try:
            _lock(handle)
            if _is_there(handle, file):
                os.truncate(handle, 0)
                os.write(handle, f"process {os.getpid()} on {socket.gethostname()}".encode())
                return handle
        except (BlockingIOError, PermissionError):
            owner = _owner(file)
            os.close(handle)
            raise InputError(
                f"{file.parent} is in use by {owner}; wait for it to end, or choose another folder"
            ) from None
        except OSError as error:
            os.close(handle)
            if error.errno not in _NO_LOCKS:
                raise
            warnings.warn(
                f"{file.parent} is on a disk without locks: let no two processes use it",
                stacklevel=4,
            )
            return None
        os.close(handle)


def _lock(handle: int) -> None:
    """Take the lock.

    Raises:
        OSError: BlockingIOError, or PermissionError on Windows: another process has it.
    """
    if sys.platform == "win32":
        import msvcrt

        os.lseek(handle, 1 << 20, os.SEEK_SET)  # beyond the text, so that others can read it
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        os.lseek(handle, 0, os.SEEK_SET)
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_there(handle: int, file: Path) -> bool:
    """Whether the locked file still has its name."""
    try:
        return os.path.samestat(os.fstat(handle), file.stat())
    except FileNotFoundError:
        return False


def _owner(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")[:200].strip() or "another process"
    except OSError:
        return "another process"


def _let_go() -> None:
    """Release the locks in a forked process, which may outlive its parent."""
    for handle in _held.values():
        with contextlib.suppress(OSError):
            os.close(handle)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)
