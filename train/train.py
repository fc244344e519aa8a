"""Train a model: `accelerate launch train/train.py --config train/configs/unet.toml`."""

import argparse
import sys
from pathlib import Path

# Started as a script, Python puts train/ first on sys.path, and `import train` would find this file
# instead of the package.
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from accelerate import PartialState

from train.config import load_config
from train.loops import trainer_class


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", required=True, help="TOML file, see train/configs/")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override, e.g. optim.epochs=2"
    )
    parser.add_argument("--resume", action="store_true", help="go on from the run's last whole epoch")
    options = parser.parse_args(arguments)
    try:
        config = load_config(options.config, options.set)
    except (OSError, ValueError) as error:
        parser.exit(1, f"cannot train {options.config}: {error}\n")
    trainer_class(config.model)(config).fit(resume=options.resume)
    PartialState().destroy_process_group()


if __name__ == "__main__":
    main()
