"""A photo before and after damage: side by side on the page, in words, and on a card to share."""

import base64
import html
import io
from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from petseg import Segmentation
from petseg.app import drawing
from petseg.app.comparison import Trial
from petseg.app.state import Pixels
from petseg.measure.perturbations import LEVELS, PERTURBATIONS

DIMMED = 0.45
"""How bright what is no pet is left, of 1."""
LOST, NEW = (220, 38, 38), (250, 204, 21)
"""The colours of a pet's lost pixels, and of pixels that only the damaged photo takes for a pet."""
CARD_WIDTH, MARGIN, GAP = 1200, 48, 24
"""Of a card, in pixels."""
TALLEST = 820
"""Height of a card's pictures, at most."""
INK, FAINT, PAPER = (15, 23, 42), (71, 85, 105), (255, 255, 255)


def spotlight(result: Segmentation) -> Pixels:
    """The photo with its pets in full colour and outlined, and the rest grey and dim; (h, w, 3) uint8."""
    grey = np.asarray(Image.fromarray(result.photo).convert("L"))[..., None] * DIMMED
    picture = np.where(result.mask[..., None] != 0, result.photo, grey.astype(np.uint8))
    return drawing.outlined(picture, result.mask)


def after(trial: Trial) -> Pixels:
    """The damaged photo as `spotlight` shows it; what is lost is red, what is new yellow; (h, w, 3) uint8."""
    picture = spotlight(trial.after)
    for area, colour in zip(changes(trial), (LOST, NEW), strict=True):
        picture[area] = (picture[area] * 0.4 + np.array(colour) * 0.6).astype(np.uint8)
    return picture


def changes(trial: Trial) -> tuple["np.ndarray[tuple[int, ...], np.dtype[np.bool_]]", ...]:
    """Pixels of a pet that are lost, and those that are new or of another animal; both (h, w) bool."""
    was, now = trial.before.mask, trial.after.mask
    return (was != 0) & (now == 0), (now != 0) & (was != now)


def verdict(trial: Trial, level: int) -> str:
    """What became of the pet, in a few words.

    Args:
        trial: before and after.
        level: of the damage, 1 to 10.
    """
    at = f"at level {level} of {LEVELS}"
    match trial.outcome:
        case "nothing":
            return "No pet is found in the clean photo"
        case "lost":
            return f"Lost {at}"
        case "mistaken":
            return f"Taken for a {trial.after.label} {at}"
        case "partly":
            return f"Only partly found {at}"
        case "found":
            return f"Still found {at}"


def answer(result: Segmentation) -> str:
    """What a model says of a photo, in words."""
    return "no pet" if result.label == "background" else f"{result.label}, {result.score:.0%} sure"


def damage_words(levels: Mapping[str, int]) -> str:
    """What was done to the photo, kind by kind, with the strengths in the study's own units."""
    done = [
        f"{chosen.plain} {levels[kind]} ({chosen.unit}: {chosen.strengths[levels[kind] - 1]:g})"
        for kind, chosen in PERTURBATIONS.items()
        if levels.get(kind, 1) != 1
    ]
    return ", ".join(done) or "not damaged: level 1 is clean"


def _short(levels: Mapping[str, int]) -> str:
    return ", ".join(f"{PERTURBATIONS[kind].plain} {level}" for kind, level in levels.items() if level != 1)


def pair(trial: Trial, levels: Mapping[str, int]) -> str:
    """Both pictures with what they show, as HTML that has the pictures in it."""
    shown = (
        ("Clean", spotlight(trial.before), trial.before, ""),
        ("Damaged", after(trial), trial.after, damage_words(levels)),
    )
    figures = "".join(
        f"<figure>{img(picture, f'{title} photo: {answer(result)}')}"
        f"<figcaption><b>{title}</b> {answer(result)}"
        f"{f'<small>{html.escape(words)}</small>' if words else ''}</figcaption></figure>"
        for title, picture, result, words in shown
    )
    names = ("lost", "new, or taken for another animal")
    chips = "".join(
        f'<li class="{kind}"><span class="swatch" aria-hidden="true"></span>{name}</li>'
        for kind, name, area in zip(("lost", "new"), names, changes(trial), strict=True)
        if area.any()
    )
    return f'<div class="pair">{figures}</div><ul class="chips">{chips}</ul>'


def told(trial: Trial, level: int) -> str:
    """The verdict, how much of the outline is left, and who says so, as HTML."""
    return (
        f'<p class="verdict {trial.outcome}">{verdict(trial, level)}</p>'
        f'<p class="facts">{html.escape(_small_print(trial))}</p>'
    )


def _small_print(trial: Trial) -> str:
    return f"Overlap with the clean answer: {trial.agreement:.0%} · model {trial.model}"


def img(picture: Pixels, words: str) -> str:
    """A picture as HTML that has it in it.

    Args:
        picture: (h, w, 3) uint8.
        words: what it shows, as HTML.
    """
    height, width = picture.shape[:2]
    return f'<img src="{data_url(picture)}" alt="{words}" style="--ratio: {width / height:.4f}">'


def data_url(picture: Pixels) -> str:
    """The picture itself as an address, a JPEG."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def card(trial: Trial, levels: Mapping[str, int], level: int) -> Image.Image:
    """The pair, the verdict and the model as one picture, `CARD_WIDTH` wide, to be sent to somebody.

    Args:
        trial: before and after.
        levels: kind -> level of all that was done.
        level: the one that the verdict tells.
    """
    side = (CARD_WIDTH - 2 * MARGIN - GAP) // 2
    pictures = [_fitted(picture, side) for picture in (spotlight(trial.before), after(trial))]
    top = MARGIN + 104
    foot = top + pictures[0].height + 16
    image = Image.new("RGB", (CARD_WIDTH, foot + 150), PAPER)
    draw = ImageDraw.Draw(image)
    _write(draw, (MARGIN, MARGIN), verdict(trial, level), 60, INK, CARD_WIDTH - 2 * MARGIN)
    captions = (
        ("Clean", answer(trial.before)),
        (_short(levels), answer(trial.after)),
    )
    for index, (picture, (what, said)) in enumerate(zip(pictures, captions, strict=True)):
        left = MARGIN + index * (side + GAP)
        image.paste(picture, (left + (side - picture.width) // 2, top), _rounded(picture.size))
        _write(draw, (left, foot), said[:1].upper() + said[1:], 30, INK, side)
        _write(draw, (left, foot + 38), what, 22, FAINT, side)
    _write(draw, (MARGIN, foot + 92), f"petseg · {_small_print(trial)}", 24, FAINT, CARD_WIDTH - 2 * MARGIN)
    return image


def _fitted(picture: Pixels, side: int) -> Image.Image:
    height, width = picture.shape[:2]
    scale = min(side / width, TALLEST / height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS)


def _rounded(size: tuple[int, int]) -> Image.Image:
    mask = Image.new("L", size)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, size[0] - 1, size[1] - 1), 16, 255)
    return mask


def _write(
    draw: ImageDraw.ImageDraw,
    place: tuple[int, int],
    text: str,
    size: int,
    colour: tuple[int, int, int],
    width: int,
) -> None:
    """One line in Pillow's own font, smaller where it would be wider than `width`."""
    font = ImageFont.load_default(size)
    if (length := draw.textlength(text, font)) > width:
        font = ImageFont.load_default(int(size * width / length))
    draw.text(place, text, colour, font)
