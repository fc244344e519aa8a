"""The options by which commands are told which photos with masks to measure on."""

import argparse
from pathlib import Path

OXFORD = Path("../shared/data/oxford-iiit-pet")
"""Where they look unless they are told."""


def add_photos(parser: argparse.ArgumentParser, split: str = "test") -> None:
    """Add `--data`, a folder that `petseg.measure.datasets.read_pairs` takes, and `--split`.

    Args:
        parser: of the command.
        split: default of `--split`.
    """
    parser.add_argument("--data", type=Path, default=OXFORD, help="photos with masks; default: %(default)s")
    parser.add_argument(
        "--split", default=split, help="list of names, for the Oxford layout; default: %(default)s"
    )
