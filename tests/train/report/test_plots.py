from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from train.report.plots import plot_history


@pytest.mark.parametrize("epochs", [1, 5])
def test_history_is_drawn_and_closed(tmp_path: Path, epochs: int) -> None:
    history = [
        {"epoch": epoch, "loss": 1 / epoch, "val_loss": 1.2 / epoch, "val_miou": 1 - 1 / epoch}
        for epoch in range(1, epochs + 1)
    ]
    plot_history(history, tmp_path / "history.png")
    with Image.open(tmp_path / "history.png") as image:
        assert image.format == "PNG"
        pixels = np.asarray(image.convert("RGB")).astype(int)
    # The curves' colours are there once there is more than a point.
    blue = (np.abs(pixels - (31, 119, 180)).sum(2) < 30).sum()
    green = (np.abs(pixels - (44, 160, 44)).sum(2) < 30).sum()
    assert (blue > 50, green > 50) == (True, epochs > 1)
    assert not plt.get_fignums()
