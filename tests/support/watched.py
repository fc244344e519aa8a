"""Runs Python in a process that reports what it did to the world outside."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOOPBACK = ("127.0.0.1", "::1", "localhost", "0.0.0.0")

_WATCH = """
import atexit, json, sys
_seen = []
def _watch(event, arguments):
    if event in ("socket.connect", "socket.sendto"):
        _seen.append((event, str(arguments[1][0]) if isinstance(arguments[1], tuple) else "unix"))
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0]
        _seen.append((event, host.decode() if isinstance(host, bytes) else str(host)))
    elif event == "pickle.find_class":
        _seen.append((event, f"{arguments[0]}.{arguments[1]}"))
    elif event in ("subprocess.Popen", "os.system"):
        _seen.append((event, str(arguments[0])))
    elif event == "open":
        _seen.append((event, str(arguments[0])))
sys.addaudithook(_watch)
atexit.register(lambda: open(sys.argv[1], "w").write(json.dumps(_seen)))
"""


@dataclass(frozen=True)
class Seen:
    """What a process did.

    Attributes:
        output: what it printed.
        events: (audit event, what it was about), in order.
    """

    output: str
    events: list[tuple[str, str]]

    def of(self, event: str) -> list[str]:
        """What all events of a kind were about."""
        return [about for kind, about in self.events if kind == event]

    @property
    def elsewhere(self) -> list[tuple[str, str]]:
        """What went, or asked the way, beyond this machine."""
        near = (*LOOPBACK, "None", "", "unix")
        return [
            (kind, about) for kind, about in self.events if kind.startswith("socket.") and about not in near
        ]


def watched(code: str, report: Path, *arguments: object, **environment: str) -> Seen:
    """Run code, whose `sys.argv` begins at [2] with the arguments.

    Args:
        code: Python.
        report: file for what is seen.
        arguments: for the code.
        environment: changes of it.
    """

    done = subprocess.run(
        [sys.executable, "-c", _WATCH + code, str(report), *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        env=os.environ | {"PYTHONWARNINGS": "ignore"} | environment,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return Seen(done.stdout, [tuple(event) for event in json.loads(report.read_text())])
