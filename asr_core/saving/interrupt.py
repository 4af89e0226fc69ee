"""Ctrl-C and the signals that end a process, postponed until the current step is saved."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

ENDING = ("SIGTERM", "SIGHUP")
"""The signals of batch systems and closed terminals; not every system has both."""


class Interrupted(KeyboardInterrupt):
    """A run was interrupted and can resume.

    Attributes:
        signum: the signal; SIGINT for Ctrl-C.
    """

    def __init__(self, message: str = "", signum: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.signum = signum


class Interrupts:
    """Called, says whether a signal came. ``signum`` is the signal's number, 0 for none."""

    def __init__(self) -> None:
        self.signum = 0

    def __call__(self) -> bool:
        """Whether a signal came."""
        return self.signum != 0


@contextlib.contextmanager
def postponed_interrupt() -> Iterator[Interrupts]:
    """Postpone Ctrl-C, SIGTERM and SIGHUP in the block; a second one interrupts at once.

    The earlier handlers are restored. Ignored signals (SIGHUP under nohup) stay ignored, except
    Ctrl-C. Only the main thread gets signals.
    """
    interrupts = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return

    def press(number: int, frame: FrameType | None) -> None:
        if interrupts():
            raise Interrupted(signum=number)
        interrupts.signum = number

    before: dict[int, Any] = {signal.SIGINT: signal.signal(signal.SIGINT, press)}
    try:
        for name in ENDING:
            number = getattr(signal, name, None)
            # None is a handler that Python did not set, and could not restore.
            if number and signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, press)
        yield interrupts
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
