# SPDX-License-Identifier: Apache-2.0
"""Free ports, by the same claims as scripts/cluster.bash: tests and benchmarks that run at once share none."""

import contextlib
import fcntl
import os
import random
import socket
from pathlib import Path
from typing import Iterator

# Below the range that the kernel hands out to outgoing connections.
FIRST, LAST = 20000, 31999


class Ports:
    """Ports that belong to this process until close(), named by files that hold its pid."""

    def __init__(self) -> None:
        self._folder = Path(f"/tmp/lockd-ports.{os.getuid()}")
        self._mine: list[int] = []

    def take(self) -> int:
        """One free port that nobody else has claimed."""
        with self._locked():
            while True:
                port = random.randint(FIRST, LAST)
                if not self._claimed(port) and _is_free(port):
                    (self._folder / str(port)).write_text(f"{os.getpid()}\n")
                    self._mine.append(port)
                    return port

    def close(self) -> None:
        """Returns them all."""
        with self._locked():
            for port in self._mine:
                (self._folder / str(port)).unlink(missing_ok=True)
            self._mine.clear()
            with contextlib.suppress(OSError):
                self._folder.rmdir()  # Not while others have claims.

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Holds the folder itself; who waited may have got one that was removed meanwhile, and tries again."""
        while True:
            self._folder.mkdir(exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                fd = os.open(self._folder, os.O_RDONLY)
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX)
                    if self._folder.exists() and os.path.samestat(os.fstat(fd), self._folder.stat()):
                        yield
                        return
                finally:
                    os.close(fd)

    def _claimed(self, port: int) -> bool:
        """Of a program that was killed the claim stays, and is nobody's."""
        try:
            os.kill(int((self._folder / str(port)).read_text()), 0)
        except (OSError, ValueError):
            return False
        return True


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
