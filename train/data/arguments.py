"""The options by which commands are told which photos with masks to measure on."""

import argparse
from pathlib import Path

from petseg.measure.datasets import has_trimaps
from train import config

OXFORD = Path(config.photos_root()) / config.OXFORD
"""Where they look unless they are told."""


def add_photos(parser: argparse.ArgumentParser, split: str = "test") -> None:
    """Add `--data`, a folder that `petseg.measure.datasets.read_pairs` takes, and `--split`.

    Args:
        parser: of the command.
        split: default of `--split` in the Oxford layout.
    """
    parser.add_argument("--data", type=Path, default=OXFORD, help="photos with masks; default: %(default)s")
    parser.add_argument("--split", help=f"list of names, for the Oxford layout; default there: {split}")
    parser.set_defaults(default_split=split)


def split_of(options: argparse.Namespace) -> str | None:
    """The list that `--split` names; without it the command's own in the Oxford layout, else every mask."""
    if options.split is not None:
        return options.split or None
    split: str = options.default_split
    return split if has_trimaps(options.data) else None
