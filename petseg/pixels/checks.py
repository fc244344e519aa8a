"""Whether what was given is a number."""

import math
from collections.abc import Callable
from typing import Any

from petseg.errors import OutputError


def is_number(value: Any, fits: Callable[[float], bool]) -> bool:
    """Whether this is a number that fits, whatever it is."""
    try:
        return not isinstance(value, str | bytes) and bool(fits(value))
    except (TypeError, ValueError):
        return False


def check_tolerance(tolerance: float) -> None:
    """Raise `OutputError` for what is not how far, in pixels, an outline may stray."""
    if not is_number(tolerance, lambda value: value >= 0 and math.isfinite(value)):
        raise OutputError(f"tolerance is {tolerance!r}; give a number of pixels, 0 or more")
