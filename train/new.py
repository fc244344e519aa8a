"""A config for photos of your own: `python -m train.new NAME PHOTOS`.

Looks at the folder, says what it found and draws it, and writes a config that goes on from a trained model.
"""

import argparse
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from petseg.errors import PetsegError
from petseg.measure import labels
from petseg.pixels import saving
from train.checkpoint import CHECKPOINTS, load_checkpoint_config
from train.config import Config
from train.data.dataset import read_source
from train.data.found import NOTHING, Found, examine, look
from train.data.samples import Sample
from train.report.figures import Panel, plot_panels
from train.toml import to_toml

START = CHECKPOINTS / "unet"
ITEMS = 6000
"""Photos that a fine-tuning shows in all its epochs, about..."""
EPOCHS = (4, 60)
"""... but no fewer and no more epochs than these."""
COLUMNS, ROWS = 4, 3
"""Of the picture."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Look, tell, draw, write."""
    parser = argparse.ArgumentParser(prog="python -m train.new", description=__doc__)
    parser.add_argument("name", help="of the model: lower-case letters, digits, - and _")
    parser.add_argument(
        "photos", type=Path, help="folder with images/ and masks, or an export beside images/"
    )
    parser.add_argument(
        "--masks", default="", help="folder of masks, or annotation file, in PHOTOS; default: what is found"
    )
    parser.add_argument(
        "--classes", metavar="VALUE=CLASS,...", help="what masks hold: 0=background,255=cat, or #ff0000=dog"
    )
    parser.add_argument(
        "--start", type=Path, default=START, help="checkpoint to go on from; default: %(default)s"
    )
    parser.add_argument("--config", type=Path, help="to write; default: runs/NAME.toml")
    parser.add_argument("--force", action="store_true", help="replace a config that is there")
    options = parser.parse_args(arguments)
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", options.name):
        parser.error(f"{options.name!r} is no name for a model; use lower-case letters, digits, - and _")
    path: Path = options.config or Path("runs") / f"{options.name}.toml"
    picture = path.with_suffix(".png")
    if path.exists() and not options.force:
        parser.error(f"{path} is there already; give another name, or --force")
    try:
        if not options.force:
            saving.check_free(picture)
        found = look(options.photos, options.masks, parse_classes(options.classes))
        samples = read_source(found.source, Path())
        shown = examine(samples)
        if not shown.keys() - {NOTHING}:
            raise ValueError("no mask shows a cat or a dog: there is nothing to learn")
        draw(samples, picture, str(options.photos))
        config = fine_tuning(options.name, found, len(samples), options.start)
        saving.write(path, config_text(config, options, len(samples)).encode())
    except (PetsegError, OSError, ValueError) as error:
        parser.exit(1, f"no config for {options.photos}: {error}\n")
    print(report(found, shown, len(samples)))
    print(f"{picture}: some of them; look whether the colours lie on the pets\n{path}: the config\nNext:")
    print(f"  accelerate launch train/train.py --config {path} --check    # a minute: will it train?")
    print(
        f"  accelerate launch train/train.py --config {path}    # then docs/train.md, from photos to the Hub"
    )


def parse_classes(text: str | None) -> dict[str, str]:
    """What `--classes` says, nothing without it; raises as `petseg.measure.labels.parse_classes`."""
    return labels.parse_classes(text) if text else {}


def draw(samples: Sequence[Sample], path: Path, title: str) -> None:
    """Some of the photos, their masks in colour over them."""
    chosen = np.unique(np.linspace(0, len(samples) - 1, COLUMNS * ROWS).round().astype(int))
    panels = [
        Panel(sample.read_image(), sample.name, sample.read_mask())
        for sample in (samples[index] for index in chosen)
    ]
    columns = min(COLUMNS, len(panels))
    blank = Panel(np.asarray(Image.new("RGB", (8, 8), "white")), "")
    panels += [blank] * (-len(panels) % columns)
    rows = [panels[start : start + columns] for start in range(0, len(panels), columns)]
    plot_panels(rows, path, title)


def fine_tuning(name: str, found: Found, photos: int, start: Path) -> Config:
    """A run that goes on from a checkpoint with these photos alone.

    Args:
        name: of the model.
        found: the photos.
        photos: how many there are.
        start: the checkpoint.

    Raises:
        FileNotFoundError, ValueError: it is none.
    """
    before = load_checkpoint_config(start)
    training = max(1, round(photos * (1 - found.source.validation)))
    epochs = min(max(round(ITEMS / training), EPOCHS[0]), EPOCHS[1])
    document: dict[str, Any] = {
        "name": name,
        "output": f"runs/{name}",
        "start": start.as_posix(),
        "data": {
            "root": ".",
            "size": before.data.size,
            "cache_side": before.data.cache_side,
            "sources": [found.source.model_dump(exclude_defaults=True)],
        },
        "model": {"family": before.model.family}
        | before.model.without_start().model_dump(exclude_defaults=True),
        # A tenth of what trained it, so that it learns these photos and forgets little.
        "optim": {
            "epochs": epochs,
            "batch_size": min(16, before.optim.batch_size),
            "learning_rate": 3e-4,
            "encoder_scale": 0.25,
            "warmup_epochs": 0.2,
            "ema": 0.99,
            "mixed_precision": "no",
        },
        "augment": {"turn": 0.1, "zoom_out": 0.06, "perturb": 0.2},
    }
    return Config.model_validate(document)


def config_text(config: Config, options: argparse.Namespace, photos: int) -> str:
    """The config as TOML, with a word on what it is."""
    document = config.model_dump(exclude_unset=True)
    return (
        f"# {config.name}: fine-tuned from {config.start} on {photos} photos of {options.photos}.\n"
        "# Every field is described in train/config.py. Written by: python -m train.new "
        f"{options.name} {options.photos}\n{to_toml(document)}"
    )


def report(found: Found, shown: Counter[str], photos: int) -> str:
    """What was found, in words."""
    source = found.source
    means = source.classes or {"0": "background", "1": "cat", "2": "dog", "255": "ignored"}
    lines = [
        f"{source.path}: {photos} photos with masks"
        + (f" in {source.masks}" if source.layout == "folder" else "")
    ]
    lines += [
        f"  masks hold {value:<8} {share:7.2%} of all pixels: {means[value]}"
        for value, share in found.values.items()
    ]
    if not found.values:
        lines += [f"  what is called {label} is read as {name}" for label, name in source.classes.items()]
    lines.append("  " + ", ".join(f"{count} show {what}" for what, count in shown.most_common()))
    if photos < 20:
        lines.append("  that is very few: expect it to fit these animals, and no others")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
