"""Pictures of training, with matplotlib."""

import io
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from petseg.pixels import saving

mpl.use("Agg")
import matplotlib.pyplot as plt


def plot_history(history: list[dict[str, float]], path: Path, score: str = "val_miou") -> None:
    """Loss and a validation figure over the epochs, as a PNG."""
    epochs = [row["epoch"] for row in history]
    figure, (losses, scores) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    losses.plot(epochs, [row["loss"] for row in history], label="training")
    losses.plot(epochs, [row["val_loss"] for row in history], label="validation")
    losses.set(xlabel="epoch", ylabel="loss")
    losses.legend()
    scores.plot(epochs, [row[score] for row in history], color="tab:green")
    scores.set(xlabel="epoch", ylabel=score)
    save_figure(figure, path)
    plt.close(figure)


def save_figure(figure: Figure, path: Path, dpi: int = 110, *, tight: bool = False) -> None:
    """Write a picture, whole or not at all, a PNG with petseg's mark; its suffix says in which format.

    Args:
        figure: of matplotlib.
        path: where to.
        dpi: pixels to an inch of the figure.
        tight: cut off what is empty around it, and take in what hangs out.
    """
    buffer, form = io.BytesIO(), path.suffix.removeprefix(".").lower()
    figure.savefig(
        buffer,
        format=form,
        dpi=dpi,
        metadata={"Software": saving.MARK} if form == "png" else None,
        bbox_inches="tight" if tight else None,
    )
    saving.write(path, buffer.getvalue())
