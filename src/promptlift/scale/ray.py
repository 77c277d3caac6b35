"""A run on Ray Data: rows from the desk, decoding in tasks, engines in a pool of actors.

The driver reads the input and sifts its rows, one task hands them on, and what became of them
streams back. Nothing is kept in Ray that a run needs: results are in the journal when they are
made, and the desk knows which rows are open, so that whatever Ray loses is handed out again.
"""

from __future__ import annotations

import logging
import os
import socket
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Self

import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy, DataContext, Dataset
from ray.util.annotations import RayDeprecationWarning
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from promptlift.batch.invocation import Invocation
from promptlift.engines.base import EngineInfo
from promptlift.errors import OptionError
from promptlift.scale.asking import Asker, engine_of
from promptlift.scale.desk import AnyDesk, Desk
from promptlift.scale.looking import Looker
from promptlift.scale.parcels import Back, Fate, pack, unpack
from promptlift.scale.work import Work

__all__ = ["Cluster", "RemoteDesk"]

_ONE_BLOCK_A_ROW = 1
_ROWS_AHEAD = 64
_IDLE_SECONDS = 0.1
_KNOCK_SECONDS = 10.0
_STILL_SECONDS = 1800.0
_CELL = "parcel"


class RemoteDesk:
    """The desk, wherever it is asked from.

    Args:
        actor: Its actor.
    """

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call one of the methods of `Desk`, and wait for what it gives."""
        return ray.get(getattr(self._actor, name).remote(*args, **kwargs))

    def tell(self, name: str, *args: Any) -> None:
        """Call one of them, and wait for nothing."""
        getattr(self._actor, name).remote(*args)

    def claim(self, ticket: int, key: str, sifted: bool) -> Fate:
        """See `Desk.claim`."""
        fate: Fate = self.call("claim", ticket, key, sifted=sifted)
        return fate


class Cluster:
    """A connection to a Ray cluster; a context manager, one at a time in a process.

    Args:
        address: See `ScaleSettings.address`.

    Raises:
        OptionError: There is no such cluster.
    """

    def __init__(self, address: str) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            _knock(address)
            with _silent():
                ray.init(
                    address,
                    logging_level=logging.ERROR,
                    log_to_driver=False,
                    include_dashboard=False if address == "local" else None,
                    _node_ip_address=_loopback(address),
                )
        except (OSError, ValueError, RuntimeError) as error:
            raise OptionError(
                f"there is no Ray cluster at {address!r}: {str(error).partition('.')[0]}",
                remedy="start one with `ray start --head`, or give --ray local for this machine",
            ) from error
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of it; what this run has there ends. Safe to call twice."""
        ray.shutdown()

    @property
    def cpus(self) -> int:
        """Processors that the cluster counts now."""
        return int(_resources().get("CPU", 1))

    @property
    def gpus(self) -> int:
        """GPUs that the cluster counts now."""
        return int(_resources().get("GPU", 0))

    def desk(self, *args: Any, **kwargs: Any) -> RemoteDesk:
        """A desk on this machine; see `Desk`."""
        # On the driver's own node: if that is lost, so is the driver, and the run with it.
        remote: Any = ray.remote  # its types know fewer options than it takes
        actor = remote(num_cpus=0, scheduling_strategy=_here())(Desk)
        return RemoteDesk(actor.remote(*args, **kwargs))

    def describe(self, invocation: Invocation) -> EngineInfo:
        """Who answers, told by an engine that is started on a GPU for that."""
        who: EngineInfo = ray.get(ray.remote(num_gpus=1)(_described).remote(invocation))
        return who

    def results(self, work: Work) -> Iterator[list[Back]]:
        """Do what the desk has, and give what became of each row as soon as that is known."""
        with warnings.catch_warnings():
            # Ray 2.60 warns of every option of its own tasks that it has no new name for yet.
            warnings.simplefilter("ignore", RayDeprecationWarning)
            dataset = _dataset(work)
        for batch in dataset.iter_batches(batch_size=None, batch_format="pyarrow"):
            yield [back for cell in batch[_CELL] for back in unpack(cell.as_buffer())]


def _knock(address: str) -> None:
    """Fail where nobody answers at a ``HOST:PORT``; Ray itself tries for minutes."""
    host, _, port = address.rpartition(":")
    if port.isdigit():
        socket.create_connection((host, int(port)), timeout=_KNOCK_SECONDS).close()


