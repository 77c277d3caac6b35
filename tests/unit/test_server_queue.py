"""The queue that takes clients in turn, and the events of a job."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from promptlift.server.errors import Refusal
from promptlift.server.events import Event, Feed, as_sse
from promptlift.server.queue import FairQueue


class Desk:
    """Work that notes when it is begun, and ends when it is let."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.gate = asyncio.Event()

    def work(self, name: str) -> Callable[[], Coroutine[Any, Any, str]]:
        """A piece of work of that name."""

        async def do() -> str:
            self.begun.append(name)
            await self.gate.wait()
            return name

        return do


async def settled() -> None:
    """Let everything run that can."""
    for _ in range(10):
        await asyncio.sleep(0)


def test_clients_are_served_in_turn() -> None:
    """One who sent a hundred does not hold up one who sent a single piece."""

    async def scene() -> list[str]:
        desk, queue = Desk(), FairQueue(1000, 1)
        tickets = [queue.submit("many", desk.work(f"many {n}")) for n in range(100)]
        tickets.append(queue.submit("one", desk.work("one")))
        tickets.append(queue.submit("two", desk.work("two a")))
        tickets.append(queue.submit("two", desk.work("two b")))
        desk.gate.set()
        await asyncio.gather(*(ticket.done for ticket in tickets))
        return desk.begun

    begun = asyncio.run(scene())
    assert begun[:7] == ["many 0", "many 1", "one", "two a", "many 2", "two b", "many 3"]
    assert len(begun) == 103


def test_no_more_run_than_there_are_workers() -> None:
    """And all are done in the end."""

    async def scene() -> None:
        desk, queue = Desk(), FairQueue(100, 3)
        tickets = [queue.submit("a", desk.work(str(n))) for n in range(10)]
        await settled()
        assert (queue.running, queue.waiting, len(desk.begun)) == (3, 7, 3)
        desk.gate.set()
        assert [await ticket.done for ticket in tickets] == [str(n) for n in range(10)]
        await settled()
        assert queue.idle

    asyncio.run(scene())


def test_a_full_queue_says_when_to_come_again() -> None:
    """429 with the seconds; who has nothing waiting may still put in one piece."""

    async def scene() -> None:
        desk, queue = Desk(), FairQueue(4, 1)
        for n in range(5):
            queue.submit("a", desk.work(str(n)))
        with pytest.raises(Refusal) as caught:
            queue.submit("a", desk.work("too many"))
        assert caught.value.status_code == 429
        assert caught.value.headers is not None
        assert int(caught.value.headers["Retry-After"]) >= 1
        queue.submit("b", desk.work("newcomer"))
        with pytest.raises(Refusal):
            queue.submit("c", desk.work("one newcomer too many"))
        queue.submit("c", desk.work("accepted before"), force=True)
        assert queue.waiting == 6
        desk.gate.set()
        await settled()
        assert "too many" not in desk.begun
        assert "accepted before" in desk.begun

    asyncio.run(scene())


def test_what_is_cancelled_is_not_begun_or_ends() -> None:
    """Waiting or running; the place is free for the next."""

    async def scene() -> None:
        desk, queue = Desk(), FairQueue(10, 1)
        running, waiting, last = (queue.submit("a", desk.work(n)) for n in "rwl")
        await settled()
        queue.cancel(waiting)
        queue.cancel(running)
        await settled()
        assert running.done.cancelled()
        assert waiting.done.cancelled()
        assert desk.begun == ["r", "l"]
        desk.gate.set()
        assert await last.done == "l"
        queue.cancel(last)
        assert last.done.result() == "l"

    asyncio.run(scene())


def test_a_deadline_counts_the_waiting_too() -> None:
    """Whether it waits or runs then, it ends with 504."""

    async def scene() -> None:
        desk, queue = Desk(), FairQueue(10, 1)
        tickets = [queue.submit("a", desk.work(str(n)), seconds=0.05) for n in range(2)]
        for ticket in tickets:
            with pytest.raises(Refusal) as caught:
                await ticket.done
            assert caught.value.status_code == 504
        assert desk.begun == ["0"]
        await settled()
        assert queue.idle
        desk.gate.set()
        assert await queue.submit("a", desk.work("2"), seconds=60).done == "2"

    asyncio.run(scene())


@pytest.mark.parametrize("late", [False, True], ids=["cancelled", "too late"])
def test_what_ends_in_the_moment_of_its_turn_gives_up_its_place(late: bool) -> None:
    """A piece that is ended between being taken and its first step is answered like any other."""

    async def scene() -> None:
        desk, queue = Desk(), FairQueue(10, 1)
        first = queue.submit("a", desk.work("first"))
        await settled()
        second = queue.submit("a", desk.work("second"), seconds=60)
        third = queue.submit("a", desk.work("third"))
        first.cancel()
        while second.task is None:
            await asyncio.sleep(0)
        if late:
            queue._expire(second)
            with pytest.raises(Refusal) as refused:
                await asyncio.wait_for(second.done, 20)
            assert refused.value.failure.code == "deadline"
        else:
            second.cancel()
            await asyncio.wait([second.done], timeout=20)
            assert second.done.cancelled()
        desk.gate.set()
        assert await asyncio.wait_for(third.done, 20) == "third"
        assert desk.begun == ["first", "third"]
        assert queue.idle

    asyncio.run(scene())


