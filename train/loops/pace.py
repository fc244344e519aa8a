"""How long a run takes, by how fast its first steps were."""

import time

from train.data.sources import say

WARM, ENOUGH = 2, 12
"""Steps before the clock starts, and those after which the run's length is told."""


class Pace:
    """Times the first steps of a run, and tells how long all will take.

    Attributes:
        seconds: of a step; None until two were timed.
    """

    def __init__(self) -> None:
        self.seconds: float | None = None
        self._steps, self._started = 0, 0.0

    def step(self, left: int) -> None:
        """One more step is done.

        Args:
            left: how many there are still in the whole run.
        """
        self._steps += 1
        if self._steps > ENOUGH:
            return
        if self._steps <= WARM:
            self._started = time.perf_counter()
            return
        self.seconds = (time.perf_counter() - self._started) / (self._steps - WARM)
        if self._steps == ENOUGH and left:
            say(
                f"about {in_words(left * self.seconds)} from here, validation left out "
                f"({self.seconds:.2g} s a step)"
            )


def in_words(seconds: float) -> str:
    """A duration to about two digits: "40 s", "12 min", "3.5 h"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
