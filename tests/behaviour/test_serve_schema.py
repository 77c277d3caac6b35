"""The server against its own OpenAPI document: whatever fits it or does not, it answers by it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from promptlift.testing import synthetic_video
from stubs.served import Served

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that may read one folder, and takes any number of requests."""
    folder = tmp_path_factory.mktemp("schema")
    shared = folder / "shared"
    shared.mkdir()
    synthetic_video(shared / "clip.mp4", seconds=0.5, size=(160, 90))
    with Served(folder / "data", allow_paths=[str(shared)], rate=0) as served:
        yield served


OPERATIONS = [
    *("POST /v1/upsample", "POST /v1/uploads", "GET /v1/uploads/{upload_id}"),
    *("DELETE /v1/uploads/{upload_id}", "POST /v1/jobs", "GET /v1/jobs", "GET /v1/jobs/{job_id}"),
    *("DELETE /v1/jobs/{job_id}", "GET /v1/jobs/{job_id}/events", "POST /v1/budget"),
    *("POST /v1/facts", "POST /v1/hints", "GET /v1/records/{key}", "GET /v1/engine"),
    "GET /v1/engines",
    *("POST /v1/engine/sleep", "POST /v1/engine/wake", "GET /healthz", "GET /readyz"),
    "GET /metrics",
]


@pytest.fixture(scope="module")
def operations(server: Served) -> dict[str, Any]:
    """The operations of the document that the server gives."""
    document = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    found: list[Any] = [result.ok() for result in list[Any](document.get_all_operations())]
    return {one.label: one for one in found}


def test_the_document_has_these_operations(operations: dict[str, Any]) -> None:
    """Each of them is tested below."""
    assert sorted(operations) == sorted(OPERATIONS)


@pytest.mark.parametrize("label", OPERATIONS)
@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode), ids=lambda mode: mode.value)
def test_the_server_keeps_to_its_document(
    operations: dict[str, Any], label: str, mode: schemathesis.GenerationMode
) -> None:
    """No request breaks it, and each answer is one that the document names for its route."""
    strategy = operations[label].as_strategy(generation_mode=mode)

    @settings(
        max_examples=4,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategy)
    def ask(case: schemathesis.Case[Any]) -> None:
        case.call_and_validate(checks=CHECKS)

    try:
        ask()
    except Unsatisfiable:
        pytest.skip("there is nothing that could be wrong with this request")
