"""Whether a shortcut may be used on a model: it is tried, and whatever goes wrong means that it may not."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import torch

from chronofacts.editing.models.library_errors import first_line

__all__ = ["works"]

log = logging.getLogger("chronofacts.forward")

_told: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()


def works(model: Any, what: str, attempt: Callable[[], bool]) -> bool:
    """Whether a shortcut, tried on this model, gives what it should. An error of any kind means that it does not.

    what: its name in the log, which says once of each model that it is read without it. Raises torch.OutOfMemoryError.
    """
    try:
        return attempt()
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # each family fails in its own way
        own = model.get_base_model() if hasattr(model, "get_base_model") else model
        if what not in _told.setdefault(own, set()):
            _told[own].add(what)
            log.info("%s is read without a shortcut, %s (%s)", type(own).__name__, what, first_line(error))
        return False
