"""Whether what was given is a number."""

from collections.abc import Callable
from typing import Any


def is_number(value: Any, fits: Callable[[float], bool]) -> bool:
    """Whether this is a number that fits, whatever it is."""
    try:
        return not isinstance(value, str | bytes) and bool(fits(value))
    except (TypeError, ValueError):
        return False
