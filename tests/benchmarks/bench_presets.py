"""What each preset and the scoring of 100 texts cost: seconds and peak memory of one process, printed.

Compared within the run (a preset against the tiny one), never with numbers of another day or machine.
"""

import os
import platform
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def measured(arguments: list[str]) -> tuple[float, float]:
    """Wall-clock seconds and peak resident GiB of a child process; it must succeed."""
    code = (
        "import resource, runpy, sys; sys.argv = sys.argv[1:]\n"
        "try: runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)\n"
        "except SystemExit as stop: status = stop.code or 0\n"
        "print('PEAK', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
        "sys.exit(status)"
    )
    # The tests' own setting of one thread is not what a user has.
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    command = [sys.executable, "-c", code, *arguments]
    started = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    assert done.returncode == 0, done.stderr
    peak = int(done.stdout.rsplit("PEAK ", 1)[1])
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB on Linux
    return seconds, peak * unit / 2**30


def test_presets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        (
            name,
            *measured(
                ["training", "run", f"configs/{name}.yaml", "--report", "--set", f"output_dir={tmp_path}"]
            ),
        )
        for name in ("tiny", "quick", "paris-cafe")
    ]
    again = measured(
        [
            "training",
            "run",
            "configs/paris-cafe.yaml",
            "--report",
            "--refresh",
            "--set",
            f"output_dir={tmp_path}",
        ]
    )
    with capsys.disabled():
        print(
            f"\n{date.today()}, {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
        )
        for name, seconds, memory in [*rows, ("unchanged inputs", *again)]:
            print(f"{name:<18}{seconds:7.0f} s{seconds / rows[0][1]:7.1f} x tiny{memory:7.1f} GiB")
    assert again[0] < rows[0][1], "an unchanged run must answer sooner than the smallest training"


def test_scoring_a_hundred_texts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pool = sorted((ROOT / "tests" / "benchmarks" / "authors").glob("*/*.txt"))
    for i in range(100):  # a sentence apart, so that nothing remembered of one serves another
        text = pool[i % len(pool)].read_text("utf-8")
        (tmp_path / f"{i:03}.txt").write_text(
            f"This is the text that comes as number {i}.\n\n{text}", "utf-8"
        )
    one, _ = measured(["inference", "score", str(tmp_path / "000.txt"), "--references", "data/seeds"])
    seconds, memory = measured(["inference", "score", str(tmp_path), "--references", "data/seeds"])
    with capsys.disabled():
        print(f"\n100 texts scored in {seconds:.0f} s ({seconds / one:.1f} x one text), {memory:.1f} GiB")
    assert memory < 3
    assert (
        seconds < 300
    )  # on two cores with nothing else on them: most of it is the base, which reads 37,000 words


def test_help_is_instant(capsys: pytest.CaptureFixture[str]) -> None:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    bare = time.perf_counter() - started
    with capsys.disabled():
        for module in ("data", "training", "inference"):
            seconds, _ = measured([module, "--help"])
            print(f"\npython -m {module} --help: {seconds:.2f} s (bare interpreter {bare:.2f} s)", end="")
            assert seconds < bare + 0.5
