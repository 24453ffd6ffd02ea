"""Benchmarks measure the base that users have, and not the small one of the tests."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def base_of_the_user(users_base: Callable[[], AbstractContextManager[Path]]) -> Iterator[Path]:
    """The folder of the base as set-up made it; without one there is nothing to measure, and all is skipped."""
    with users_base() as folder:
        yield folder
