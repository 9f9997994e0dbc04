"""Entry point of ``python -m scalarization``."""

import os
import signal
import sys
from types import FrameType


def _end(number: int, frame: FrameType | None) -> None:
    """End at once with one line: an exception would be lost, or printed with a traceback, in a module's import.

    Files are written whole or not at all and jobs resume, so that nothing needs to be tidied up. Jobs that have a state
    to save take over from here (:class:`scalarization.training.shutdown.GracefulShutdown`).
    """
    os.write(2, b"interrupted; run the same command again to resume from what is saved\n")
    os._exit(128 + number)


def _run() -> int:
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else the caller ignores it: nohup, a script's &
        signal.signal(signal.SIGINT, _end)
    from scalarization.cli import main

    return main()


sys.exit(_run())
