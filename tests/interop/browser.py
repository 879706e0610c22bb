"""A real browser: Debian's Chromium, without a window, driven over WebDriver (https://www.w3.org/TR/webdriver2/)."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Callable

from debian import libraries, unpack
from processes import Process, Trouble

PACKAGES = ["chromium", "chromium-driver"]
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
"""The name under which an answer holds an element."""

PATIENCE = 15
"""How long a page may take, in seconds."""

FLAGS = [
    "--headless=new",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    "--window-size=1000,720",
]
"""No name is looked up, so that it reaches loopback and nothing else."""


class Chromium:
    """The program. It is unpacked as Debian's servers are, and nothing is installed."""

    def __init__(self, store: Path):
        self.store = store

    def install(self) -> None:
        self.root = unpack(PACKAGES, self.store)

    def browser(self, state: Path) -> Browser:
        """A browser that knows nobody. It keeps its own things below `state`."""
        folders = [libraries(self.root)["LD_LIBRARY_PATH"], *self.root.glob("usr/lib/*-linux-*/pulseaudio")]
        program = self.root / "usr/lib/chromium/chromium"
        return Browser(self.root / "usr/bin/chromedriver", program, ":".join(map(str, folders)), state)


class Browser:
    """One browser with its cookies. Elements are named by CSS selectors; one that is not there is waited for."""

    def __init__(self, driver: Path, program: Path, folders: str, state: Path):
        self.folder = Path(tempfile.mkdtemp(prefix="browser-", dir=state))
        # Its home is its own, so that nothing of it is left in that of whoever runs the suite.
        environment = {"LD_LIBRARY_PATH": folders, "HOME": str(self.folder)}
        self.process = Process("chromedriver", [driver, "--port=0"], self.folder / "chromedriver.log", environment)
        said = self.process.line("ChromeDriver was started successfully on port ")
        self.port = int(said.rstrip("."))
        flags = [*FLAGS, f"--user-data-dir={self.folder / 'profile'}"]
        if os.geteuid() == 0:
            flags.append("--no-sandbox")  # It refuses to run as root with one.
        options = {"binary": str(program), "args": flags}
        wanted = {"browserName": "chrome", "goog:chromeOptions": options, "timeouts": {"pageLoad": PATIENCE * 1000}}
        answer = self._send("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self.session = f"/session/{answer['sessionId']}"

    def go(self, url: str) -> None:
        self._command("POST", "/url", {"url": url})

    @property
    def current_url(self) -> str:
        return self._command("GET", "/url")

    @property
    def cookies(self) -> list[dict[str, object]]:
        """Those of the page that is shown."""
        return self._command("GET", "/cookie")

    def set_cookie(self, cookie: dict[str, object]) -> None:
        """For the page that is shown, as it was read from there."""
        self._command("POST", "/cookie", {"cookie": cookie})

    def has(self, css: str) -> bool:
        return bool(self._found(css))

    def wait_for(self, *selectors: str) -> str:
        """Waits until one of these is on the page, and says which."""

        def found() -> str | None:
            return next((css for css in selectors if self._found(css)), None)

        return self._until(found, f"does not show {' or '.join(selectors)}")

    def wait_for_text(self, text: str) -> None:
        self._until(lambda: text in self.page() or None, f"does not say {text}")

    def wait_until_gone(self, css: str) -> None:
        self._until(lambda: None if self._found(css) else css, f"goes on to show {css}")

    def text(self, css: str) -> str:
        return self._element("GET", css, "text")

    def attribute(self, css: str, name: str) -> str:
        """Also what is hidden can be read so: `textContent`."""
        return self._element("GET", css, f"property/{name}")

    def click(self, css: str) -> None:
        self._element("POST", css, "click", {})

    def leave_by(self, css: str) -> None:
        """Clicks, and waits until the page that was there is gone."""
        page = self._found("html")[0]
        self.click(css)
        self._until(lambda: self._found("html") not in [[], [page]] or None, f"is not left by {css}")

    def type(self, css: str, text: str) -> None:
        self._element("POST", css, "clear", {})
        self._element("POST", css, "value", {"text": text})

    def page(self) -> str:
        """All that can be read on it."""
        return self.text("body") if self.has("body") else ""

    def screenshot(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(base64.b64decode(self._command("GET", "/screenshot")))

    def delete(self) -> None:
        with contextlib.suppress(Trouble):
            self._command("DELETE", "")
        self.process.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _until(self, ready: Callable[[], str | bool | None], otherwise: str):
        """Asks until something is returned, and returns that."""
        deadline = time.monotonic() + PATIENCE
        while (found := ready()) is None:
            if time.monotonic() > deadline:
                raise Trouble(f"{self.current_url} {otherwise}, but:\n{self.page()[:600]}")
            time.sleep(0.03)
        return found

    def _found(self, css: str) -> list[str]:
        elements = self._command("POST", "/elements", {"using": "css selector", "value": css})
        return [element[ELEMENT] for element in elements]

    def _element(self, method: str, css: str, what: str, body: object = None):
        """The page may be replaced between finding the element and using it, so that is tried again once."""
        for is_last in [False, True]:
            self.wait_for(css)
            try:
                return self._command(method, f"/element/{self._found(css)[0]}/{what}", body)
            except (Trouble, IndexError) as why:
                if is_last or (isinstance(why, Trouble) and "stale element" not in str(why)):
                    raise Trouble(f"{css}: {why}") from None

    def _command(self, method: str, path: str, body: object = None):
        return self._send(method, f"{self.session}{path}", body)

    def _send(self, method: str, path: str, body: object = None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=4 * PATIENCE)
        try:
            encoded = None if body is None else json.dumps(body)
            connection.request(method, path, encoded, {"Content-Type": "application/json"})
            value = json.loads(connection.getresponse().read())["value"]
        except (OSError, ValueError, http.client.HTTPException) as why:
            raise Trouble(f"chromedriver does not answer {method} {path}: {why!r}") from None
        finally:
            connection.close()
        if isinstance(value, dict) and "error" in value:
            raise Trouble(f"the browser says {value['error']}: {value['message'].splitlines()[0]}")
        return value
