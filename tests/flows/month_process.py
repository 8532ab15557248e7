"""One monthly run in a process of its own, so that it can be killed: python -m tests.flows.month_process '{…}'

The clock stands still, so that what two runs make can be compared byte by byte.
"""

from __future__ import annotations

import datetime
import functools
import json
import sys
import time


def main() -> None:
    from flows.environment import quiet_flows

    asked = json.loads(sys.argv[1])
    noon = datetime.datetime.fromisoformat(asked.pop("clock"))
    with quiet_flows():
        import flows.refresh
        from flows.monthly import monthly
        from pipeline.sources.live import open_live
        from pipeline.sources.politeness import Clock

        clock = Clock(lambda: noon, time.monotonic, time.sleep)
        flows.refresh.open_live = functools.partial(open_live, clock=clock)
        days = {name: datetime.date.fromisoformat(asked.pop(name)) for name in ("since", "as_of")}
        print(json.dumps(monthly(**days, **asked)))


if __name__ == "__main__":
    main()
