"""When a job has to stop: a signal, or its time limit."""

from __future__ import annotations

import signal
import time
from types import FrameType


class GracefulShutdown:
    """Tells at every step whether the job should save its state and exit.

    Args:
        time_limit: Seconds from now after which the job must have exited; None: no limit.
        margin: Seconds before the limit at which a job begins to save and exit.
    """

    SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)

    def __init__(self, time_limit: float | None = None, margin: float = 30.0) -> None:
        self._deadline = None if time_limit is None else time.monotonic() + max(0.0, time_limit - margin)
        self._signal: int | None = None

    def install_handlers(self) -> None:
        """Record SIGTERM, SIGINT and SIGUSR1 from now on; without this they end the process at once."""
        for number in self.SIGNALS:
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
