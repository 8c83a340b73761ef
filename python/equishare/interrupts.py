"""Ctrl-C while modules are loaded: one line and an exit code, at every moment."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

#: As shells tell that a program was ended by SIGINT.
INTERRUPTED = 130


@contextmanager
def loading() -> Iterator[None]:
    """Within the block Ctrl-C ends the process at once, with one line on stderr and exit code 130.

    An exception would not do: what is raised in the middle of an import is swallowed by one module, printed by another
    and turned into an ImportError by a third. While modules are loaded there is nothing to clean up. Does nothing
    outside of the main thread, or where somebody else handles the signal or ignores it.
    """
    is_ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if not is_ours:
        yield
        return
    signal.signal(signal.SIGINT, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(number: int, frame: Any) -> None:
    os.write(2, b"equishare: interrupted\n")
    os._exit(INTERRUPTED)
