# SPDX-License-Identifier: Apache-2.0
"""A load generator at work: its flags, the line it prints, and what is watched until then."""

import json
import selectors
import subprocess
import time
from pathlib import Path
from typing import Any, Callable

from sidebyside.process import Failure, end, spawn

# Opening sessions, warming up and closing again, besides the seconds that are measured.
OVERHEAD_S = 600
TICK_S = 0.05


class Generator:
    """One running load-SERVICE; a context manager, so that none outlives the workload that started it."""

    def __init__(self, command: list[str], log: Path, patience_s: float) -> None:
        self.command = command
        self._log = log
        self._patience_s = patience_s
        self._buffer = b""
        self._child: subprocess.Popen = spawn(command, log=log, piped=True)

    def __enter__(self) -> "Generator":
        return self

    def __exit__(self, *_: object) -> None:
        end(self._child)

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._child.pid

    def line(self, meanwhile: Callable[[], object] | None = None) -> dict[str, Any]:
        """Its next line of JSON; `meanwhile` is called every 50 ms until that is there."""
        until = time.monotonic() + self._patience_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._child.stdout, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                if meanwhile:
                    meanwhile()
                if time.monotonic() > until:
                    raise Failure(f"no answer within {self._patience_s:g} s: {' '.join(self.command)}")
                if selector.select(TICK_S):
                    self._read()
        line, _, self._buffer = self._buffer.partition(b"\n")
        return json.loads(line)

    def _read(self) -> None:
        part = self._child.stdout.read1(65536)
        if not part:
            self._child.wait()
            words = self._log.read_text(errors="replace").splitlines()[-8:]
            raise Failure(f"exit {self._child.returncode}: {' '.join(self.command)}\n" + "\n".join(words))
        self._buffer += part

    def go(self) -> None:
        """The word that a generator waits for on its stdin."""
        self._child.stdin.write(b"go\n")
        self._child.stdin.flush()

    def release(self) -> None:
        """Closes its stdin: who holds until then ends."""
        self._child.stdin.close()

    def wait(self) -> None:
        """Until it is gone; a Failure unless it ended well."""
        try:
            status = self._child.wait(self._patience_s)
        except subprocess.TimeoutExpired as error:
            raise Failure(f"does not end: {' '.join(self.command)}") from error
        if status != 0:
            words = self._log.read_text(errors="replace").splitlines()[-8:]
            raise Failure(f"exit {status}: {' '.join(self.command)}\n" + "\n".join(words))

    def kill(self) -> None:
        """kill -9, and wait."""
        end(self._child)


def flags(**values: object) -> list[str]:
    """`ttl_ms=1` as `--ttl-ms 1`."""
    return [word for name, value in values.items() for word in (f"--{name.replace('_', '-')}", str(value))]
