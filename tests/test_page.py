"""The pages in a real browser: they render, without an error on the console and without asking any network for anything."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from inference import score
from inference.pages import score_page
from inference.stylometry import contrast_texts

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

OWN = re.compile(r"https?://[\w.-]*\.(?:google|googleapis|gvt1)\.com[:/]")
"""What the browser itself wants to know on starting; it finds no host. That a page names none of these is tested apart."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium: apt-get install chromium"),
]


def browse(page: Path, folder: Path, width: int = 900) -> tuple[str, str, list[str]]:
    """(the document as rendered, what the console said, addresses asked for) of ``page``."""
    net = folder / "net.json"
    done = subprocess.run(
        [
            *(str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *("--disable-extensions", "--disable-default-apps", "--enable-logging=stderr"),
            "--host-resolver-rules=MAP * ~NOTFOUND",
            *(f"--user-data-dir={folder / 'profile'}", f"--log-net-log={net}"),
            *(f"--window-size={width},1200", "--virtual-time-budget=2000", "--dump-dom", page.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env={**os.environ, "HOME": str(folder)},
    )
    console = "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)
    # The log may lack its end; addresses are read from what is there.
    asked = re.findall(r'"url":"(https?:[^"]+)"', net.read_text("utf-8", errors="replace"))
    return done.stdout, console, [address for address in asked if not OWN.match(address)]


@pytest.fixture(scope="module")
def pages(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    evil = (
        contrast_texts()[0] + "\n\n<script>console.error('ran')</script><img src='http://127.0.0.1:9/x.png'>"
    )
    scores = folder / "scores.html"
    scores.write_text(score_page(score([evil], contrast_texts()[1:3]), "<b>mine</b>"), "utf-8")
    return {"report": tiny_run / "report.html", "blind": tiny_run / "blind.html", "scores": scores}


@pytest.mark.parametrize("name", ["report", "blind", "scores"])
@pytest.mark.parametrize("width", [390, 1200])
def test_a_page_renders_in_silence(name: str, width: int, pages: dict[str, Path], tmp_path: Path) -> None:
    document, console, asked = browse(pages[name], tmp_path, width)
    assert "</body></html>" in document.replace("\n", "")
    assert len(document) > 2000
    assert console == ""
    assert asked == []
    assert not re.search(r"""<\w[^>]*\s(?:src|href)\s*=\s*["']?(?:https?:)?//|url\(["']?https?:""", document)
    if name == "scores":
        assert "&lt;b&gt;mine" in document
        assert "<img" not in document


def test_the_browser_would_tell(tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text("<script>console.error('ran')</script><img src='http://127.0.0.1:9/x.png'>", "utf-8")
    _, console, asked = browse(page, tmp_path)
    assert "ran" in console
    assert asked
    assert json.dumps(asked).count("127.0.0.1:9") >= 1
