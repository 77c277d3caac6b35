"""A server of the same API that fails: by chance, and for good where the request asks for it.

What it answers to a request is a function of the request's text and pictures, and so is a refusal
that no other try changes. What may pass (an overload, a reset, a hang) comes by chance, from a
seed. So the results of two runs can be compared, whatever went wrong on the way.

Every chat request is written to a log the moment it comes and the moment it is answered, in
single writes, so that the log holds whatever becomes of the client.

As a process of its own, with `tests` on the path: the base URL is its first line of output; each
line of input is a `Plan` as JSON, answered with a line; it ends with its standard input::

    python -m fault.server
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar, cast

from stubs.openai_checks import Asked
from stubs.openai_server import Fault, Handler, StubServer, error_body

__all__ = [
    "CHANCES",
    "REFUSED",
    "REJECTED",
    "REPAIRED",
    "Event",
    "FaultServer",
    "Plan",
]

CHANCES: Mapping[str, float] = {
    "429:0": 0.03,
    "503:0": 0.01,
    "500": 0.03,
    "502": 0.01,
    "reset": 0.03,
    "short": 0.01,
    "garbage": 0.02,
    "html": 0.01,
    "json": 0.01,
    "no-choices": 0.01,
}
"""Shares of the chat requests that each of these befalls, each of which may pass."""

_SENTENCES = (
    "The scene unfolds at an even pace, and nothing hurries past.",
    "A low wall runs along the far side, and a path leads up to it.",
    "Behind it stand a few trees whose leaves stir now and then.",
    "Fine dust hangs over the ground and settles again.",
    "A wooden bench stands at the side with a folded cloth on it.",
    "Small stones lie scattered about, smooth and round.",
)
_TAKE = re.compile(r"take (\d+)")
REFUSED, REJECTED, REPAIRED = 8, 6, 7
"""Takes that end in these digits are refused by the API, or by the model, or get chatter."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What goes wrong, and where it is noted.

    Attributes:
        seed: Of what comes by chance.
        chances: Share of requests by fault, as `Fault.parse` reads it.
        delay: Seconds that an answer takes.
        log: File that is added to; empty for none.
        mended: Whether nothing is refused or answered badly any more.
    """

    seed: int = 0
    chances: Mapping[str, float] = field(default_factory=dict)
    delay: float = 0.0
    log: str = ""
    mended: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the log.

    Attributes:
        kind: ``in`` where a request came, ``out`` where it was answered, ``fault`` where
            something befell it.
        at: Seconds since 1970.
        number: Of the request, from 1.
        take: The number in its short prompt, which names the item; None in a client's probe.
        request: Digest of its text and pictures.
        seed: Of its sampling; another for each try to get a better answer.
        what: The status or the fault.
    """

    kind: str
    at: float
    number: int
    take: int | None
    request: str
    seed: int
    what: str = ""


class FaultHandler(Handler):
    """One connection; notes what comes and what is answered."""

    _request = ""

    @property
    def faulty(self) -> FaultServer:
        """Whose connection it is."""
        return cast("FaultServer", self.stub)

    def _note(self, body: Any, asked: Asked | None = None) -> None:
        if asked is not None:
            self._request = _digest(body["messages"])

    def _chat(self, asked: Asked) -> None:
        stub = self.faulty
        take = take_of(asked.text)
        came = Event("in", time.time(), stub.number(), take, self._request, asked.seed)
        stub.note(came)
        fault = stub.next_fault() if take is not None else None
        if fault is not None:
            stub.note(
                replace(came, kind="fault", at=time.time(), what=f"{fault.kind} {fault.status}")
            )
            self._fail(fault)
            return
        time.sleep(stub.plan.delay)
        status, page = stub.settled(asked, self._request)
        self._send(status, page)
        stub.note(replace(came, kind="out", at=time.time(), what=str(status)))


class FaultServer(StubServer):
    """See the module.

    Args:
        plan: What goes wrong; may be changed at any time.
    """

    handler: ClassVar[type[Handler]] = FaultHandler

    def __init__(self, plan: Plan | None = None, **settings: Any) -> None:
        super().__init__(**settings)
        self.follow(plan or Plan())

    def follow(self, plan: Plan) -> None:
        """Go by another plan from now on."""
        with self.lock:
            self.plan = plan
            self.events: list[Event] = []
            self._random = random.Random(plan.seed)
            self._number = 0

    def next_fault(self) -> Fault | None:
        """What befalls this request: what it was told to, else what chance brings."""
        if self.faults:
            return super().next_fault()
        with self.lock:
            dice = self._random.random()
        for fault, share in self.plan.chances.items():
            dice -= share
            if dice < 0:
                return Fault.parse(fault)
        return None

    def number(self) -> int:
        """Number the requests."""
        with self.lock:
            self._number += 1
            return self._number

    def note(self, event: Event) -> None:
        """Keep an event, and write it to the log."""
        with self.lock:
            self.events.append(event)
            if self.plan.log:
                with open(self.plan.log, "ab", buffering=0) as log:  # noqa: PTH123
                    log.write(json.dumps(asdict(event)).encode() + b"\n")

    def settled(self, asked: Asked, request: str) -> tuple[int, dict[str, Any]]:
        """What this request is always answered with."""
        if turn(asked.text, REFUSED) and not self.plan.mended:
            return 400, error_body(400, "The request is refused, as it always will be.")
        status, page = self.answer(asked)
        text = text_for(asked.text, request, mended=self.plan.mended)
        page["choices"][0]["message"]["content"] = text
        return status, page

    @property
    def asked(self) -> list[int]:
        """The items that were asked for, in the order of their requests."""
        with self.lock:
            events = [event for event in self.events if event.kind == "in"]
        return [event.take for event in events if event.take is not None]


def take_of(text: str) -> int | None:
    """The number in a short prompt, which names the item; None in a probe of the client's."""
    found = _TAKE.search(text)
    return int(found[1]) if found else None


def turn(text: str, digit: int) -> bool:
    """Whether the item's number ends in a digit."""
    take = take_of(text)
    return take is not None and take % 10 == digit


def text_for(text: str, request: str, *, mended: bool = False) -> str:
    """The answer to a request: a paragraph, now and then with what the review strips or refuses."""
    if turn(text, REJECTED) and not mended:
        return "I'm sorry, but I can't help with that request."
    order = random.Random(request).sample(_SENTENCES, 3)
    short = text.strip().rstrip(".")
    made = f"{short[:1].upper()}{short[1:]}. {' '.join(order)}"
    return f"Here is the upsampled prompt:\n\n{made}" if turn(text, REPAIRED) else made


def _digest(messages: object) -> str:
    words = json.dumps(messages, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(words.encode()).hexdigest()[:16]


def main() -> None:
    """Serve, and go by the plans that come in, until standard input ends."""
    with FaultServer() as server:
        print(server.base_url, flush=True)
        for line in sys.stdin:
            server.follow(Plan(**json.loads(line)))
            print("ok", flush=True)


if __name__ == "__main__":
    main()