def _loopback(address: str) -> str | None:
    """The host of a cluster on the loopback, which knows this machine by no other address."""
    host = address.partition(":")[0]
    return host if host.startswith("127.") else None


@contextmanager
def _silent() -> Iterator[None]:
    """Keep what Ray's C++ parts say from the terminal; what goes wrong is raised."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _resources() -> dict[str, float]:
    resources: Any = ray.cluster_resources
    found: dict[str, float] = resources()
    return found


def _here() -> NodeAffinitySchedulingStrategy:
    return NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)


def _dataset(work: Work) -> Dataset:
    context = DataContext.get_current()
    context.enable_progress_bars = False
    # One row of a table is one parcel, and is sent on as soon as it is there.
    context.target_max_block_size = _ONE_BLOCK_A_ROW
    # A parcel that is lost for good is no reason to stop: its rows are still open at the desk.
    context.max_errored_blocks = -1
    context.max_consecutive_actor_init_deaths = -1
    # Ray gives up what stands still; an engine that is away, or is started, is no reason to.
    patience = work.post.settings.patience
    context.execution_no_progress_timeout_s = _STILL_SECONDS + 2 * patience
    # The types of Ray 2.60 know no function that takes more than its batch.
    parcels: Any = _parcels
    look: Any = _look
    # One task on the driver's node hands on what lies on the desk, for as long as rows come.
    read: Dataset = ray.data.from_items([None], override_num_blocks=1).map_batches(
        parcels,
        fn_args=(work.desk,),
        batch_size=None,
        batch_format="pyarrow",
        num_cpus=0,
        scheduling_strategy=_here(),
        max_retries=0,  # the desk does not say a thing twice by itself
        _generator_backpressure_num_objects=2 * _ROWS_AHEAD,
    )
    looked = read.map_batches(
        look,
        fn_args=(work,),
        batch_size=None,
        batch_format="pyarrow",
        num_cpus=work.scale.decode_cpus,
    )
    asked: Dataset = looked.map_batches(
        _Engine,
        fn_constructor_args=(work,),
        batch_size=1,  # one parcel; on a GPU Ray wants it said
        batch_format="pyarrow",
        num_cpus=work.scale.engine_cpus,
        num_gpus=work.gpus,
        compute=ActorPoolStrategy(
            min_size=work.engines[0],
            max_size=work.engines[1],
            max_concurrent_calls_per_actor=work.post.calls,
            enable_true_multi_threading=True,
        ),
        max_restarts=-1,
        max_task_retries=work.scale.losses,
    )
    return asked


def _parcels(_: pa.Table, desk: AnyDesk) -> Iterator[pa.Table]:
    while (rows := desk.call("take")) is not None:
        if rows:
            yield _table(rows)
        else:
            time.sleep(_IDLE_SECONDS)


def _table(values: Any) -> pa.Table:
    return pa.table({_CELL: pa.array([pack(values)], pa.large_binary())})


@cache
def _looker(decode_seconds: float) -> Looker:
    """This process's own, kept for the tasks to come."""
    return Looker(decode_seconds)


def _look(table: pa.Table, work: Work) -> Iterator[pa.Table]:
    looker = _looker(work.post.settings.decode_seconds)
    for cell in table[_CELL]:
        rows = unpack(cell.as_buffer())
        yield _table(looker.look_at(rows, work.desk.claim, work.who))


class _Engine:
    """The engine's stage in one actor."""

    def __init__(self, work: Work) -> None:
        address = work.desk.call("address", ray.get_runtime_context().get_actor_id())
        self._asker = Asker(work.post, address, work.desk)

    def __call__(self, table: pa.Table) -> pa.Table:
        seen = [row for cell in table[_CELL] for row in unpack(cell.as_buffer())]
        return _table(self._asker.ask(seen))

    def __del__(self) -> None:
        # Ray lets go of this object when the actor ends in an orderly way.
        asker = getattr(self, "_asker", None)
        if asker is not None:
            asker.close()


def _described(invocation: Invocation) -> EngineInfo:
    import asyncio

    async def ask() -> EngineInfo:
        engine = engine_of(invocation)
        try:
            return await engine.describe()
        finally:
            await engine.close()

    return asyncio.run(ask())
