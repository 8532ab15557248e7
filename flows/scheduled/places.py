"""Where a deployed run may read and write: at the places that its deployment names, and at no other.

Whoever reaches the API of a server can start a run with parameters of their own, and would otherwise choose to which
Hub the token goes, and which folders are written. `serve` names its places in the environment of the runs; a worker
takes those that the deployment has.
"""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Mapping
from typing import Any

from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext

from chronofacts.schemas.errors import BadInput

__all__ = ["PLACES", "SERVED", "check_places", "describe_places"]

PLACES = ("store", "runs", "raw", "repo", "endpoint")
"""Parameters of the scheduled flows that name a folder, a store, a repository or a Hub."""
SERVED = "CHRONOFACTS_SERVED"
"""Environment variable of the runs of `serve`: its places, as JSON."""


def describe_places(parameters: Mapping[str, Any]) -> str:
    """What `serve` puts into the environment of its runs."""
    return json.dumps({name: parameters[name] for name in PLACES if name in parameters}, default=str)


def check_places() -> None:
    """Raises BadInput for a run of a deployment that names another place than was configured; called inside a flow."""
    context = FlowRunContext.get()
    if context is None or context.flow is None or context.flow_run is None or context.flow_run.deployment_id is None:
        return  # called from Python: whoever does that may do everything
    served = os.environ.get(SERVED)
    if served is not None:
        configured = json.loads(served)
    else:
        with get_client(sync_client=True) as client:
            configured = client.read_deployment(context.flow_run.deployment_id).parameters
    given = context.parameters or {}
    for name, parameter in inspect.signature(context.flow.fn).parameters.items():
        if name not in PLACES:
            continue
        default = None if parameter.default is inspect.Parameter.empty else parameter.default
        allowed, wanted = configured.get(name, default), given.get(name, default)
        if _spell(wanted) != _spell(allowed):
            raise BadInput(
                f"{name}={wanted!r} is not where this deployment works ({name}={allowed!r}); a run may not choose its "
                "places: change them in prefect.yaml and deploy again, or start `chronofacts serve` with --set"
            )


def _spell(place: Any) -> str:
    return "" if place is None else str(place)
