# SPDX-License-Identifier: Apache-2.0
"""The stored bounds (bench/bounds.json), and the judgement of what was measured.

Each count has `bound`, which it may not exceed; `measured`, what it was when the bound was set; `margin`, the share by
which the bound lies above that; `means`, a sentence; and `look_at`, where to look when it has grown. `at_least` is for
counts whose falling would be no gain: who syncs less often than once per operation has lost durability.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any


@dataclasses.dataclass
class Bound:
    """One stored count."""

    name: str
    means: str
    look_at: str
    margin: float
    measured: float
    bound: float
    at_least: float | None = None


def load(path: Path) -> dict[str, Bound]:
    stored: dict[str, dict[str, Any]] = json.loads(path.read_text())["counts"]
    return {name: Bound(name=name, **fields) for name, fields in stored.items()}


def save(path: Path, bounds: dict[str, Bound]) -> None:
    """One count per line, so that a diff of two revisions reads as a table."""
    lines = []
    for bound in bounds.values():
        fields = dataclasses.asdict(bound)
        name = fields.pop("name")
        kept = {key: value for key, value in fields.items() if value is not None}
        lines.append(f'    "{name}": {json.dumps(kept, ensure_ascii=False)}')
    path.write_text('{\n  "set_by": "bench/bench --check --update",\n  "counts": {\n' + ",\n".join(lines) + "\n  }\n}\n")


def _rounded(value: float) -> float:
    """Four digits say all that a margin of a few per cent leaves to say."""
    return float(f"{value:.4g}")


def update(bounds: dict[str, Bound], measured: dict[str, float]) -> None:
    """Sets the bounds to what was measured, times their margins. A count that has no entry gets none: what it means,
    nobody has said yet."""
    for name in measured.keys() & bounds.keys():
        bounds[name].measured = _rounded(measured[name])
        bounds[name].bound = _rounded(measured[name] * (1 + bounds[name].margin))


def _fault(bound: Bound, value: float) -> str | None:
    if value > bound.bound:
        verdict = f"is {value:.4g}, above its bound {bound.bound:.4g} (it was {bound.measured:.4g})"
    elif bound.at_least is not None and value < bound.at_least:
        verdict = f"is {value:.4g}, below {bound.at_least:.4g}, which it must reach"
    else:
        return None
    return f"{bound.name} {verdict}: {bound.means}. Look at {bound.look_at}."


def judge(bounds: dict[str, Bound], measured: dict[str, float], counted: frozenset[str]) -> list[str]:
    """A sentence for each count that broke its bound, has none, or was not measured though it is among the `counted`,
    which are first parts of names. Empty: all is well."""
    faults = [f"{name} was measured and has no entry in the file of bounds" for name in measured if name not in bounds]
    for name, bound in bounds.items():
        if name in measured:
            fault = _fault(bound, measured[name])
            faults += [fault] if fault else []
        elif name.split(".")[0] in counted:
            faults.append(f"{name} has a bound and was not measured")
    return faults
