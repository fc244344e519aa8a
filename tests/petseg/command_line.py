"""What the tests of the command line share."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def tree(folder: Path) -> list[str]:
    """All files below a folder."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir())


def pixels(path: Path) -> NDArray[np.uint8]:
    return np.asarray(Image.open(path))
