"""For pytest: counts what was judged, and saves tensors that were not right (docs/python.md).

Every judgement of normquant.testing is counted, and the terminal summary says how many there were. With `--normquant-save DIR`
the tensors of each that was wrong, or could not be told, are written there, and the failure ends with the command that judges
them again.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

_PROPERTY = "normquant"


def pytest_addoption(parser):
    group = parser.getgroup("normquant", "tensors judged by normquant")
    group.addoption(
        "--normquant-save",
        metavar="DIR",
        help="write tensors that normquant.testing does not call right to DIR, for `normquant check`",
    )


def pytest_configure(config):
    config.pluginmanager.register(_Tally(config.getoption("--normquant-save")), "normquant-tally")


class _Tally:
    def __init__(self, folder):
        self.folder = folder and Path(folder).absolute()
        self.name, self.count = "", 0
        self.item: dict = {}
        self.all: dict = {}

    def _hook(self):
        from normquant import testing  # late: tests that judge nothing need no library

        if self._observe not in testing._observers:
            testing._observers.append(self._observe)
        testing._save_path = self._path if self.folder else None

    def _observe(self, judgement):
        for key, count in ((judgement.outcome, 1), ("elements", judgement.elements_checked)):
            self.item[key] = self.item.get(key, 0) + count
        self.item["tensors"] = self.item.get("tensors", 0) + len(judgement.tensors)

    def _path(self):
        self.count += 1
        return self.folder / f"{self.name}-{self.count}.safetensors"

    def pytest_runtest_setup(self, item):
        self.name, self.count, self.item = re.sub(r"[^\w.-]+", "_", item.nodeid).strip("_"), 0, {}
        self._hook()

    def pytest_runtest_makereport(self, item, call):
        # With the report of the last phase, also from another process (pytest-xdist).
        if call.when == "teardown" and self.item:
            item.user_properties.append((_PROPERTY, json.dumps(self.item)))
            self.item = {}

    def pytest_runtest_logreport(self, report):
        if report.when != "teardown":
            return
        for name, text in report.user_properties:
            if name == _PROPERTY:
                for key, count in json.loads(text).items():
                    self.all[key] = self.all.get(key, 0) + count

    def pytest_terminal_summary(self, terminalreporter):
        if not self.all:
            return
        get = self.all.get
        line = (
            f"normquant: {get('tensors', 0)} tensors judged ({get('elements', 0)} elements): {get('right', 0)} cases right, "
            f"{get('wrong', 0)} wrong, {get('cannot tell', 0)} that cannot be told"
        )
        if self.folder and (get("wrong") or get("cannot tell")):
            line += f"; tensors saved in {self.folder}"
        terminalreporter.write_line(line)

    def pytest_unconfigure(self):
        testing = sys.modules.get("normquant.testing")
        if testing is not None and self._observe in testing._observers:
            testing._observers.remove(self._observe)
            testing._save_path = None
