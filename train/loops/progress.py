"""What a run has come to: its history, its best epoch, and how long it has not become better."""

import csv
import io
import math
from pathlib import Path
from typing import Any

from petseg.pixels import saving

SCORE = "val_miou"
"""Figure of the history that the best epoch goes by, unless a trainer has another; higher is better."""


class Progress:
    """What the loop must remember across a resume.

    Attributes:
        history: one row an epoch.
        best: highest score.
        reference: the figure that patience compares with: it moves by `min_delta` at least, so that many
            small gains add up to a large one.
        stale: epochs since `reference` moved.
    """

    def __init__(self) -> None:
        self.history: list[dict[str, float]] = []
        self.best = self.reference = -math.inf
        self.stale = 0

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.history)

    def record(
        self,
        row: dict[str, float],
        min_delta: float,
        figure: str = SCORE,
        watched: float | None = None,
    ) -> bool:
        """Add an epoch; True if its `figure` is the best so far.

        Args:
            row: of the history.
            min_delta: see `reference`.
            figure: of the row.
            watched: what patience goes by instead, the higher the better.
        """
        self.history.append(row)
        score = row[figure]
        if (watched := score if watched is None else watched) > self.reference + min_delta:
            self.reference, self.stale = watched, 0
        else:
            self.stale += 1
        improved = score > self.best
        self.best = max(self.best, score)
        return improved

    def state_dict(self) -> dict[str, Any]:
        """For `Accelerator.save_state`."""
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """For `Accelerator.load_state`."""
        vars(self).update({"reference": state["best"], **state})


def write_history(path: Path, history: list[dict[str, float]]) -> None:
    """One CSV row an epoch."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, history[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    saving.write(path, text.getvalue().encode())
