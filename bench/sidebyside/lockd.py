# SPDX-License-Identifier: Apache-2.0
"""Three lockd nodes."""

import json
import re
import urllib.request
from pathlib import Path
from typing import Any

from sidebyside.ports import Ports
from sidebyside.process import output
from sidebyside.service import Service

SAMPLE = re.compile(r"^(\w+(?:\{[^}]*\})?) (\S+)$", re.MULTILINE)


class Lockd(Service):
    """As scripts/cluster.bash starts them, with metrics."""

    name = "lockd"
    settings = "defaults, with metrics"
    build = Path("build/release")

    def __init__(self, folder: Path, ports: Ports) -> None:
        super().__init__(folder, ports)
        self._peer_port = {node: ports.take() for node in self.ids()}
        self._metrics_port = {node: ports.take() for node in self.ids()}

    def command(self, node: int) -> list[str]:
        local = "127.0.0.1"
        command = [str(self.build / "lockd/lockd"), "--node", str(node), "--data", str(self.data(node))]
        command += ["--listen-peer", f"{local}:{self._peer_port[node]}"]
        command += ["--listen-client", f"{local}:{self.client_port[node]}"]
        command += ["--listen-metrics", f"{local}:{self._metrics_port[node]}"]
        for peer in self.ids():
            command += ["--peer", f"{peer} {local}:{self._peer_port[peer]} {local}:{self.client_port[peer]}"]
        return command

    def data(self, node: int) -> Path:
        """The data folder of a node."""
        return self.folder / f"node{node}"

    def status(self) -> list[dict[str, Any]]:
        """What each node that answers says of itself."""
        lockctl = [str(self.build / "cli/lockctl"), "--endpoints", self.endpoints(), "--timeout", "1s"]
        # The exit status tells that some node is silent; those that answer are told all the same.
        text = output([*lockctl, "status", "--json"], any_status=True)
        nodes = json.loads(text)["nodes"] if text else []
        return [node for node in nodes if node["status"] == "OK"]

    def leader(self) -> int | None:
        leaders = [node for node in self.status() if node["role"] == "leader"]
        return max(leaders, key=lambda node: node["term"])["node"] if leaders else None

    def ready(self) -> bool:
        nodes = self.status()
        leader = next((node for node in nodes if node["role"] == "leader"), None)
        if leader is None or len(nodes) < len(self.client_port):
            return False
        others = [peer for peer in leader["peers"] if peer["node"] != leader["node"]]
        return all(peer["caught_up"] for peer in others) and all(node["leader"] == leader["node"] for node in nodes)

    def metrics(self, node: int) -> dict[str, float]:
        """Samples of /metrics by name and labels."""
        url = f"http://127.0.0.1:{self._metrics_port[node]}/metrics"
        with urllib.request.urlopen(url, timeout=10) as reply:
            return {name: float(value) for name, value in SAMPLE.findall(reply.read().decode())}

    def metrics_endpoints(self) -> str:
        """Where the nodes tell them."""
        return ",".join(f"127.0.0.1:{port}" for port in self._metrics_port.values())

    def load_flags(self) -> dict[str, object]:
        return {**super().load_flags(), "metrics": self.metrics_endpoints()}

    def held(self) -> int:
        return int(max(self.metrics(node)["lockd_locks"] for node in self.ids()))

    def serves(self, node: int) -> bool:
        """Whether one node is ready, whatever the others do."""
        try:
            return self.metrics(node)["lockd_ready"] == 1
        except OSError:
            return False

    @classmethod
    def version(cls) -> str:
        return output([str(cls.build / "lockd/lockd"), "--version"]).strip()
