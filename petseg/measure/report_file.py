"""Reports: figures in a JSON file with petseg's mark, never in the place of what is not petseg's."""

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from petseg.errors import OutputError
from petseg.pixels import saving
from petseg.version import version


def write(path: Path | None, report: Mapping[str, Any]) -> None:
    """Write figures as `saving.write_json` does, and say that petseg did; None: to no file."""
    if path is not None:
        saving.write_json(path, {saving.MARK: version(), **report})


def read(path: Path) -> Any:
    """What a report says, without petseg's mark.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no JSON.
    """
    document = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(document, dict) and isinstance(document.get(saving.MARK), str):
        del document[saving.MARK]
    return document


def check_writable(path: Path | None, *, force: bool, in_new_folder: bool = False) -> None:
    """Raise `OutputError` now rather than after the work; also where a file is that petseg did not write.

    Args:
        path: None, if nothing is to be written.
        force: replace such a file.
        in_new_folder: whether the file may lie in a folder that is yet to be made.
    """
    if path is None:
        return
    if not in_new_folder and not path.parent.is_dir():
        raise OutputError(f"there is no folder {str(path.parent)!r} for {path.name!r}; make it first")
    if path.exists() and not path.is_file():
        raise OutputError(f"{str(path)!r} is there and no regular file; choose another name")
    if not force:
        saving.check_free(path)


def check_files(folder: Path, names: Iterable[str], *, force: bool) -> None:
    """The same for files in a folder, which is made if it is not there."""
    for name in () if force else names:
        saving.check_free(folder / name)


def parse(parser: argparse.ArgumentParser, arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the arguments of a command that measures, which gets `--json FILE` and `--force`.

    It ends here, before the work, where the report could not be written in the end.

    Args:
        parser: with all other options of the command.
        arguments: without the program's name; None: those of this process.
    """
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures here")
    parser.add_argument(
        "--force", action="store_true", help="replace a file there that petseg did not write, too"
    )
    options = parser.parse_args(arguments)
    try:
        check_writable(options.json, force=options.force, in_new_folder=True)
    except OutputError as error:
        parser.error(f"argument --json: {error}")
    return options
