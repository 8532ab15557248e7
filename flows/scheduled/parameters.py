"""Words of the command line as the typed parameters of a flow."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from prefect import Flow
from pydantic import TypeAdapter, ValidationError

from chronofacts.schemas.errors import BadInput

__all__ = ["read_parameters"]


def read_parameters(flow: Flow[..., Any], words: Mapping[str, str]) -> dict[str, Any]:
    """The words read by the types of the flow's signature; a list is written with commas.

    Raises BadInput naming a parameter that the flow has not, or whose value does not fit.
    """
    signature = inspect.signature(flow.fn, eval_str=True)
    parameters: dict[str, Any] = {}
    for name, text in words.items():
        if name not in signature.parameters:
            raise BadInput(f"{flow.name} has no parameter {name!r}; it has {', '.join(signature.parameters)}")
        kind = signature.parameters[name].annotation
        many = "Sequence" in str(kind)
        try:
            parsed = TypeAdapter(kind).validate_python([part.strip() for part in text.split(",")] if many else text)
        except ValidationError as error:
            raise BadInput(f"--set {name}={text!r} does not fit: {error.errors()[0]['msg']}") from None
        parameters[name] = parsed
    return parameters
