"""A headless Chromium, driven over its debugging pipe: what the page's test and scripts/report_pages.sh open pages with.

Needs the standard library only. The browser runs without network: no name of a host is resolved.

    scripts/browser.py      prints the browser's path; without one, why, and ends with status 77
"""
import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

NAMES = ["chromium", "chromium-browser", "chromium-headless-shell", "google-chrome"]


class BrowserError(Exception):
    """The browser did not do what it was asked; the text says what."""


def find_browser():
    """(path, "") of a browser that starts, or (None, why there is none)."""
    for name in NAMES:
        path = shutil.which(name)
        if not path:
            continue
        # A wrapper that only installs something (as Ubuntu's package is) answers no version.
        try:
            answer = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30, check=False)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if answer.returncode == 0 and any(character.isdigit() for character in answer.stdout):
            return path, ""
    return None, "no working Chromium was found (Debian's package: chromium)"


class Browser:
    """One browser with one page. Collects console errors, exceptions and requests of the page that is open."""

    def __init__(self, path):
        self.folder = tempfile.mkdtemp(prefix="normquant_browser_")
        self.errors, self.requests = [], []
        self._number, self._buffer, self._events = 0, b"", []
        read_theirs, self._write = os.pipe()
        self._read, write_theirs = os.pipe()

        def to_3_and_4():
            # The copies lie beyond 4, so that neither dup2 overwrites what the other needs.
            theirs = [os.dup2(read_theirs, 103), os.dup2(write_theirs, 104)]
            os.dup2(theirs[0], 3)
            os.dup2(theirs[1], 4)

        self._process = subprocess.Popen(
            [path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--mute-audio",
             "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
             "--force-color-profile=srgb", "--font-render-hinting=none", "--host-resolver-rules=MAP * ~NOTFOUND",
             f"--user-data-dir={self.folder}", "--remote-debugging-pipe", "about:blank"],
            preexec_fn=to_3_and_4, close_fds=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(read_theirs)
        os.close(write_theirs)
        self._session = None
        targets = self._call("Target.getTargets")["targetInfos"]
        page = next(target for target in targets if target["type"] == "page")
        self._session = self._call("Target.attachToTarget", targetId=page["targetId"], flatten=True)["sessionId"]
        for domain in ["Page", "Runtime", "Network", "Log"]:
            self._call(f"{domain}.enable")

    def _call(self, method, **parameters):
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next_message()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def _next_message(self):
        while b"\0" not in self._buffer:
            part = os.read(self._read, 1 << 20)
            if not part:
                raise BrowserError("the browser ended before it answered")
            self._buffer += part
        text, self._buffer = self._buffer.split(b"\0", 1)
        message = json.loads(text)
        self._note(message)
        return message

    def _note(self, message):
        """Keeps what a page must not do, and what is waited for."""
        method, parameters = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            details = parameters["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning", "assert"):
            self.errors.append(" ".join(str(argument.get("value")) for argument in parameters["args"]))
        elif method == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
            self.errors.append(parameters["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        elif method == "Page.loadEventFired":
            self._events.append(method)

    def open(self, path, fragment=""):
        """Opens a file; seconds until it was loaded and its scripts had run."""
        self.errors, self.requests, self._events = [], [], []
        began = time.monotonic()
        self._call("Page.navigate", url="about:blank")
        while not self._events:
            self._next_message()
        self.errors, self.requests, self._events = [], [], []
        began = time.monotonic()
        self._call("Page.navigate", url="file://" + os.path.abspath(path) + fragment)
        while not self._events:
            self._next_message()
        self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        return time.monotonic() - began

    def run(self, script):
        """The value of a JavaScript expression in the page; promises are waited for."""
        answer = self._call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise BrowserError(details.get("exception", {}).get("description") or details["text"])
        return answer["result"].get("value")

    def resize(self, width, height, phone=False):
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        self._call("Emulation.setTouchEmulationEnabled", enabled=phone)

    def use_scheme(self, scheme):
        """`light` or `dark`."""
        self._call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def press(self, key, code=None):
        """One key, as a keyboard sends it: "Tab", "Enter"."""
        number = {"Tab": 9, "Enter": 13, " ": 32}.get(key, 0)
        text = {"Enter": "\r", " ": " "}.get(key)
        for kind in ["keyDown", "keyUp"]:
            extra = {"text": text} if text and kind == "keyDown" else {}
            self._call("Input.dispatchKeyEvent", type=kind, key=key, code=code or key, windowsVirtualKeyCode=number, **extra)

    def picture(self, path, box=None):
        """A PNG of what is visible, or of the box (x, y, width, height) in pixels of the page."""
        options = {"format": "png"}
        if box:
            x, y, width, height = box
            options.update(captureBeyondViewport=True, clip={"x": x, "y": y, "width": width, "height": height, "scale": 1})
        with open(path, "wb") as file:
            file.write(base64.b64decode(self._call("Page.captureScreenshot", **options)["data"]))

    def pdf(self):
        """The page as it would be printed."""
        return base64.b64decode(self._call("Page.printToPDF", printBackground=True)["data"])

    def close(self):
        try:
            self._call("Browser.close")
        except (BrowserError, OSError):
            pass
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
        os.close(self._write)
        os.close(self._read)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


if __name__ == "__main__":
    found, absent = find_browser()
    print(found or absent)
    sys.exit(0 if found else 77)
