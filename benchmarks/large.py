"""Memory and time of the results of large photos: `python -m benchmarks.large`.

Each result is asked for in a process of its own, of a copy of scikit-image's cat with grain, from the file to
the result's file (`benchmarks.result`).
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.folder import draw
from benchmarks.result import KINDS
from petseg.measure import report_file
from petseg.measure.bench import environment

SIZES = {12: (4000, 3000), 48: (8000, 6000), 100: (10000, 10000)}
"""Megapixels -> width and height."""
MEMORY = {48: 0.7e9, 100: 1.2e9}
"""Megapixels -> bytes of a process, at most, whatever result it makes."""
SECONDS = {(12, "cutout"): 1.5, (48, "json"): 3.0}
"""Megapixels and result -> seconds of the processor, at most, once the photo is read and segmented."""


def measure(photo: Path, kind: str) -> dict[str, Any]:
    """Seconds and bytes of memory for one result.

    Raises:
        CalledProcessError: the process failed.
    """
    words = [sys.executable, "-m", "benchmarks.result", str(photo), kind]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def missed(megapixels: int, kind: str, figures: dict[str, Any]) -> list[str]:
    """The aims that these figures do not reach."""
    most = {"memory": MEMORY.get(megapixels), "processor": SECONDS.get((megapixels, kind))}
    return [name for name, limit in most.items() if limit is not None and figures[name] > limit]


def main() -> int:
    """Measure as the command line says; 1 if an aim is missed, 2 if a process failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large", description=__doc__)
    parser.add_argument("--megapixels", type=int, choices=SIZES, nargs="+", default=list(SIZES))
    parser.add_argument("--kinds", choices=KINDS, nargs="+", default=list(KINDS))
    options = report_file.parse(parser)
    report: dict[str, Any] = {}
    failed = False
    with tempfile.TemporaryDirectory(prefix="petseg-large-") as folder:
        for megapixels in options.megapixels:
            photo = draw(Path(folder) / f"{megapixels}.jpg", SIZES[megapixels], 0)
            for kind in options.kinds:
                try:
                    figures = measure(photo, kind)
                except subprocess.CalledProcessError as error:
                    print(f"{megapixels} megapixels, {kind}: {error.stderr.strip()[-500:]}", file=sys.stderr)
                    return 2
                report[f"{megapixels} {kind}"] = figures
                wrong = missed(megapixels, kind, figures)
                failed |= bool(wrong)
                print(
                    f"{megapixels:>4} megapixels  {kind:<17}{figures['seconds']:>7.2f} s"
                    f"{figures['processor']:>7.2f} s of the processor{figures['memory'] / 1e9:>7.2f} GB"
                    + (f"  misses its aim in {' and '.join(wrong)}" if wrong else ""),
                    flush=True,
                )
    report_file.write(options.json, environment() | {"figures": report})
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
