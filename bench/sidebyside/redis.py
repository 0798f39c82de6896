# SPDX-License-Identifier: Apache-2.0
"""One Redis server that syncs every write: durable, not replicated."""

import socket

from sidebyside.process import output
from sidebyside.service import Service


class Redis(Service):
    """Beside the others since it is fast, not since it promises the same: with this machine all of it is gone."""

    name = "redis"
    size = 1
    settings = "one server, unreplicated; appendonly yes, appendfsync always"

    def command(self, node: int) -> list[str]:
        command = ["redis-server", "--port", str(self.client_port[node]), "--bind", "127.0.0.1"]
        return command + ["--dir", str(self.folder), "--appendonly", "yes", "--appendfsync", "always"]

    def leader(self) -> int | None:
        return 1 if self.ready() else None

    def ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.client_port[1]), timeout=2) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False

    @classmethod
    def version(cls) -> str:
        words = output(["redis-server", "--version"]).split()
        return next((word.removeprefix("v=") for word in words if word.startswith("v=")), "")
