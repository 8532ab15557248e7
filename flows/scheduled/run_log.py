"""Our log lines in the log of a Prefect run.

A worker has imported Prefect, and set up its logging, before it loads a flow of ours: PREFECT_LOGGING_EXTRA_LOGGERS
comes too late there, and would leave the level at warnings.
"""

from __future__ import annotations

import logging

from prefect.logging.handlers import APILogHandler
from prefect.settings import PREFECT_LOGGING_LEVEL, PREFECT_LOGGING_TO_API_ENABLED

__all__ = ["send_logs"]


def send_logs() -> None:
    """Send what our loggers say to the run that is at work, at the level of Prefect's own; safe to repeat."""
    logger = logging.getLogger("chronofacts")
    logger.setLevel(PREFECT_LOGGING_LEVEL.value() or "INFO")
    if PREFECT_LOGGING_TO_API_ENABLED.value() and not any(isinstance(one, APILogHandler) for one in logger.handlers):
        logger.addHandler(APILogHandler())
