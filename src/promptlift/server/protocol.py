"""uvicorn's HTTP/1.1 protocol with a limit on the time of a request's head.

Without one a client that sends a byte of a header now and then holds a connection for ever.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

__all__ = ["patient_protocol"]


class _PatientProtocol(H11Protocol):
    """Closes a connection whose next request is not there in time, or that is one too many."""

    seconds = 15.0
    most = 4000
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a head."""
        super().connection_made(transport)
        if len(self.connections) > self.most:
            transport.close()
            return
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Take in bytes; stop waiting once they make a request."""
        super().data_received(data)
        if self._under_way():
            self._stop_waiting()

    def on_response_complete(self) -> None:
        """Wait for the next head."""
        super().on_response_complete()
        if not self.transport.is_closing() and not self._under_way():
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer with the connection."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _under_way(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def _wait(self) -> None:
        self._stop_waiting()
        self._timer = self.loop.call_later(self.seconds, self._give_up)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        if not self._under_way():
            self.transport.close()


def patient_protocol(seconds: float, connections: int) -> type[asyncio.Protocol]:
    """The protocol with its limits.

    Args:
        seconds: For the head of a request, from the connection or the end of the request before.
        connections: The most that are open at once.
    """
    limits: dict[str, Any] = {"seconds": seconds, "most": connections}
    return type("PatientProtocol", (_PatientProtocol,), limits)
