"""Train a model: `accelerate launch train/train.py [--config train/configs/unet.toml]`.

Without a config, the U-Net on the Oxford-IIIT Pet dataset, which is downloaded if it is not there.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

# Started as a script, Python puts train/ first on sys.path, and `import train` would find this file
# instead of the package.
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from accelerate import PartialState

from petseg.errors import PetsegError
from train.check import check
from train.config import DEFAULT_CONFIG, Config, list_configs, load_config, purpose_of
from train.data.sources import say
from train.loops import trainer_class
from train.loops.base import Fits
from train.models.encoders import WeightsUnavailableError


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=list_configs(), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", type=Path, help=f"TOML file; default: {DEFAULT_CONFIG.name}")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override, e.g. optim.epochs=2"
    )
    parser.add_argument("--resume", action="store_true", help="go on from the run's last whole epoch")
    parser.add_argument(
        "--check",
        action="store_true",
        help="only try it: read, train some steps, validate, save, tell how long",
    )
    options = parser.parse_args(arguments)
    path = options.config or DEFAULT_CONFIG
    try:
        config = load_config(path, options.set)
        if options.config is None:
            say(introduce(config))
        make = partial(open_run, lenient=options.config is None)
        if options.check:
            print(check(config, path, make))
        else:
            make(config).fit(resume=options.resume)
    except (PetsegError, ImportError, OSError, ValueError) as error:
        parser.exit(1, f"cannot train {path}: {error}\n")
    PartialState().destroy_process_group()


def introduce(config: Config) -> str:
    """What is trained if nobody says what, from what, into what; and what else there is."""
    return (
        f"No --config: {DEFAULT_CONFIG.name} is trained. {purpose_of(DEFAULT_CONFIG)}\n"
        f"  photos from {config.data.root} (PETSEG_DATA, or --set data.root=FOLDER), "
        f"{config.optim.epochs} epochs at {config.data.size} px, into {config.folder}\n"
        f"Other {list_configs()}"
    )


def open_run(config: Config, *, lenient: bool) -> Fits:
    """The trainer of a config.

    Args:
        config: of the run.
        lenient: start from random weights, and say so, if the pretrained ones cannot be downloaded.
    """
    try:
        return trainer_class(config.model)(config)
    except WeightsUnavailableError as error:
        if not lenient:
            raise
        say(f"{error}\nNo config was named, so random weights do instead: it takes longer, and ends lower.")
        model = config.model.without_start()
        return trainer_class(model)(config.model_copy(update={"model": model}))


if __name__ == "__main__":
    main()
