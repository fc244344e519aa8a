"""Runs `worker` over files and reads its verdicts."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Verdict:
    """What became of one file.

    Attributes:
        path: the file.
        outcome: "mask" (of the right size), "error" (a `PetsegError`), "broken" (anything else), or "died":
            the process crashed, or was killed since it hung.
        said: an error's message, or why it is broken.
        seconds: of CPU time.
        peak: largest memory of the process so far, in bytes.
    """

    path: Path
    outcome: str
    said: str
    seconds: float = 0.0
    peak: int = 0


def judge(paths: Sequence[Path], model: Path | None = None) -> list[Verdict]:
    """Feed photos to a model, or models to petseg; after a death, the rest goes on in another process."""
    verdicts: list[Verdict] = []
    words = [sys.executable, "-W", "ignore", "-m", "tests.fuzz.worker", *([str(model)] if model else [])]
    while rest := [str(path) for path in paths[len(verdicts) :]]:
        done = subprocess.run(
            words, input=json.dumps(rest), capture_output=True, text=True, cwd=ROOT, check=False
        )
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        if not rows:
            raise RuntimeError(f"the worker does not start: {done.stderr}")
        verdicts += [Verdict(Path(row.pop("path")), **row) for row in rows if "outcome" in row]
        if done.returncode:
            ended = f"exit status {done.returncode}: {done.stderr[-2000:]}"
            verdicts.append(Verdict(Path(rows[-1]["path"]), "died", ended))
    return verdicts
