"""The scheduled deployments: prefect.yaml declares what the flows take, described, limited, and told on failure."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import Flow
from prefect.client.schemas.schedules import construct_schedule
from prefect.exceptions import ParameterTypeError
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema

from chronofacts.flows.months import retry_endpoint
from chronofacts.pipeline.sources.sparql.http_policy import EndpointFailed
from chronofacts.schemas.errors import BadInput

ROOT = Path(__file__).resolve().parents[3]
DEPLOYMENTS = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]


def flow_of(deployment: dict[str, Any]) -> Flow[..., Any]:
    found: Flow[..., Any] = load_flow_from_entrypoint(deployment["entrypoint"], use_placeholder_flow=False)
    return found


def test_refresh_publication_experiments_and_backfill_are_deployed_apart() -> None:
    assert [one["name"] for one in DEPLOYMENTS] == ["refresh", "publication", "experiments", "backfill"]


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda one: one["name"])
class TestDeployment:
    def test_its_parameters_are_the_flows_own(self, deployment: dict[str, Any]) -> None:
        flow = flow_of(deployment)
        schema = parameter_schema(flow.fn)
        assert set(deployment["parameters"]) <= set(schema.properties)
        assert set(schema.required) <= set(deployment["parameters"])

    def test_every_parameter_is_typed_and_described_in_the_ui(self, deployment: dict[str, Any]) -> None:
        for name, told in parameter_schema(flow_of(deployment).fn).properties.items():
            assert len(told.get("description", "")) > 5, name
            assert "type" in told or "anyOf" in told, name

    def test_it_runs_alone_in_time_and_tells_of_failure(self, deployment: dict[str, Any]) -> None:
        flow = flow_of(deployment)
        assert deployment["concurrency_limit"] == {"limit": 1, "collision_strategy": "CANCEL_NEW"}
        assert flow.timeout_seconds and flow.on_failure_hooks and flow.on_crashed_hooks
        for schedule in deployment["schedules"]:
            assert construct_schedule(cron=schedule["cron"], timezone=schedule["timezone"])
        assert deployment["schedules"] or deployment["name"] == "backfill"

    def test_its_parameters_are_valid_as_json(self, deployment: dict[str, Any]) -> None:
        """As the UI sends them; a day that is none is refused before anything runs."""
        flow = flow_of(deployment)
        assert flow.should_validate_parameters
        flow.validate_parameters(deployment["parameters"])
        if "as_of" in parameter_schema(flow.fn).properties:
            with pytest.raises(ParameterTypeError, match="as_of"):
                flow.validate_parameters({**deployment["parameters"], "as_of": "2024-13-31"})


def test_the_examples_with_git_and_docker_name_steps_and_parameters_that_there_are() -> None:
    page = (ROOT / "docs" / "deployments.md").read_text(encoding="utf-8")
    shown = [yaml.safe_load(text) for text in re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)]
    assert len(shown) == 2
    (step,) = shown[0]["pull"]
    ((name, words),) = step.items()
    module, _, function = name.rpartition(".")
    assert set(words) <= set(inspect.signature(getattr(importlib.import_module(module), function)).parameters)
    (deployment,) = shown[1]["deployments"]
    flow_of(deployment).validate_parameters(deployment["parameters"])


def test_an_endpoint_that_fails_is_asked_again_later_and_wrong_use_is_not() -> None:
    waited: list[float] = []
    answers: list[Exception] = [EndpointFailed("busy"), EndpointFailed("still busy")]

    def work() -> str:
        if answers:
            raise answers.pop(0)
        return "done"

    assert retry_endpoint(work, (1, 10, 60), waited.append) == "done"
    assert waited == [60, 600]
    answers = [BadInput("wrong"), EndpointFailed("busy")]
    with pytest.raises(BadInput):
        retry_endpoint(work, (1, 10), waited.append)
    answers = [EndpointFailed("busy")] * 3
    with pytest.raises(EndpointFailed):
        retry_endpoint(work, (1, 10), waited.append)
