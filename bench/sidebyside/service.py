# SPDX-License-Identifier: Apache-2.0
"""A service under measurement: its nodes, where they listen, who leads them."""

import signal
import subprocess
import time
from pathlib import Path
from typing import Callable, Sequence

from sidebyside.ports import Ports
from sidebyside.process import Failure, cpu_seconds, end, resident_bytes, spawn

POLL_S = 0.02
START_S = 60
# Heartbeats of three nodes stay well below this share of a core.
QUIET_S, QUIET_SHARE = 1.0, 0.2


def wait_until(condition: Callable[[], bool], what: str, patience_s: float = START_S, poll_s: float = POLL_S) -> float:
    """Seconds until the condition held; a Failure that names `what` when it never did."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > patience_s:
            raise Failure(f"{what}: not within {patience_s:g} s")
        time.sleep(poll_s)
    return time.monotonic() - began


class Service:
    """Nodes of one service, numbered from 1, with their data in a folder of their own.

    A subclass says how a node is started, which of them leads, and when all of them serve.
    """

    name = ""
    size = 3
    # What differs from the service's own defaults, told below the table.
    settings = "defaults"
    # A virtual machine that compiles what runs often: every workload is run once without being counted.
    warms_up = False

    def __init__(self, folder: Path, ports: Ports) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True)
        self.client_port = {i: ports.take() for i in self.ids()}
        self._running: dict[int, subprocess.Popen] = {}
        self.commands: list[list[str]] = []

    def ids(self) -> range:
        """Numbers of the nodes."""
        return range(1, self.size + 1)

    def command(self, node: int) -> list[str]:
        """What starts this node in the foreground."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """What it finds in its environment besides."""
        return {}

    def leader(self) -> int | None:
        """The node that leads; None while nobody is known to."""
        raise NotImplementedError

    def ready(self) -> bool:
        """Whether there is a leader and every node follows it."""
        raise NotImplementedError

    @classmethod
    def version(cls) -> str:
        """Of the installed program."""
        raise NotImplementedError

    def endpoints(self) -> str:
        """What the load generators take."""
        return ",".join(f"127.0.0.1:{port}" for port in self.client_port.values())

    def load_flags(self) -> dict[str, object]:
        """How a load generator finds it."""
        return {"endpoints": self.endpoints()}

    def held(self) -> int:
        """Locks that are held now, as the leader counts them."""
        raise NotImplementedError

    def start(self) -> None:
        """Starts all nodes and waits until they serve."""
        for node in self.ids():
            self.start_node(node)
        self.wait_ready()

    def start_node(self, node: int) -> None:
        """Starts one node; does not wait for it."""
        command = self.command(node)
        self.commands.append(command)
        self._running[node] = spawn(command, log=self.log(node), folder=self.folder, environment=self.environment())

    def wait_ready(self) -> float:
        """Seconds until all nodes serve under one leader."""

        def all_ready() -> bool:
            self._check_alive()
            return self.ready()

        try:
            return wait_until(all_ready, f"{self.name}: all nodes serve")
        except Failure as failure:
            words = "".join(f"\n--- node {node}:\n{self.last_words(node)}" for node in self._running)
            raise Failure(f"{failure}{words}") from failure

    def _check_alive(self) -> None:
        for node, child in self._running.items():
            if child.poll() is not None:
                raise Failure(f"{self.name}: node {node} ended with {child.returncode}:\n{self.last_words(node)}")

    def end_node(self, node: int, how: int = signal.SIGKILL) -> None:
        """Ends one node and waits until it is gone."""
        end(self._running.pop(node), how)

    def signal_node(self, node: int, number: int) -> None:
        """Sends a signal and waits for nothing."""
        self._running[node].send_signal(number)

    def revive(self) -> None:
        """Whatever was done to the nodes: continues the stopped ones, starts the dead ones again, waits for all."""
        for node, child in list(self._running.items()):
            child.send_signal(signal.SIGCONT)
            if child.poll() is not None:
                self.end_node(node)
        for node in self.ids():
            if node not in self._running:
                self.start_node(node)
        self.wait_ready()

    def stop(self) -> None:
        """Ends all nodes; the folder is the caller's to remove."""
        for node in list(self._running):
            self.end_node(node)

    def find_leader(self) -> int:
        """The node that leads, waiting for one to be elected."""
        wait_until(lambda: self.leader() is not None, f"{self.name}: a leader")
        leader = self.leader()
        if leader is None:
            raise Failure(f"{self.name}: the leader was lost again")
        return leader

    def cpu_seconds(self, nodes: Sequence[int] | None = None) -> float:
        """Processor time of these nodes, or of all."""
        return sum(cpu_seconds(self._running[node].pid) for node in nodes or self._running)

    def wait_quiet(self) -> None:
        """Until what is done behind the answers, checkpoints above all, is done: the nodes hardly use the processor."""

        def quiet() -> bool:
            before = self.cpu_seconds()
            time.sleep(QUIET_S)
            return self.cpu_seconds() - before < QUIET_SHARE * QUIET_S

        wait_until(quiet, f"{self.name}: nothing left to do")

    def resident_bytes(self) -> dict[int, int]:
        """Memory by node."""
        return {node: resident_bytes(child.pid) for node, child in self._running.items()}

    def log(self, node: int) -> Path:
        """Where a node's own words go."""
        return self.folder / f"node{node}.log"

    def last_words(self, node: int, lines: int = 8) -> str:
        """The end of that."""
        return "\n".join(self.log(node).read_text(errors="replace").splitlines()[-lines:])
