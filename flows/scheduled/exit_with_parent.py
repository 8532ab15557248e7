"""Run a module as a program that ends with the process that started it, however that ends: SIGKILL too.

Usage: python -P exit_with_parent.py MODULE [WORDS…], with a pipe as standard input that the parent keeps open.
It imports nothing of ours, so that a server starts as fast as by itself.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
import time

_GRACE_S = 2.0


def end_with_parent() -> None:
    """Wait until nobody holds the other end of standard input, then end this process, in good order if it can."""
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE_S)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    threading.Thread(target=end_with_parent, daemon=True).start()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
