"""Feeds files to petseg, in a process that may die: `python -m tests.fuzz.worker [MODEL] < paths`.

The files are photos for a model, or else models themselves.

Paths come as one JSON list. For each it writes a line of JSON when it begins, and one when it is done.
"""

import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from petseg import PetsegError, Segmenter
from petseg.measure.bench import peak_memory
from tests.fuzz.samples import picture

PHOTO = picture()
BUSY, IDLE = 5.0, 30.0
"""Seconds of work that a file may cost, and of waiting: after that the process is killed."""


def expected_size(path: Path) -> tuple[int, int] | None:
    """(width, height) of the upright photo, as Pillow alone says; None where it cannot."""
    try:
        with Image.open(path) as image:
            return ImageOps.exif_transpose(image).size
    except Exception:
        return None


def judge(model: str | None, path: Path) -> dict[str, Any]:
    """What became of a file."""
    try:
        segmenter = Segmenter(path if model is None else model, device="cpu", threads=1)
        prompt = (9, 9) if "point" in segmenter.manifest.prompts else None
        mask = segmenter.segment(PHOTO if model is None else path, prompt).mask
    except PetsegError as error:
        return {"outcome": "error", "said": f"{type(error).__name__}: {error}"}
    except Exception:
        return {"outcome": "broken", "said": traceback.format_exc()}
    size, expected = mask.shape[1::-1], PHOTO.size if model is None else expected_size(path)
    right = expected is None or size == expected
    return {"outcome": "mask" if right else "broken", "said": f"{size}, Pillow says {expected}"}


def main() -> None:
    """Work through the list."""
    verdicts = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what native libraries print is no verdict
    model = sys.argv[1] if len(sys.argv) > 1 else None
    judge(model, Path(model or "no such model.onnx"))  # so that no file is blamed for what loads only once
    for text in json.load(sys.stdin):
        print(json.dumps({"path": text}), file=verdicts, flush=True)
        signal.setitimer(signal.ITIMER_PROF, BUSY)
        signal.setitimer(signal.ITIMER_REAL, IDLE)
        started = time.process_time()
        verdict = judge(model, Path(text))
        seconds = time.process_time() - started
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        row = {"path": text, "seconds": seconds, "peak": peak_memory() or 0, **verdict}
        print(json.dumps(row), file=verdicts, flush=True)


if __name__ == "__main__":
    main()
