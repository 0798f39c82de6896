# SPDX-License-Identifier: Apache-2.0
"""What the figures were taken on."""

import os
import platform
from pathlib import Path

from sidebyside.process import output


def describe(data: Path) -> dict[str, str]:
    """Cores, processor, kernel, memory, and the file system that holds the data."""
    return {
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB",
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "distribution": platform.freedesktop_os_release().get("PRETTY_NAME", ""),
        "file system": file_system(data),
        "load before": f"{os.getloadavg()[0]:.2f}",
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def file_system(folder: Path) -> str:
    """Type and device, as in `ext4 on /dev/vda`."""
    words = output(["findmnt", "--noheadings", "--output", "FSTYPE,SOURCE", "--target", str(folder)]).split()
    return f"{words[0]} on {words[1]}" if len(words) >= 2 else "unknown"


def revision(root: Path) -> str:
    """The commit that was measured, with a plus when the tree differs from it."""
    commit = output(["git", "-C", str(root), "rev-parse", "--short", "HEAD"]).strip()
    if not commit:
        return "unknown"
    changed = output(["git", "-C", str(root), "status", "--porcelain", "--untracked-files=no"]).strip()
    return commit + ("+" if changed else "")
