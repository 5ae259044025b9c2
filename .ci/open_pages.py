"""Opens every page of some sites in a headless Chromium, narrow and wide: no console error, no request elsewhere.

python .ci/open_pages.py BROWSER SITE...
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

WIDTHS = (360, 1440)
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-extensions --disable-default-apps --no-pings "
    "--disable-features=AutofillServerCommunication,OptimizationHints "
    "--enable-logging=stderr --log-level=0 --virtual-time-budget=4000 --dump-dom"
)


# Hosts that the browser asks for itself; pages that ask them ask for fonts.
OWN = re.compile(r"(?!fonts\.)[\w-]+\.(googleapis|google|gvt1|gstatic)\.com(:\d+)?(/.*)?")


class Quiet(SimpleHTTPRequestHandler):
    """Serves files, and says nothing."""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class Elsewhere(BaseHTTPRequestHandler):
    """The browser's proxy for all other hosts: notes what it is asked for, and gives nothing."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        """Refuse."""
        self.asked.append(self.path)
        self.send_error(403)

    def do_CONNECT(self) -> None:
        """Refuse."""
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def complaints(browser: str, proxy: str, url: str, width: int) -> list[str]:
    """Open a page; return what it complains of."""
    with tempfile.TemporaryDirectory() as profile:
        own = [f"--proxy-server={proxy}", f"--user-data-dir={profile}", f"--window-size={width},900"]
        command = [browser, *FLAGS.split(), *own, url]
        opened = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    said = [line for line in opened.stderr.splitlines() if "CONSOLE" in line]
    if "</html>" not in opened.stdout:
        said.append("it did not open")
    return [f"{url} at {width}: {line}" for line in said]


def started(handler: Callable[..., BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    """Return a server of a port of its own, which is running."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)  # type: ignore[arg-type]
    Thread(target=server.serve_forever, daemon=True).start()
    return server


def main(browser: str, sites: list[str]) -> int:
    """Open all pages of all sites."""
    found: list[str] = []
    elsewhere = started(Elsewhere)
    for site in sites:
        server = started(partial(Quiet, directory=site))
        pages = [path.relative_to(site).as_posix() for path in sorted(Path(site).rglob("*.html"))]
        urls = [f"http://127.0.0.1:{server.server_port}/{page.removesuffix('index.html')}" for page in pages]
        with ThreadPoolExecutor(2) as threads:
            asked = [(browser, f"127.0.0.1:{elsewhere.server_port}", url, width) for url in urls for width in WIDTHS]
            for said in threads.map(lambda words: complaints(*words), asked):
                found += said
        server.shutdown()
        print(f"{site}: {len(pages)} pages opened, {len(WIDTHS)} widths")
    asked = [path for path in Elsewhere.asked if not OWN.fullmatch(path.removeprefix("http://"))]
    found += [f"a page asked another host for {path}" for path in asked]
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
