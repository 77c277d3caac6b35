"""What is asked of a running engine besides answers: is it up, is it busy, sleep, wake."""

from __future__ import annotations

import http.client
import json
import secrets
import socket
from dataclasses import dataclass

from promptlift.engines.vllm.flags import HOST, dialect
from promptlift.engines.wire.metrics import total
from promptlift.errors import ConfigEngineError, TransientEngineError

__all__ = ["Activity", "Endpoint", "activity", "healthy", "new_endpoint", "serves", "sleep", "wake"]

_QUICK = 5.0
_SLOW = 600.0  # weights of tens of gigabytes come from the disk again
_REMEDY = "look at `promptlift engine logs`, or take it down and up again"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an engine listens, on loopback, and the key that it wants.

    Attributes:
        port: Its port.
        key: Its key, which is secret.
    """

    port: int
    key: str

    def __repr__(self) -> str:
        return f"Endpoint(port={self.port})"

    @property
    def base_url(self) -> str:
        """The address of its API."""
        return f"http://{HOST}:{self.port}/v1"

    def call(
        self, method: str, path: str, body: object = None, timeout: float = _QUICK
    ) -> tuple[int, str] | None:
        """Status and text of the answer; None where nobody answers. Never goes by a proxy."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=timeout)
        head = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body)
        try:
            connection.request(method, path, data, head)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()


@dataclass(frozen=True, slots=True)
class Activity:
    """What an engine is doing.

    Attributes:
        busy: Requests that are worked on or wait.
        done: Grows with every request; equal twice means nothing happened in between.
    """

    busy: int
    done: float


def new_endpoint() -> Endpoint:
    """A free port of loopback and a key that nobody can guess."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return Endpoint(probe.getsockname()[1], secrets.token_urlsafe(32))


def healthy(endpoint: Endpoint) -> bool:
    """Whether the engine behind the server works."""
    answer = endpoint.call("GET", "/health")
    return answer is not None and answer[0] == 200


def serves(endpoint: Endpoint, model: str) -> bool:
    """Whether it answers, to our key, that it has the model."""
    answer = endpoint.call("GET", "/v1/models")
    return answer is not None and answer[0] == 200 and json.dumps(model) in answer[1]


def activity(endpoint: Endpoint) -> Activity | None:
    """What it is doing, from its metrics; None where it does not answer."""
    answer = endpoint.call("GET", "/metrics")
    if answer is None or answer[0] != 200:
        return None
    return Activity(
        busy=int(total(answer[1], "num_requests_running", "num_requests_waiting") or 0),
        done=total(answer[1], "prompt_tokens_total", "request_success_total") or 0,
    )


def sleep(endpoint: Endpoint, level: int, version: str) -> None:
    """Have it give its GPU memory back, when what it works on is done.

    Args:
        endpoint: The engine.
        level: 1 keeps the weights in main memory, 2 drops them.
        version: Version of vLLM.

    Raises:
        ConfigEngineError: This version cannot wake from that level.
        TransientEngineError: It does not answer.
    """
    if level == 2 and not dialect(version).reload:
        raise ConfigEngineError(
            f"vLLM {version} cannot load the weights again after a sleep of level 2",
            remedy="use level 1, or a later vLLM",
        )
    _demand(endpoint, f"/sleep?level={level}&mode=wait")


def wake(endpoint: Endpoint, level: int) -> None:
    """Wake it from a sleep of that level.

    After level 2 the weights' memory comes first, then the weights, and only then the rest, so
    that no request sees a model without weights. Memory is asked for once: versions as old as
    0.9.2 map it again without looking. They also go on trusting the prefix cache, whose contents
    the sleep threw away; so it is emptied in any case.

    Raises:
        TransientEngineError: It does not answer.
    """
    if level == 2:
        _demand(endpoint, "/wake_up?tags=weights")
        _demand(endpoint, "/collective_rpc", {"method": "reload_weights"})
        _demand(endpoint, "/wake_up?tags=kv_cache")
    else:
        _demand(endpoint, "/wake_up")
    _demand(endpoint, "/reset_prefix_cache")


def _demand(endpoint: Endpoint, path: str, body: object = None) -> None:
    answer = endpoint.call("POST", path, body, _SLOW)
    what = path.partition("?")[0]
    if answer is None:
        raise TransientEngineError(f"the engine does not answer to {what}", remedy=_REMEDY)
    if answer[0] == 404:
        raise ConfigEngineError(
            "this engine was started without the ability to sleep",
            remedy="take it down, and up again without --no-sleep",
        )
    if answer[0] != 200:
        raise TransientEngineError(f"the engine answers {answer[0]} to {what}", remedy=_REMEDY)
