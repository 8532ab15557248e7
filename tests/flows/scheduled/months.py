"""Days of monthly runs, and one relation that changes in each."""

from __future__ import annotations

import datetime

FEW = ("head_of_state",)

SINCE, FIRST, SECOND = (datetime.date.fromisoformat(day) for day in ("2021-01-01", "2024-11-30", "2024-12-31"))
