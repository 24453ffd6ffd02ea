"""Whether a base fits into this machine's memory, asked before it is loaded."""

import math
from pathlib import Path

from data.bases import Base
from data.model_cache import tensor_shapes

ADVICE = (
    "Choose a smaller base. Or set `lora_rank: 8`, `micro_batch_size: 1` and `gradient_checkpointing: true`."
)


TOKENS_AS_WEIGHTS = 160
"""Tokens that a training reads at once which take as much memory as the weights do in float32. Measured with 135 million weights."""


def check_memory(base: Base, factor: float, advice: str = ADVICE) -> None:
    """Refuse a base that needs more memory than is available. Does nothing where the memory can't be read.

    base: the base to load. An untrained one always passes.
    factor: needed memory, in multiples of the size of the weights in float32.
    advice: what takes less memory, as sentences.
    Raises ValueError when there is too little memory, with the settings that need less.
    """
    available = available_memory()
    if base.untrained or available is None:
        return
    try:
        weights = sum(math.prod(shape) for shape in tensor_shapes(base.path).values())
    except ValueError:
        return  # damaged: loading it says so
    needed = factor * 4 * weights
    if needed > available:
        raise ValueError(
            f"there is too little memory for base {base.id}: about {needed / 1e9:,.1f} GB needed, {available / 1e9:,.1f} GB "
            f"available. {advice}"
        )


def available_memory(root: Path = Path("/")) -> int | None:
    """Return the bytes that this process may still take: of the machine, and of its control groups on Linux.

    root: folder that holds ``proc`` and ``sys``. None is returned where neither can be read.
    """
    found = [*_of_the_machine(root), *_of_control_groups(root)]
    return min(found) if found else None


def _of_the_machine(root: Path) -> list[int]:
    try:
        for line in (root / "proc/meminfo").read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return [int(line.split()[1]) * 1024]
    except (OSError, ValueError, IndexError):
        pass
    try:  # not Linux
        import psutil  # type: ignore[import-untyped]

        return [int(psutil.virtual_memory().available)] if not (root / "proc").exists() else []
    except Exception:
        return []


def _of_control_groups(root: Path) -> list[int]:
    """What each control group of this process, and each one above it, leaves of its limit."""
    found = []
    try:
        lines = (root / "proc/self/cgroup").read_text("utf-8").splitlines()
    except OSError:
        return []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            top, limit, used, cache = root / "sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            top, limit, used = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
            cache = "total_inactive_file"
        else:
            continue
        group = top / path.lstrip("/")
        for folder in (group, *group.parents):
            found += _left(folder, limit, used, cache)
            if folder == top:
                break
    return found


def _left(group: Path, limit: str, used: str, cache: str) -> list[int]:
    try:
        taken = int((group / used).read_text("ascii"))
        most = int((group / limit).read_text("ascii"))  # "max", which is no number, is no limit
    except (OSError, ValueError):
        return []
    try:
        counts = dict(line.split() for line in (group / "memory.stat").read_text("ascii").splitlines())
        taken -= int(counts.get(cache, 0))  # the kernel gives these back
    except (OSError, ValueError):
        pass
    return [max(0, most - taken)]
