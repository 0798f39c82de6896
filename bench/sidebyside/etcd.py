# SPDX-License-Identifier: Apache-2.0
"""Three etcd members."""

import json
import re
import urllib.request
from pathlib import Path
from typing import Any

from sidebyside.ports import Ports
from sidebyside.process import output
from sidebyside.service import Service


class Etcd(Service):
    """etcd 3.4 as Debian packages it."""

    name = "etcd"

    def __init__(self, folder: Path, ports: Ports) -> None:
        super().__init__(folder, ports)
        self._peer_port = {node: ports.take() for node in self.ids()}

    def command(self, node: int) -> list[str]:
        client, peer = f"http://127.0.0.1:{self.client_port[node]}", f"http://127.0.0.1:{self._peer_port[node]}"
        members = ",".join(f"node{i}=http://127.0.0.1:{self._peer_port[i]}" for i in self.ids())
        command = ["etcd", "--name", f"node{node}", "--data-dir", str(self.folder / f"node{node}")]
        command += ["--listen-client-urls", client, "--advertise-client-urls", client]
        command += ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]
        return command + ["--initial-cluster", members, "--initial-cluster-state", "new"]

    def environment(self) -> dict[str, str]:
        return {"ETCDCTL_API": "3"}

    def _control(self, *arguments: str, timeout: str = "2s") -> str:
        command = ["etcdctl", "--endpoints", self.endpoints(), "--command-timeout", timeout]
        return output([*command, *arguments], environment=self.environment(), any_status=True)

    def _status(self) -> list[dict[str, Any]]:
        text = self._control("endpoint", "status", "-w", "json")
        try:
            return json.loads(text) if text else []
        except json.JSONDecodeError:
            return []

    def leader(self) -> int | None:
        for member in self._status():
            status = member["Status"]
            if status.get("leader") and status["leader"] == status["header"]["member_id"]:
                port = int(member["Endpoint"].rpartition(":")[2])
                return next(node for node in self.ids() if self.client_port[node] == port)
        return None

    def ready(self) -> bool:
        members = self._status()
        leaders = {member["Status"].get("leader", 0) for member in members}
        return len(members) == self.size and len(leaders) == 1 and 0 not in leaders and self._answers()

    def _answers(self) -> bool:
        """Every member proposes, and gets it committed."""
        text = self._control("endpoint", "health", "-w", "json", timeout="5s")
        return bool(text) and all(member["health"] for member in json.loads(text))

    def held(self) -> int:
        """Keys, which is what a lock is made of."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.client_port[self.find_leader()]}/metrics") as reply:
            text = reply.read().decode()
        return int(float(re.findall(r"^etcd_debugging_mvcc_keys_total (\S+)$", text, re.MULTILINE)[0]))

    @classmethod
    def version(cls) -> str:
        return output(["etcd", "--version"]).partition("\n")[0].removeprefix("etcd Version: ")
