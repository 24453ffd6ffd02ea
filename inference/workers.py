"""Independent jobs side by side, a process and a core for each, on machines where one job fills no more than a core.

joblib's processes, which need no guard in a user's script. Decides nothing about how many are worth it.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from joblib import Parallel, delayed


def side_by_side(work: Callable[..., Any], jobs: Sequence[tuple[Any, ...]], workers: int) -> Iterator[Any]:
    """``work(*job)`` of each job, in order, as they are ready; with one worker in this process."""
    options: dict[str, Any] = {"initializer": _stay} if workers > 1 else {}
    return iter(
        Parallel(n_jobs=workers, return_as="generator", **options)(delayed(work)(*job) for job in jobs)
    )


def _stay() -> None:
    """Keep the process for all of its jobs: loky ends one whose memory has grown, as it does when another model is loaded, and
    now and then the result of its last job is then waited for in vain (LAB.md)."""
    from joblib.externals.loky import process_executor

    process_executor._USE_PSUTIL = False
