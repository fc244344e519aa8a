"""How answers hold out against damage, level by level: a drawing for each model, so that none hides one."""

import html
from collections.abc import Sequence

from petseg.app.comparison import FOUND, SweepPoint
from petseg.measure.perturbations import LEVELS, PERTURBATIONS

NOBODY = "finds no pet in the clean photo"
WIDTH, HEIGHT = 300, 150
LEFT, RIGHT, TOP, BOTTOM = 40, 12, 10, 26
"""Room around a drawing's field, in its units."""


def curves(points: Sequence[SweepPoint], kind: str) -> str:
    """A drawing for each model, or that it finds nothing to begin with, as HTML.

    Args:
        points: of all models, in any order.
        kind: of the damage.
    """
    names = dict.fromkeys(point.model for point in points)
    drawings = "".join(
        _figure(name, [point.value for point in sorted(points, key=_level) if point.model == name])
        for name in names
    )
    chosen = PERTURBATIONS[kind]
    strengths = ", ".join(f"{strength:g}" for strength in chosen.strengths)
    return (
        f'<div class="curves">{drawings}</div><p class="facts">{chosen.plain}, levels 1 to {LEVELS}: '
        f"{html.escape(chosen.unit)} {strengths}. Up: overlap with the clean answer; from {FOUND:.0%} on, "
        "the dashed line, a pet counts as found.</p>"
    )


def endurance(values: Sequence[float]) -> str:
    """Up to which level a pet is found, in words.

    Args:
        values: overlaps with the clean answer, level 1 first.
    """
    held = next((level for level, value in enumerate(values) if value < FOUND), len(values))
    return f"found up to level {held}" if held > 1 else "lost at level 2"


def _level(point: SweepPoint) -> int:
    return point.level


def _figure(name: str, values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return f"<figure><figcaption><b>{html.escape(name)}</b> {NOBODY}</figcaption></figure>"
    return _drawn(name, known)


def _drawn(name: str, values: Sequence[float]) -> str:
    places = [(_across(level), _up(value)) for level, value in enumerate(values, 1)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>' for x, y in places)
    said = ", ".join(f"level {level}: {value:.0%}" for level, value in enumerate(values, 1))
    return (
        f"<figure><figcaption><b>{html.escape(name)}</b> {endurance(values)}</figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(name)}: {said}">'
        f'{_axes()}<polyline points="{line}"/>{dots}</svg></figure>'
    )


def _axes() -> str:
    across = "".join(
        f'<text x="{_across(level):.1f}" y="{HEIGHT - 8}" text-anchor="middle">{level}</text>'
        for level in range(1, LEVELS + 1)
    )
    up = "".join(
        f'<line class="{"limit" if value == FOUND else "grid"}" x1="{LEFT}" x2="{WIDTH - RIGHT}" '
        f'y1="{_up(value):.1f}" y2="{_up(value):.1f}"/>'
        f'<text x="{LEFT - 6}" y="{_up(value) + 4:.1f}" text-anchor="end">{value:.0%}</text>'
        for value in (0, FOUND, 1)
    )
    return across + up


def _across(level: int) -> float:
    return LEFT + 8 + (WIDTH - LEFT - RIGHT - 16) * (level - 1) / (LEVELS - 1)


def _up(value: float) -> float:
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - value)
