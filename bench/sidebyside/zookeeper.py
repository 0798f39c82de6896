# SPDX-License-Identifier: Apache-2.0
"""Three ZooKeeper servers."""

import socket
from pathlib import Path

from sidebyside.ports import Ports
from sidebyside.process import output
from sidebyside.service import Service

JAR = Path("/usr/share/java/zookeeper.jar")
CONFIGURATION = """\
tickTime=2000
initLimit=10
syncLimit=5
maxClientCnxns=0
4lw.commands.whitelist=srvr,mntr,ruok
admin.enableServer=false
dataDir={data}
clientPort={port}
clientPortAddress=127.0.0.1
"""
LOGGING = """\
log4j.rootLogger=WARN, CONSOLE
log4j.appender.CONSOLE=org.apache.log4j.ConsoleAppender
log4j.appender.CONSOLE.layout=org.apache.log4j.PatternLayout
log4j.appender.CONSOLE.layout.ConversionPattern=%d{ISO8601} %p %c{1}: %m%n
"""


class ZooKeeper(Service):
    """The times of Debian's sample configuration, tickTime 2000, initLimit 10, syncLimit 5."""

    name = "zookeeper"
    settings = (
        "times of its sample configuration; maxClientCnxns 0, since all load comes from one address; "
        "no admin web server, log level WARN"
    )
    warms_up = True

    def __init__(self, folder: Path, ports: Ports) -> None:
        super().__init__(folder, ports)
        quorum = {node: (ports.take(), ports.take()) for node in self.ids()}
        for node in self.ids():
            home = folder / f"node{node}"
            (home / "data").mkdir(parents=True)
            (home / "data/myid").write_text(f"{node}\n")
            (home / "log4j.properties").write_text(LOGGING)
            lines = [f"server.{i}=127.0.0.1:{first}:{second}\n" for i, (first, second) in quorum.items()]
            text = CONFIGURATION.format(data=home / "data", port=self.client_port[node]) + "".join(lines)
            (home / "zoo.cfg").write_text(text)

    def command(self, node: int) -> list[str]:
        home = self.folder / f"node{node}"
        # The manifest of Debian's jar names all others that it needs.
        command = ["java", "-cp", f"{home}:{JAR}", "org.apache.zookeeper.server.quorum.QuorumPeerMain"]
        return command + [str(home / "zoo.cfg")]

    def _ask(self, node: int, word: str) -> dict[str, str]:
        """What a server answers to a four-letter word, by name; empty while it does not serve."""
        try:
            with socket.create_connection(("127.0.0.1", self.client_port[node]), timeout=2) as connection:
                connection.settimeout(2)
                connection.sendall(word.encode())
                text = b""
                while part := connection.recv(4096):
                    text += part
        except OSError:
            return {}
        lines = text.decode(errors="replace").replace("\t", ": ").splitlines()
        return {name: value for name, colon, value in (line.partition(": ") for line in lines) if colon}

    def _mode(self, node: int) -> str:
        return self._ask(node, "srvr").get("Mode", "")

    def held(self) -> int:
        """Ephemeral nodes, which is what a lock is made of."""
        return int(self._ask(self.find_leader(), "mntr").get("zk_ephemerals_count", "0"))

    def leader(self) -> int | None:
        return next((node for node in self.ids() if self._mode(node) == "leader"), None)

    def ready(self) -> bool:
        return sorted(self._mode(node) for node in self.ids()) == ["follower", "follower", "leader"]

    @classmethod
    def version(cls) -> str:
        return output(["dpkg-query", "-W", "-f", "${Version}", "libzookeeper-java"])
