"""asr_core.saving.interrupt: Ctrl-C, once and twice."""

import signal
import threading
from collections.abc import Iterator

import pytest

from asr_core.saving.interrupt import Interrupted, postponed_interrupt


@pytest.fixture(autouse=True)
def pythons_handler() -> Iterator[None]:
    """What a terminal's program has; one that a script starts in the background ignores Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_that_end_a_process_are_as_ctrl_c(number: signal.Signals) -> None:
    before = signal.signal(number, signal.SIG_DFL)
    try:
        with postponed_interrupt() as interrupted:
            signal.raise_signal(number)
            assert interrupted()
            assert interrupted.signum == number
            with pytest.raises(Interrupted) as caught:
                signal.raise_signal(number)
        assert caught.value.signum == number
        assert signal.getsignal(number) is signal.SIG_DFL
        signal.signal(number, signal.SIG_IGN)  # as under nohup
        with postponed_interrupt() as interrupted:
            signal.raise_signal(number)
            assert not interrupted()
    finally:
        signal.signal(number, before)


def test_systems_without_sighup_do_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(signal, "SIGHUP")
    with postponed_interrupt() as interrupted:
        press()
        assert interrupted()


def press() -> None:
    signal.raise_signal(signal.SIGINT)


def test_the_first_is_remembered_and_the_second_interrupts() -> None:
    with postponed_interrupt() as interrupted:
        assert not interrupted()
        press()
        assert interrupted()
        with pytest.raises(KeyboardInterrupt):
            press()


@pytest.mark.parametrize("error", [None, ValueError])
def test_after_it_ctrl_c_is_as_before(error: type[Exception] | None) -> None:
    before = signal.getsignal(signal.SIGINT)
    try:
        with postponed_interrupt():
            assert signal.getsignal(signal.SIGINT) is not before
            if error:
                raise error
    except ValueError:
        pass
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(KeyboardInterrupt):
        press()


def test_other_threads_have_no_signals_and_are_let_be() -> None:
    said: list[bool] = []

    def work() -> None:
        with postponed_interrupt() as interrupted:
            said.append(interrupted())

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert said == [False]
    assert signal.getsignal(signal.SIGINT) is before
