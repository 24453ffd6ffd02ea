"""What all command lines share: bad input is one message and status 2, an interruption one line and status 130."""

import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from data.atomic import explained


def command(work: Callable[[], int | None], interrupted: Callable[[], str] = lambda: "interrupted") -> int:
    """Do ``work`` and return the exit status, its own or 0. What is the program's own error passes through.

    SIGTERM, a scheduler's or a shutdown's polite end, is one like Ctrl-C; ``interrupted`` words what then is said.
    """
    main_thread = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, _interrupt) if main_thread else None
    try:
        return work() or 0
    except Exception as error:
        if (said := explained(error)) is None:
            raise
        print(f"error: {said}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\n{interrupted()}", file=sys.stderr)
        return 130
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt
