"""The server against its own document, and against paths in every field of every route."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from pydantic import BaseModel
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from promptlift.server.schemas import BudgetRequest, FactsRequest, HintsRequest, UpsampleRequest
from promptlift.testing import synthetic_video
from promptlift.web.routes import FORM_FIELDS
from stubs.served import Served

SECRET = "what-nobody-may-read"
ROUTES: dict[str, type[BaseModel]] = {
    "/v1/upsample": UpsampleRequest,
    "/v1/jobs": UpsampleRequest,
    "/v1/hints": HintsRequest,
    "/v1/facts": FactsRequest,
    "/v1/budget": BudgetRequest,
}
TEXTS = {"prompt", "instruction", "style", "page"}
"""What holds any text by its nature, and so is done."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a secret beside what may be read."""
    made = tmp_path_factory.mktemp("traversal")
    (made / "secret").write_text(SECRET)
    (made / "shared").mkdir()
    synthetic_video(made / "shared/clip.mp4", seconds=0.3, size=(64, 48), motion="static")
    return made


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Served]:
    """A server that may read the folder beside the secret."""
    shared = str(folder / "shared")
    with Served(folder / "data", allow_paths=[shared], rate=0, upload_bytes=1 << 20) as made:
        yield made


def ways_out(folder: Path) -> list[str]:
    """Names that lead to the secret, or would where they are taken for paths."""
    return [
        "../secret",
        str(folder / "secret"),
        "..%2fsecret",
        "..\\secret",
        "file://" + str(folder / "secret"),
    ]


def check(answer: Any, server: Served, folder: Path) -> None:
    """No secret, no trace of a place on this machine, and no defect."""
    text = answer.text
    assert answer.status_code < 500, text
    assert SECRET not in text
    for place in (server.data, folder / "shared"):
        assert str(place) not in text


@pytest.fixture
def untouched(server: Served, folder: Path) -> Iterator[None]:
    """Whatever is asked, nothing is there afterwards outside of the server's own folder."""

    def around() -> set[Path]:
        return {path for path in folder.rglob("*") if not path.is_relative_to(server.data)}

    before = around()
    yield
    assert around() == before
    assert (folder / "secret").read_text() == SECRET
    assert server.http.get("/readyz").status_code == 200


@pytest.mark.parametrize("route", ROUTES)
def test_every_field_of_the_api(server: Served, folder: Path, untouched: None, route: str) -> None:
    """As JSON and as a form, each field alone, with a video that is all right."""
    upload = server.upload(folder / "shared/clip.mp4")
    for field in ROUTES[route].model_fields:
        for bad in ways_out(folder):
            body = {"upload_id": upload, field: bad}
            if field == "path":
                del body["upload_id"]
            form = {name: (None, value) for name, value in body.items()}
            for answer in (server.http.post(route, json=body), server.http.post(route, files=form)):
                check(answer, server, folder)
                if field not in TEXTS:
                    assert answer.status_code in (404, 422), (field, bad, answer.text)


def test_every_field_of_the_page(server: Served, folder: Path, untouched: None) -> None:
    """One video, a comparison, and rows of a batch with their names of videos."""
    upload = server.upload(folder / "shared/clip.mp4")
    for bad in ways_out(folder):
        for field in FORM_FIELDS:
            fields = {"upload_id": upload, field: bad}
            for answer in (
                server.http.post("/page/jobs", data=fields),
                server.http.post(
                    "/page/compare",
                    data={**fields, "a.on": "1", "b.on": "1", f"a.{field}": bad, "b.seed": "1"},
                ),
            ):
                check(answer, server, folder)
        rows = [{"video": bad}, {"video": "clip.mp4", "id": bad}, {"video": "clip.mp4", bad: bad}]
        for files in ({}, {"clip.mp4": bad}, {bad: upload, "secret": upload}):
            data = {
                "rows": "\n".join(map(json.dumps, rows)),
                "files": json.dumps(files),
                "name": bad,
            }
            answer = server.http.post("/page/batches", data=data)
            check(answer, server, folder)
            run = answer.headers["hx-push-url"].partition("=")[2]
            for form in ("records", "csv", "cosmos"):
                export = server.http.get(f"/page/batches/{run}/export", params={"form": form})
                assert "/" not in export.headers["content-disposition"]
                assert SECRET not in export.text


def test_every_name_in_an_address(server: Served, folder: Path, untouched: None) -> None:
    """Ids, names of files and of engines, searches, and the headers that hold a place."""
    upload = server.upload(folder / "shared/clip.mp4")
    job = server.http.post("/v1/jobs", json={"upload_id": upload}).json()["id"]
    for bad in ways_out(folder):
        whole = bad.replace("/", "%2f").replace("\\", "%5c")
        addresses = [f"{before}/{one}" for one in (bad, whole) for before in BEFORE]
        addresses += [f"/page/jobs/{job}/frames/0?count=2&size={whole}"]
        addresses += [f"{path}?{query}={whole}" for path, query in QUERIES]
        for address in addresses:
            check(server.http.get(address), server, folder)
        headers = {"last-event-id": bad.encode("ascii", "replace").decode()}
        check(server.http.get(f"/v1/jobs/{job}/events", headers=headers), server, folder)
        check(server.http.post(f"/page/examples/{whole}"), server, folder)


BEFORE = (
    *("/v1/uploads", "/v1/jobs", "/v1/records", "/page/static", "/page/clips", "/page/batches"),
    *("/page/jobs", "/page/static/vendor", ""),
)
QUERIES = (
    *(("/v1/engine", "engine"), ("/history", "q"), ("/compare", "jobs"), ("/batch", "run")),
    *(("/", "job"), ("/v1/jobs", "limit"), ("/page/compare", "jobs")),
)


CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
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
