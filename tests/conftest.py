"""What every test gets: no network, none of this machine's caches, and one tiny run that all may read.

A try to reach another machine fails as it would unplugged, and fails the test.
"""

import gc
import os
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from training import TrainConfig

# Before any Hugging Face import, which reads its switches once: nothing comes from this machine's own caches.
_HOME = tempfile.TemporaryDirectory(prefix="flaneur-tests-")
os.environ["HF_HOME"] = _HOME.name
for _switch in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE", "HF_EVALUATE_OFFLINE"):
    os.environ.pop(_switch, None)  # the code must hold without them
os.environ.pop("FLANEUR_SMOLLM2", None)
import data.environment  # noqa: E402, F401  the switches that must be set before torch is imported

# The models here are too small to gain from threads, and threads that wait for each other on busy cores cost tenfold.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from tests import small_base  # noqa: E402

# pytest-xdist's workers are started by a process in which this file has been at work.
USERS_CACHE = os.environ.setdefault("FLANEUR_TESTS_USERS_CACHE", os.environ.get("XDG_CACHE_HOME", ""))
SMALL_BASE = (
    small_base.install()
)  # what resolves "stories" gets a small model, in processes that a test starts too

# The same examples every time: a test that fails for one user fails for all.
settings.register_profile("same", derandomize=True)
settings.load_profile("same")

ROOT = Path(__file__).parents[1]
NOIR = ROOT / "tests" / "corpora" / "noir"
VERSE = ROOT / "tests" / "corpora" / "verse"

_LOCAL = {"localhost", "127.0.0.1", "::1", "", None}


@pytest.fixture(scope="session", autouse=True)
def _frozen() -> None:
    """The Trainer collects garbage after each of its many tunings here; what the imports left is none and costs most."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> Iterator[None]:
    """A shell that starts something in the background has it ignore Ctrl-C; what is tested here must not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session", autouse=True)
def _guarded() -> Iterator[list[str]]:
    """Blocks the network for whatever runs in this session, fixtures of any scope included; lists the hosts asked for."""
    attempts: list[str] = []
    lookup, connect, connect_ex = socket.getaddrinfo, socket.socket.connect, socket.socket.connect_ex

    def refuse(host: Any, error: Callable[[str], OSError]) -> None:
        attempts.append(str(host))
        raise error(f"tests have no network: {host}")

    def foreign(self: socket.socket, address: Any) -> bool:
        return self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in _LOCAL

    def guarded_lookup(host: Any, *rest: Any, **options: Any) -> Any:
        if host not in _LOCAL:
            refuse(host, lambda message: socket.gaierror(socket.EAI_NONAME, message))
        return lookup(host, *rest, **options)

    def guarded_connect(self: socket.socket, address: Any) -> None:
        if foreign(self, address):
            refuse(address[0], OSError)
        return connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:
        if foreign(self, address):
            refuse(address[0], OSError)
        return connect_ex(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", guarded_lookup)
        patch.setattr(socket.socket, "connect", guarded_connect)
        patch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
        patch.chdir(ROOT)  # the presets name folders from there
        yield attempts


@pytest.fixture(autouse=True)
def no_network(_guarded: list[str]) -> Iterator[list[str]]:
    """Hosts that were asked for. A test that means to ask for one clears the list."""
    yield _guarded
    asked = ", ".join(_guarded)
    _guarded.clear()
    assert not asked, f"the network was used: {asked}"


@pytest.fixture(scope="session")
def noir() -> Path:
    """Four first-person texts of about 160 words that have nothing to do with Paris; read-only."""
    return NOIR


@pytest.fixture(scope="session")
def verse() -> Path:
    """Six short poems with their line breaks; read-only."""
    return VERSE


@pytest.fixture
def few_words(tmp_path: Path) -> Path:
    """Three texts of two sentences, for runs whose texts don't matter: a test may change them."""
    from tests.small import write_few_words

    return write_few_words(tmp_path / "few_words")


@pytest.fixture
def tiny(tmp_path: Path, few_words: Path) -> "Callable[..., TrainConfig]":
    """The tiny preset on `few_words`, into tmp_path/runs; keywords override any setting."""
    from tests.small import few_words_settings
    from training import load_config

    def make(**overrides: Any) -> "TrainConfig":
        settings = few_words_settings(few_words, tmp_path / "runs")
        return load_config(ROOT / "configs" / "tiny.yaml", {**settings, **overrides})

    return make


@pytest.fixture(scope="session")
def users_base() -> Callable[[], AbstractContextManager[Path]]:
    """As long as its context lasts, the base that users have stands in place of the small one. For fixtures of any scope."""

    @contextmanager
    def switched() -> Iterator[Path]:
        from data.bases import resolve

        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_CACHE_HOME", USERS_CACHE)  # an empty one is as good as none
            patch.setenv("PIP_NO_INDEX", "1")  # what set-up did not fetch is not fetched here
            try:
                folder = resolve("stories").path
            except ValueError as error:
                pytest.skip(f"set-up did not fetch the base: {error}")
            yield folder

    return switched


@pytest.fixture
def real_base(users_base: Callable[[], AbstractContextManager[Path]]) -> Iterator[Path]:
    """The base that users have, in place of the small one: its folder as set-up made it. For slow tests."""
    with users_base() as folder:
        yield folder


@pytest.fixture(scope="session")
def tiny_config(tmp_path_factory: pytest.TempPathFactory) -> "TrainConfig":
    """What `tiny_run` was made with: the tiny preset on the noir texts."""
    from training import load_config

    output_dir = tmp_path_factory.mktemp("runs")
    return load_config(
        ROOT / "configs" / "tiny.yaml", {"originals": str(NOIR), "output_dir": str(output_dir)}
    )


@pytest.fixture(scope="session")
def tiny_run(tiny_config: "TrainConfig") -> Path:
    """A finished run with its report, shared by the whole session: copy it before changing anything in it."""
    from training import train

    return train(tiny_config, report=True)


@pytest.fixture(scope="session")
def few_words_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `tiny_run`, on three texts of 22 words, where the folds choose different steps; its fold models are kept."""
    from tests.small import few_words_settings, write_few_words
    from training import load_config, train

    folder = tmp_path_factory.mktemp("few_words")
    settings = few_words_settings(write_few_words(folder / "texts"), folder / "runs")
    return train(load_config(ROOT / "configs" / "tiny.yaml", {**settings, "keep_folds": True}), report=True)
