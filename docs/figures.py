"""Draw the README's pictures: `python docs/figures.py`."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

import petseg
from petseg.app import pairs
from petseg.app.front import CARD, CARD_SIZE, FIRST, ICON, TOUCH_ICON

FOLDER = Path(__file__).parent
PUBLIC = FOLDER.parent / "petseg" / "app" / "public"
AMBER, BLUE, NIGHT = (245, 158, 11), (37, 99, 235), (23, 37, 84)
PAW = (
    (16, 21, 7.4, 6.2),
    (6.2, 14.6, 3, 4),
    (12.2, 8.4, 3.1, 4.3),
    (19.8, 8.4, 3.1, 4.3),
    (25.8, 14.6, 3, 4),
)
"""Centres and radii of its ellipses, in a square of 32."""


def checkerboard(width: int, height: int, side: int = 12) -> Image.Image:
    """What shows through a transparent picture, RGBA."""
    rows, columns = np.indices((height, width)) // side
    grey = np.where((rows + columns) % 2, 225, 255).astype(np.uint8)
    return Image.fromarray(grey).convert("RGBA")


def strip(pictures: list[Image.Image], gap: int = 8) -> Image.Image:
    """Pictures of one height side by side on white."""
    width = sum(picture.width for picture in pictures) + gap * (len(pictures) - 1)
    result = Image.new("RGB", (width, pictures[0].height), "white")
    left = 0
    for picture in pictures:
        result.paste(picture.convert("RGB"), (left, 0))
        left += picture.width + gap
    return result


def clicked(photo: Image.Image, point: tuple[int, int], radius: int = 9) -> Image.Image:
    """The overlay of the animal under a click, and the click."""
    picture = petseg.segment(photo, point).overlay()
    x, y = point
    circle = (x - radius, y - radius, x + radius, y + radius)
    ImageDraw.Draw(picture).ellipse(circle, "#16a34a", "white", width=3)
    return picture


def gradient(
    width: int, height: int, begin: tuple[int, ...] = AMBER, end: tuple[int, ...] = BLUE
) -> Image.Image:
    """From one colour in the upper left to another in the lower right, RGBA."""
    rows, columns = np.indices((height, width), np.float32)
    part = ((rows / height + columns / width) / 2)[..., None]
    colours = np.array(begin) * (1 - part) + np.array(end) * part
    return Image.fromarray(colours.round().astype(np.uint8)).convert("RGBA")


def sticker(cutout: Image.Image, edge: int) -> Image.Image:
    """A cutout with a white edge, so many pixels wide, and a soft shadow, RGBA and larger by both."""
    room = 4 * edge
    alpha = Image.new("L", (cutout.width + 2 * room, cutout.height + 2 * room))
    # What is hardly there gets no edge.
    alpha.paste(cutout.getchannel("A").point(lambda value: 255 * (value > 127)), (room, room))
    edged = alpha.filter(ImageFilter.MaxFilter(2 * edge + 1)).filter(ImageFilter.GaussianBlur(1.2))
    shadow = Image.new("RGBA", alpha.size, (15, 23, 42, 0))
    shadow.putalpha(edged.filter(ImageFilter.GaussianBlur(edge)).point(lambda value: value // 2))
    white = Image.new("RGBA", alpha.size, "white")
    white.putalpha(edged)
    picture = Image.alpha_composite(shadow, white)
    picture.alpha_composite(cutout, (room, room))
    return picture


def card(photo: Image.Image) -> Image.Image:
    """What link previews show: the cat as a sticker, and what the page does."""
    large = photo.resize((photo.width * 2, photo.height * 2), Image.Resampling.BICUBIC)
    cat = petseg.segment(large, (large.width // 2, large.height // 2)).cutout()
    cat = sticker(cat.crop(cat.getchannel("A").getbbox()), 9).rotate(5, Image.Resampling.BICUBIC, True)
    width, height = CARD_SIZE
    picture = gradient(width, height, NIGHT, BLUE)
    scale = min(1, (width * 0.66) / cat.width, (height + 60) / cat.height)
    cat = cat.resize((round(cat.width * scale), round(cat.height * scale)), Image.Resampling.LANCZOS)
    picture.alpha_composite(cat, (width - cat.width + 30, (height - cat.height) // 2))
    draw = ImageDraw.Draw(picture)
    draw.text((64, 150), "petseg", "white", ImageFont.load_default(104))
    lines = "Cut your cat or dog\nout of any photo.\nKeep it as a sticker."
    draw.multiline_text((68, 300), lines, "white", ImageFont.load_default(42), spacing=14)
    return picture.convert("RGB")


def icon(side: int) -> Image.Image:
    """A white paw on the gradient, without rounded corners: phones round them."""
    large = 4 * side
    picture = gradient(large, large)
    draw = ImageDraw.Draw(picture)
    scale, margin = large / 44, 6
    for x, y, across, down in PAW:
        edges = (x - across, y - down, x + across, y + down)
        draw.ellipse(tuple((edge + margin) * scale for edge in edges), "white")
    return picture.resize((side, side), Image.Resampling.LANCZOS).convert("RGB")


def vector_icon() -> str:
    """The same as SVG, with rounded corners."""
    amber, blue = ("#{:02x}{:02x}{:02x}".format(*colour) for colour in (AMBER, BLUE))
    paw = "".join(f'<ellipse cx="{x}" cy="{y}" rx="{across}" ry="{down}"/>' for x, y, across, down in PAW)
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="-6 -6 44 44"><defs>'
        '<linearGradient id="g" x2="1" y2="1">'
        f'<stop stop-color="{amber}"/><stop offset="1" stop-color="{blue}"/></linearGradient></defs>'
        f'<rect x="-6" y="-6" width="44" height="44" rx="11" fill="url(#g)"/><g fill="#fff">{paw}</g></svg>\n'
    )


def publish(photo: Image.Image) -> None:
    """Draw what the page gives to link previews and browsers, and shows before its scripts are there."""
    card(photo).save(PUBLIC / CARD, quality=86, optimize=True)
    Image.fromarray(pairs.spotlight(petseg.segment(photo))).save(PUBLIC / FIRST, quality=82, optimize=True)
    icon(180).save(PUBLIC / TOUCH_ICON, optimize=True)
    (PUBLIC / ICON).write_text(vector_icon(), encoding="utf-8")


def main() -> None:
    """The photo, its overlay and its cutout; and two cats, one click on each."""
    photo = Image.open(FOLDER / "chelsea.jpg")
    publish(photo)
    result = petseg.segment(photo)
    cutout = Image.alpha_composite(checkerboard(*photo.size), result.cutout())
    strip([photo, result.overlay(), cutout]).save(FOLDER / "example.jpg", quality=88)
    pixels = np.asarray(photo)
    twins = Image.fromarray(np.concatenate([pixels, pixels[:, ::-1]], axis=1))
    x, y = photo.width // 2, photo.height // 2
    answers = [clicked(twins, point) for point in ((x, y), (twins.width - x, y))]
    small = [each.resize((each.width * 2 // 3, each.height * 2 // 3)) for each in answers]
    strip(small).save(FOLDER / "clicks.jpg", quality=85)


if __name__ == "__main__":
    main()