def test_an_error_is_the_callers() -> None:
    """It is raised where the work is waited for, and the queue goes on."""

    async def fails() -> None:
        raise ValueError("broken")

    async def scene() -> None:
        desk, queue = Desk(), FairQueue(10, 1)
        desk.gate.set()
        bad, good = queue.submit("a", fails), queue.submit("a", desk.work("good"))
        with pytest.raises(ValueError, match="broken"):
            await bad.done
        assert await good.done == "good"

    asyncio.run(scene())


def test_stopping_lets_what_runs_end_and_begins_nothing() -> None:
    """Within the grace; after it the rest is cancelled, and nothing new is taken."""

    async def scene() -> None:
        desk, queue = Desk(), FairQueue(10, 1)
        running, waiting = (queue.submit("a", desk.work(n)) for n in "rw")
        await settled()
        asyncio.get_running_loop().call_later(0.05, desk.gate.set)
        await queue.stop(grace=30)
        assert running.done.result() == "r"
        assert waiting.done.cancelled()
        with pytest.raises(Refusal) as caught:
            queue.submit("a", desk.work("late"))
        assert caught.value.status_code == 503

        desk, queue = Desk(), FairQueue(10, 1)
        stuck = queue.submit("a", desk.work("stuck"))
        await settled()
        await queue.stop(grace=0.01)
        assert stuck.done.cancelled()

    asyncio.run(scene())


def test_events_are_told_to_those_who_join_late() -> None:
    """From the beginning, from the middle, and while they come."""

    async def scene() -> None:
        feed = Feed()
        feed.tell("queued", {"waiting": 0})
        feed.tell("stage", {"stage": "survey"})

        async def followed(after: int) -> list[int]:
            return [event.number async for event in feed.follow(after) if event is not None]

        followers = [asyncio.create_task(followed(after)) for after in (0, 1, 7, -3)]
        await settled()
        feed.tell("text", {"text": "a"})
        await settled()
        feed.close()
        feed.tell("stage", {"stage": "too late"})
        assert await asyncio.gather(*followers) == [[1, 2, 3], [2, 3], [], [1, 2, 3]]
        assert feed.last == 4
        assert await followed(0) == []

    asyncio.run(scene())


def test_what_nobody_can_follow_is_not_kept() -> None:
    """A request that waits for its record costs no events; one that streams has them all."""
    feed = Feed(followed=False)
    feed.tell("text", {"text": "a"})
    assert feed.last == 1


def test_an_event_is_one_block_whatever_it_holds() -> None:
    """Line breaks of a text are escaped by JSON, so that nobody can forge an event."""
    feed = Feed()
    feed.tell("text", {"text": "a\n\nevent: record\ndata: {}\r\n"})

    async def scene() -> bytes:
        feed_events = feed.follow()
        event = await anext(feed_events)
        await feed_events.aclose()  # type: ignore[attr-defined]
        return as_sse(event)

    block = asyncio.run(scene())
    assert block.count(b"\n") == 4
    assert block.endswith(b"\n\n")
    assert as_sse(Event(3, "stage", "{}")) == b"id: 3\nevent: stage\ndata: {}\n\n"
    assert as_sse(None).startswith(b":")


def test_a_draft_is_told_to_each_reader_in_pieces_of_its_own() -> None:
    """A slow one gets what it missed as one piece; a new attempt voids what was told."""

    async def scene() -> None:
        feed = Feed()
        feed.tell("stage", {"stage": "ask"})
        slow, quick = feed.follow(), feed.follow()

        async def told(reader: AsyncIterator[Event | None]) -> tuple[int, str, Any]:
            event = await anext(reader)
            assert event is not None
            return event.number, event.name, json.loads(event.data)

        assert await told(slow) == await told(quick) == (1, "stage", {"stage": "ask"})
        feed.write(None)
        feed.write("A ")
        assert await told(quick) == (0, "attempt", {"number": 1})
        assert await told(quick) == (0, "piece", {"piece": "A "})
        feed.write("red ")
        assert await told(quick) == (0, "piece", {"piece": "red "})
        feed.write("cup")
        assert await told(slow) == (0, "attempt", {"number": 1})
        assert await told(slow) == (0, "piece", {"piece": "A red cup"})
        feed.write(None)
        feed.write("A cup")
        for reader in (slow, feed.follow(1)):
            assert await told(reader) == (0, "attempt", {"number": 2})
            assert await told(reader) == (0, "piece", {"piece": "A cup"})
        feed.end_draft()
        feed.tell("text", {"text": "A cup."})
        for reader in (slow, quick):
            assert await told(reader) == (2, "text", {"text": "A cup."})
        feed.close()
        assert [event async for event in slow] == []
        feed.write("too late")
        assert [event async for event in feed.follow()] == []
        assert feed.last == 3

    asyncio.run(scene())


def test_a_reader_misses_nothing_that_is_told_while_it_is_slow() -> None:
    """Events that come between two of its reads are told, also where the feed ends meanwhile."""

    async def scene() -> list[int]:
        feed = Feed()
        feed.tell("stage", {})
        reader = feed.follow()
        first = await anext(reader)
        feed.tell("stage", {})
        feed.tell("text", {})
        feed.close()
        rest = [event async for event in reader]
        return [event.number for event in (first, *rest) if event is not None]

    assert asyncio.run(scene()) == [1, 2, 3]
    assert as_sse(Event(0, "piece", "{}")) == b"event: piece\ndata: {}\n\n"
