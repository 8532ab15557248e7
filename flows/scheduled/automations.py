"""Automations of a Prefect server that tell a webhook of what no run can tell itself: it crashed, was cancelled, or
nobody has begun it. With CHRONOFACTS_WEBHOOK set: python -m chronofacts.flows.scheduled.automations

The hooks of the flows tell the same webhook of runs that fail while a worker looks after them; these automations are
the server's own, so that they also tell of a worker that is gone. Safe to repeat: what is there is replaced.
"""

from __future__ import annotations

import datetime
import json
import os
import sys
from typing import Any

from prefect.automations import Automation
from prefect.blocks.webhook import Webhook
from prefect.events.actions import CallWebhook
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from pydantic import SecretStr

from chronofacts.schemas.errors import BadInput, ChronoFactsError

__all__ = ["SCHEDULED_FLOWS", "create_automations"]

SCHEDULED_FLOWS = ("monthly", "publication", "experiments", "backfill")
BLOCK = "chronofacts-webhook"
_ENDINGS = {"Crashed": "crashed", "Cancelled": "was cancelled", "Late": "is late: no worker has begun it"}
"""State of a run -> what is told of it."""


def create_automations(webhook: str) -> list[str]:
    """Make one automation for each ending of our scheduled flows, on the server of the settings; their names.

    webhook: an address that takes JSON with a `text`; it is kept as a secret of the server.
    """
    block = Webhook(method="POST", url=SecretStr(webhook)).save(BLOCK, overwrite=True)
    return [_create(state, told, block) for state, told in _ENDINGS.items()]


def _create(state: str, told: str, block: object) -> str:
    name = f"chronofacts: a run {told.partition(':')[0]}"
    text = f"{{{{ flow.name }}}} {{{{ flow_run.name }}}} {told}"
    made = Automation(
        name=name,
        description=f"Tells the webhook of the block {BLOCK} of runs in the state {state}.",
        trigger=EventTrigger(
            expect={f"prefect.flow-run.{state}"},
            match_related=ResourceSpecification(
                {"prefect.resource.role": "flow", "prefect.resource.name": [*SCHEDULED_FLOWS]}
            ),
            for_each={"prefect.resource.id"},
            posture=Posture.Reactive,
            threshold=1,
            within=datetime.timedelta(0),
        ),
        actions=[CallWebhook(block_document_id=block, payload=json.dumps({"text": text}))],  # type: ignore[arg-type]
    )
    try:
        known: Any = Automation.read(name=name)
    except ValueError:
        made.create()
    else:
        made.id = known.id
        made.update()
    return name


def main() -> int:
    from chronofacts.flows.scheduled.monthly import WEBHOOK

    try:
        address = os.environ.get(WEBHOOK, "")
        if not address.startswith(("http://", "https://")):
            raise BadInput(f"set {WEBHOOK} to the address that is to be told, https://…")
        print("\n".join(create_automations(address)))
    except ChronoFactsError as error:
        print(f"automations: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
