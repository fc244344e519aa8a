"""The page of a re-run: what was published, what came out, what differs."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from petseg.measure.perturbations import PERTURBATIONS
from train.studies.hours import HOW

HEAD = Path(__file__).with_name("head.md")
"""What the page begins with, in words."""
WRITTEN = "<!-- Written by python -m train.study"
"""Tells the page from one that somebody else wrote."""
MISSING = "not measured"
PRINTED = {
    "photos": "whole photos",
    "clicks": "clicks",
    "oracle": "the true species told",
    "trimap": "trimap",
}


def page(document: Mapping[str, Any]) -> str:
    """Markdown of what `train.studies.results.gather` gives, generated from it alone."""
    parts = [_head(document), _scale(document)]
    parts += [_study(document, letter) for letter in document["studies"]]
    parts.append(_hours(document))
    return "\n\n".join(part for part in parts if part) + "\n"


def table(rows: Iterable[Sequence[object]]) -> str:
    """Markdown, the first row its heading."""
    first, *rest = ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join([first, "|" + " --- |" * (first.count(" | ") + 1), *rest])


def _head(document: Mapping[str, Any]) -> str:
    studies, models = document["studies"], document["models"]
    rows = [("", "title", "rebuilt", "what it is about")]
    for letter, study in studies.items():
        names = ", ".join(f"`{name}`" for name, model in models.items() if model["study"] == letter)
        rows.append((f"**{letter}**", f"*{study['title']}*", names or "-", study["about"]))
    notes = "\n".join(f"- {note}" for note in document["notes"])
    text = HEAD.read_text(encoding="utf-8").rstrip()
    return text.format(studies=table(rows), notes=notes)


def _scale(document: Mapping[str, Any]) -> str:
    scale = document["scale"]
    amounts = (
        ("photos of the test list", scale.get("photos")),
        ("of them for damage", scale.get("robustness_photos")),
        ("animals that are clicked", scale.get("animals")),
    )
    measured = ", ".join(f"{what}: {'all' if count is None else count}" for what, count in amounts)
    common = [f"`{key} = {_short(value)}`" for key, value in scale["values"].items()]
    stand_in = [f"`{key} = {_short(value)}`" for key, value in scale["stand_in"].items()]
    lines = [
        f"## Scale: {scale['name']}",
        scale["words"].strip(),
        f'Measured on: {measured}, drawn by seed 0; every figure on this page under "ours" is of this scale.',
    ]
    if common:
        lines.append(f"In place of every config's own: {', '.join(common)}.")
    if stand_in:
        lines.append(f"In place of OpenAI's CLIP: {', '.join(stand_in)}.")
    return "\n\n".join(lines)


def _study(document: Mapping[str, Any], letter: str) -> str:
    models = {name: model for name, model in document["models"].items() if model["study"] == letter}
    if not models:
        return ""
    name = document["scale"]["name"]
    rows: list[Sequence[object]] = [("model", "figure", "published", f"ours, {name}", "ours is")]
    for model, found in models.items():
        if found["failure"] or not found["trained"]:
            rows.append((f"`{model}`", "-", "-", MISSING, found["failure"] or "not trained yet"))
        for row in found["rows"]:
            rows.append((f"`{model}`", row["figure"], row["published"], _number(row["ours"]), _meaning(row)))
        if not found["rows"]:
            rows.append((f"`{model}`", _own_figure(found)[0], "none", _number(_own_figure(found)[1]), ""))
    parts = [f"## Study {letter}", table(rows), _clicks(models, name), _damage(models, name)]
    if letter == "D":
        parts.append(_pairs(document))
    parts += [_differs(model, found, name) for model, found in models.items()]
    return "\n\n".join(part for part in parts if part)


def _meaning(row: Mapping[str, Any]) -> str:
    """What our figure is, where it is not the published one's."""
    return "" if row["as"] == row["figure"] else str(row["as"])


def _own_figure(found: Mapping[str, Any]) -> tuple[str, float | None]:
    """The figure of a model for which the study has none."""
    name = "trimap_miou" if found["measured_by"] == "trimap" else "miou"
    return name, (found["figures"] or {}).get(name)


