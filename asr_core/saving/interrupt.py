"""Ctrl-C and the signals that end a process, at the end of the step under way, when it is saved."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

ENDING = ("SIGTERM", "SIGHUP")
"""What batch systems and closed terminals send, as far as the system has it."""


class Interrupted(KeyboardInterrupt):
    """A run that was interrupted and can be gone on with.

    Attributes:
        signum: the signal; SIGINT for Ctrl-C.
    """

    def __init__(self, message: str = "", signum: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.signum = signum


class Interrupts:
    """Says, called, whether a signal came; ``signum`` is its number, 0 for none."""

    def __init__(self) -> None:
        self.signum = 0

    def __call__(self) -> bool:
        """Whether a signal came."""
        return self.signum != 0


@contextlib.contextmanager
def postponed_interrupt() -> Iterator[Interrupts]:
    """Yield what says whether Ctrl-C, SIGTERM or SIGHUP came inside; a second one interrupts.

    The handlers before are in place again after. What the process ignores (SIGHUP under nohup)
    stays ignored, but Ctrl-C. Outside the main thread, which alone gets signals, none ever comes.
    """
    found = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield found
        return

    def press(number: int, frame: FrameType | None) -> None:
        if found():
            raise Interrupted(signum=number)
        found.signum = number

    before: dict[int, Any] = {signal.SIGINT: signal.signal(signal.SIGINT, press)}
    try:
        for name in ENDING:
            number = getattr(signal, name, None)
            # A handler that Python did not set reads as None, and could not be put back.
            if number and signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, press)
        yield found
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
