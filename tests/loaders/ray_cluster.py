"""A Ray cluster of two nodes on this machine, in processes of its own.

As a process, with `tests` on the path: its first line of output is JSON with the address; a line on
standard input kills the second node, and is answered with one; it ends, with all that it started,
when its standard input does::

    python -m loaders.ray_cluster
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Self

import psutil

from fault.command import _MARK, left_over

__all__ = ["RayCluster"]

# Of the loopback. Ray itself takes 127.0.0.1 for another name of this machine, and then cannot find
# a cluster that is there.
_HOST = "127.0.0.2"
_STORE = 100 << 20
_LONGEST = 60.0
_ROOT = Path(__file__).parent.parent


class RayCluster:
    """The cluster, as long as the block runs. Each node counts a GPU, whether it has one or not.

    Attributes:
        address: ``HOST:PORT``.
        environment: What those who use it must have in their environment.
    """

    def __init__(self) -> None:
        # A socket's path may have 107 characters; pytest's own folders are too deep for that.
        self._folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
        self._mark = secrets.token_hex(8)
        self.environment = {
            "RAY_TMPDIR": self._folder,
            "RAY_USAGE_STATS_ENABLED": "0",
            # Some of Ray's ports are open to the network; nobody else has the key.
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            # Ray's workers give way to all others; beside a busy test they would stand still.
            "RAY_worker_niceness": "0",
            "PYTHONPATH": str(_ROOT),
        }

    def __enter__(self) -> Self:
        environment = {**os.environ, **self.environment, _MARK: self._mark}
        environment["PYTHONWARNINGS"] = "ignore"
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "loaders.ray_cluster"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.address: str = json.loads(self._line())["address"]
        return self

    def lose_a_node(self) -> None:
        """Kill the node that no driver is on, and come back once it is gone."""
        assert self._popen.stdin is not None
        self._popen.stdin.write("lose\n")
        self._popen.stdin.flush()
        assert self._line() == "done\n"

    def engine_actors(self) -> set[int]:
        """The processes that have engines now."""
        found = set()
        for process in psutil.process_iter(["name", "cmdline", "environ"]):
            words = " ".join(process.info["cmdline"] or ())
            if "_EngineActor" in words and (process.info["environ"] or {}).get(_MARK) == self._mark:
                found.add(process.pid)
        return found

    def __exit__(self, *_: object) -> None:
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        self._popen.stdin.close()
        self._popen.wait(_LONGEST)
        self._popen.stdout.close()
        left = left_over(self._mark)
        shutil.rmtree(self._folder, ignore_errors=True)
        assert left == [], "processes of the cluster outlive it"

    def _line(self) -> str:
        assert self._popen.stdout is not None
        for line in self._popen.stdout:
            if not line.startswith("["):  # Ray's own words
                return line
        raise AssertionError("the cluster did not come up")


def main() -> None:
    """Serve, until standard input ends."""
    from ray.cluster_utils import Cluster

    common: dict[str, Any] = {
        "num_cpus": 2,
        "num_gpus": 1,
        "object_store_memory": _STORE,
        "node_ip_address": _HOST,
        "include_dashboard": False,
    }
    # A dead node is to be missed within seconds, not half a minute.
    quick = {
        "health_check_initial_delay_ms": 0,
        "health_check_period_ms": 300,
        "health_check_timeout_ms": 2000,
        "health_check_failure_threshold": 3,
    }
    head = {**common, "_system_config": quick}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    other = cluster.add_node(**common)
    print(json.dumps({"address": cluster.address}), flush=True)
    for _ in sys.stdin:
        cluster.remove_node(other, allow_graceful=False)
        print("done", flush=True)
    end: Any = cluster.shutdown
    end()


if __name__ == "__main__":
    main()