def _clicks(models: Mapping[str, Any], name: str) -> str:
    rows: list[Sequence[object]] = []
    for model, found in models.items():
        figures = found["figures"]
        if found["measured_by"] != "clicks" or not figures:
            continue
        for way in ("exact", "jittered"):
            after = [_number(value) for value in figures[way]["iou"].values()]
            rows.append((f"`{model}`", way, *after, _number(figures[way]["species"])))
        heading = ("model", "clicks", *(f"IoU after {count}" for count in figures["exact"]["iou"]))
    if not rows:
        return ""
    return f"By simulated clicks, {name}:\n\n{table([(*heading, 'species right'), *rows])}"


def _damage(models: Mapping[str, Any], name: str) -> str:
    damaged = {model: found["robustness"] for model, found in models.items() if found["robustness"]}
    if not damaged:
        return ""
    rows: list[Sequence[object]] = [
        ("mIoU / Dice", "clean", *(PERTURBATIONS[kind].title for kind in PERTURBATIONS))
    ]
    for model, curves in damaged.items():
        first = next(iter(curves.values()))
        rows.append((f"`{model}`", _pair(first, 0), *(_pair(curves[kind], -1) for kind in PERTURBATIONS)))
    return f"Damaged, at the last level of each kind, {name}:\n\n{table(rows)}"


def _pairs(document: Mapping[str, Any]) -> str:
    """All of study D's published pairs beside those of its U-Net here."""
    curves = (document["models"].get("d_unet") or {}).get("robustness")
    published, name = document["published"], document["scale"]["name"]
    rows: list[Sequence[object]] = [("level", *(PERTURBATIONS[kind].title for kind in PERTURBATIONS))]
    for level in range(len(next(iter(published.values()))["miou"])):
        rows.append((level + 1, *(_pair(published[kind], level) for kind in PERTURBATIONS)))
        if curves:
            rows.append((f"ours, {name}", *(_pair(curves[kind], level) for kind in PERTURBATIONS)))
    return (
        "Study D's table 3 (section 5): mIoU / Dice of its U-Net at every level, as published, and below "
        f"each row that of `d_unet`:\n\n{table(rows)}"
    )


def _differs(model: str, found: Mapping[str, Any], name: str) -> str:
    """What a figure's difference may come from."""
    trained = found["trained"]
    data = (
        f"trained on {trained['photos']} photos for {trained['epochs']} epochs, "
        f"{trained['validated_on']} chose the best"
        if trained
        else "not trained"
    )
    if found["figures"] and "photos" in found["figures"]:
        data += f"; measured on {found['figures']['photos']} ({PRINTED[found['measured_by']]})"
    scale = [
        f"`{key}`: {_short(there)} in the recipe, {_short(here)} here"
        for key, (there, here) in found["scale"].items()
    ]
    lines = [f"- data: {data}; the study: {found['measured_on'] or 'no figure of its own'}"]
    lines += [f"- scale, {name}: {'; '.join(scale)}"] if scale else []
    lines += [f"- recipe: {words}" for words in found["differs"]]
    lines += [f"- not stated, chosen: {'; '.join(found['unstated'])}"] if found["unstated"] else []
    return f"What differs, `{model}`:\n\n" + "\n".join(lines)


def _hours(document: Mapping[str, Any]) -> str:
    models, rate = document["models"], document["scale"]["teraflops"]
    rows: list[Sequence[object]] = [("model", "hours")]
    rows += [(f"`{name}`", f"{model['hours_at_full_scale']:.2f}") for name, model in models.items()]
    rows.append(("all", f"{sum(model['hours_at_full_scale'] for model in models.values()):.1f}"))
    return f"## Full scale\n\nOn one GPU at {rate:g} TFLOP/s. {HOW}\n\n{table(rows)}"


def _pair(row: Mapping[str, Any], level: int) -> str:
    return f"{row['miou'][level]:.3f} / {row['mean_dice'][level]:.3f}"


def _number(value: float | None) -> str:
    return MISSING if value is None else f"{value:.3f}"


def _short(value: object) -> str:
    if value is None:
        return "-"
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
