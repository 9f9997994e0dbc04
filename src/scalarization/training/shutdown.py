"""When a job has to stop: a signal, or its time limit."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any, ClassVar

from scalarization.errors import StoppedError


class GracefulShutdown:
    """Tells at every step whether the job should save its state and exit.

    A context: at its end, signals have the effect that they had before. One that nobody has acted on is not lost:
    SIGINT takes effect at once, another one stops the next job of this process.

    Args:
        time_limit: Seconds from now after which the job must have exited; None: no limit.
        margin: Seconds before the limit at which a job begins to save and exit.
    """

    SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
    _unheeded: ClassVar[int | None] = None

    def __init__(self, time_limit: float | None = None, margin: float = 30.0) -> None:
        self._deadline = None if time_limit is None else time.monotonic() + max(0.0, time_limit - margin)
        self._signal, GracefulShutdown._unheeded = GracefulShutdown._unheeded, None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> GracefulShutdown:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
        if kind is not None or self._signal is None:
            return
        if self._signal == signal.SIGINT:
            signal.raise_signal(self._signal)
        else:
            GracefulShutdown._unheeded = self._signal

    def install_handlers(self) -> None:
        """Record SIGTERM, SIGINT and SIGUSR1 from now on; without this they end the process at once.

        Python gives signals to the main thread alone, so a job of another thread is not stopped by them.
        """
        if threading.current_thread() is threading.main_thread():
            for number in self.SIGNALS:
                self._before.setdefault(number, signal.getsignal(number))
                signal.signal(number, self._record)

    def _record(self, number: int, frame: FrameType | None) -> None:
        self._signal = number

    @property
    def reason(self) -> str | None:
        """Why to stop, or None."""
        if self._signal is not None:
            return f"received {signal.Signals(self._signal).name}"
        if self._deadline is not None and time.monotonic() >= self._deadline:
            return "the time limit is near"
        return None

    def check(self) -> None:
        """Stop here if there is a reason to, where nothing is to be saved.

        Raises:
            StoppedError: There is one.
        """
        if reason := self.reason:
            raise StoppedError(f"{reason}; finished work is saved; run the same command again to resume")
