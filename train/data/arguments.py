"""The options by which commands are told which photos with masks to measure on."""

import argparse
from pathlib import Path

import numpy as np

from petseg.measure.datasets import has_trimaps, read_pairs
from petseg.measure.pair import Pair
from train import config

OXFORD = Path(config.photos_root()) / config.OXFORD
"""Where they look unless they are told."""


def add_photos(parser: argparse.ArgumentParser, split: str = "test", *, some: bool = False) -> None:
    """Add `--data`, a folder that `petseg.measure.datasets.read_pairs` takes, and `--split`.

    Args:
        parser: of the command.
        split: default of `--split` in the Oxford layout.
        some: add `--photos` too, see `read_chosen`.
    """
    if some:
        parser.add_argument("--photos", type=int, metavar="N", help="only N of them, always the same")
    parser.add_argument("--data", type=Path, default=OXFORD, help="photos with masks; default: %(default)s")
    parser.add_argument("--split", help=f"list of names, for the Oxford layout; default there: {split}")
    parser.set_defaults(default_split=split)


def split_of(options: argparse.Namespace) -> str | None:
    """The list that `--split` names; without it the command's own in the Oxford layout, else every mask."""
    if options.split is not None:
        return options.split or None
    split: str = options.default_split
    return split if has_trimaps(options.data) else None


def read_chosen(options: argparse.Namespace) -> list[Pair]:
    """The photos with masks that a command is asked to measure on, by name; `--photos` draws some by seed 0.

    Raises:
        ValueError: `--photos` is below 1.
        petseg.ImageError: there are none.
    """
    pairs = read_pairs(options.data, split_of(options))
    if options.photos is None:
        return pairs
    if options.photos < 1:
        raise ValueError(f"--photos {options.photos}: give 1 or more")
    chosen = np.random.default_rng(0).permutation(len(pairs))[: options.photos]
    return [pairs[index] for index in np.sort(chosen)]
