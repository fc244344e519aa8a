"""Tables, lists and numbers in Markdown."""

import math
from collections.abc import Sequence
from typing import Any

NOT_MEASURED = "Not measured."


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def number(value: Any) -> str:
    """Four decimals, a whole number as it is, a dash for what has no value."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def percent(value: Any) -> str:
    """A share with one decimal, a dash for what has no value."""
    return "-" if number(value) == "-" else f"{value:.1%}"


def bullets(lines: Sequence[str]) -> str:
    """A list."""
    return "\n".join(f"- {line.strip()}" for line in lines)


def commands(lines: Sequence[str]) -> str:
    """What one types, in a block of its own."""
    return "\n".join(["```bash", *(line.strip() for line in lines), "```"])
