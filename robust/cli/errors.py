"""What an exception becomes on the command line: one line on stderr and an exit code.

Exit codes: 2 for something the user gave or can mend, 1 for models that do not agree and for
defects of the program, 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP. stdout stays free for
results (``--json``).
"""

from __future__ import annotations

import errno
import os
import re
import sys
from signal import SIGINT

import click

from robust.cli.output import say
from robust.report import escape

USAGE, FAILED = 2, 1


def report(error: BaseException) -> int:
    """Print ``error`` as one line on stderr; returns the exit code."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return USAGE
    message, code = explain(error)
    # A line break in our own messages is part of a name, and shown as such; text that is indented
    # below it is quoted from a library, and joined.
    ours = isinstance(error, click.ClickException) or _is_ours(error, "InputError")
    breaks = r"\s*\n\s+" if ours else r"\s+"
    message = re.sub(breaks, " ", message.strip())
    say(f"robust: {message}", err=True)
    return code


def explain(error: BaseException) -> tuple[str, int]:
    """The message for ``error``, after the program's name, and the exit code."""
    if isinstance(error, KeyboardInterrupt | click.Abort):
        cause = error.__cause__ if isinstance(error, click.Abort) else error
        # As a shell says it: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP.
        return _interrupted(cause), 128 + getattr(cause, "signum", SIGINT)
    if isinstance(error, click.ClickException):
        return f"error: {_click_message(error)}", USAGE
    if _is_ours(error, "ParityError"):
        return f"error: {error}", FAILED
    if _is_ours(error, "InputError"):
        return f"error: {error}", USAGE
    if _is_disk_full(error):
        return f"error: no space left on the disk{_place(error)}; free some and run again", USAGE
    if isinstance(error, OSError):
        return f"error: {(error.strerror or str(error)).lower()}{_place(error)}", USAGE
    if _is_out_of_memory(error):
        return "error: out of memory; try a smaller --size or --batch-size", USAGE
    return (
        f"internal error: {type(error).__name__}: {error} "
        "(a defect of robust; ROBUST_TRACEBACK=1 shows where)",
        FAILED,
    )


def _interrupted(cause: BaseException | None) -> str:
    """``interrupted`` and what the interrupt carries: its argument or notes say what was kept."""
    said = [str(cause or ""), *getattr(cause, "__notes__", [])]
    return "; ".join(["interrupted", *filter(None, said)])


def _click_message(error: click.ClickException) -> str:
    message = error.format_message()
    ctx = getattr(error, "ctx", None)
    return message if ctx is None else f"{message.rstrip('.')} (see `{ctx.command_path} --help`)"


def _is_ours(error: BaseException, name: str) -> bool:
    """Whether ``error`` is an ``asr_core.errors.<name>``.

    Looked up among the loaded modules, not imported: importing asr_core imports torch, which would
    make a mistyped option wait for it. An exception of ours can only come from a loaded module.
    """
    errors = sys.modules.get("asr_core.errors")
    return errors is not None and isinstance(error, getattr(errors, name))


def _is_disk_full(error: BaseException) -> bool:
    """By code or by text: safetensors and torch wrap the system's error in their own."""
    full = (errno.ENOSPC, errno.EDQUOT)
    if isinstance(error, OSError) and error.errno in full:
        return True
    return any(os.strerror(code).lower() in str(error).lower() for code in full)


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError):
        return True
    torch = sys.modules.get("torch")
    if torch is None:
        return False
    # On a CPU torch has no exception of its own for it.
    on_cpu = isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
    return on_cpu or isinstance(error, torch.cuda.OutOfMemoryError)


def _place(error: BaseException) -> str:
    filename = getattr(error, "filename", None)
    if not isinstance(filename, str | bytes | os.PathLike):
        return ""
    return f": {escape.line(os.fsdecode(filename))}"
