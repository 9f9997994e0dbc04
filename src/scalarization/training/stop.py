"""When a job has to stop: a signal, or its time limit."""

from __future__ import annotations

import signal
import time
from types import FrameType


class Stop:
    """Asked at every step whether the job should save its state and leave.

    Args:
        time_limit: Seconds from now after which the job must have left; None: no limit.
        margin: Seconds before the limit in which a job saves and leaves.
    """

    SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)

    def __init__(self, time_limit: float | None = None, margin: float = 30.0) -> None:
        self._deadline = None if time_limit is None else time.monotonic() + max(0.0, time_limit - margin)
        self._signal: int | None = None

    def listen(self) -> None:
        """From now on take note of SIGTERM, SIGINT and SIGUSR1 instead of dying of them."""
        for number in self.SIGNALS:
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._signal = number

    @property
    def reason(self) -> str | None:
        """Why to stop, or None."""
        if self._signal is not None:
            return f"received {signal.Signals(self._signal).name}"
        if self._deadline is not None and time.monotonic() >= self._deadline:
            return "the time limit is near"
        return None
