"""Masks lie on their pets, and clicks hit what they point at, whichever way the photo came in.

The tiny models call a pixel cat or dog by its colour, so each mask is known beforehand.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import ExifTags, Image

from petseg import pipeline
from petseg.segmenter import Segmenter
from tests.support.command_line import pixels
from tests.support.tiny_models import GREY, PROMPTABLE, RED, SIZE, save_parts

Pixels = NDArray[np.uint8]

CAT, DOG = (207, 125, 125), (125, 125, 207)
"""About as far above the tiny model's threshold as `GREY` is below: an edge between them is where it looks.

And far enough for it to be sure, after JPEG too.
"""

STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""EXIF orientation -> how a camera that was held so stores an upright scene."""


@dataclass(frozen=True)
class Scene:
    """A cat in the upper left and a dog at the lower right border, so that no turn looks like another."""

    width: int
    height: int

    def area(self, left: float, top: float, right: float, bottom: float) -> tuple[slice, slice]:
        rows = slice(round(top * self.height), round(bottom * self.height))
        return rows, slice(round(left * self.width), round(right * self.width))

    @property
    def pets(self) -> dict[int, tuple[slice, slice]]:
        return {1: self.area(0.1, 0.15, 0.45, 0.4), 2: self.area(0.7, 0.5, 1, 1)}

    @property
    def photo(self) -> Pixels:
        photo = np.full((self.height, self.width, 3), GREY, np.uint8)
        for pet, colour in ((1, CAT), (2, DOG)):
            photo[self.pets[pet]] = colour
        return photo

    def save(self, path: Path, orientation: int) -> Path:
        image, exif = Image.fromarray(self.photo), Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        how = STORED[orientation]
        turned = image if how is None else image.transpose(how)
        turned.save(path, exif=exif, **({"quality": 95, "subsampling": 0} if path.suffix == ".jpg" else {}))
        return path

    def assert_aligned(self, mask: Pixels) -> None:
        """All that is further from an edge than half a pixel, of the larger kind, is what it is.

        But for corners: no resizing keeps them sharp.
        """
        assert mask.shape == (self.height, self.width)
        margin = int(np.ceil(max(1, max(self.width, self.height) / SIZE) / 2))
        ground = np.ones(mask.shape, bool)
        for pet, (rows, columns) in self.pets.items():
            for down, along in ((margin, 2 * margin), (2 * margin, margin)):
                inner = (shrunk(rows, down, self.height), shrunk(columns, along, self.width))
                assert mask[inner].size
                assert (mask[inner] == pet).all()
            ground[
                rows.start - margin : rows.stop + margin, columns.start - margin : columns.stop + margin
            ] = 0
        assert not mask[ground].any()


def shrunk(part: slice, margin: int, limit: int) -> slice:
    """Less a margin at both ends, but where the end is the photo's."""
    return slice(part.start + margin, part.stop - (margin if part.stop < limit else 0))


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize(
    ("scene", "name"),
    [
        (Scene(101, 67), "small.png"),
        (Scene(64, 64), "square.png"),
        (Scene(23, 40), "tiny.png"),
        (Scene(1537, 1025), "large.jpg"),  # 193 x 129 at an eighth, the last of which are one pixel's worth
        (Scene(577, 1151), "upright.jpg"),
    ],
    ids=str,
)
def test_masks_lie_on_their_pets(
    scene: Scene, name: str, orientation: int, model_path: Path, run: Callable[..., Any], tmp_path: Path
) -> None:
    path = scene.save(tmp_path / name, orientation)
    segmenter = Segmenter(model_path, device="cpu", threads=1)
    (kept,), (unkept,) = segmenter.map([path]), segmenter.map([path], keep_photos=False)
    for result in (segmenter(path), kept, unkept):
        scene.assert_aligned(result.mask)
        assert result.size == (scene.width, scene.height)
        assert np.abs(result.photo.astype(int) - scene.photo).mean() < 1
        tinted = np.asarray(result.overlay(1, {"cat": (1, 2, 3), "dog": (4, 5, 6)}))
        np.testing.assert_array_equal((tinted == (1, 2, 3)).all(-1), result.mask == 1)
    assert run("segment", path, "-o", tmp_path / "mask.png").exit_code == 0
    scene.assert_aligned(pixels(tmp_path / "mask.png"))


def test_large_photos_are_decoded_smaller(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    load_reduced = pipeline.load_reduced

    def spy(*arguments: Any, **options: Any) -> Any:
        read.append(load_reduced(*arguments, **options))
        return read[-1]

    monkeypatch.setattr(pipeline, "load_reduced", spy)
    path = Scene(1537, 1025).save(tmp_path / "large.jpg", 7)
    list(Segmenter(model_path, device="cpu", threads=1).map([path], keep_photos=False))
    assert read[0][0].shape == (129, 193, 3)


# -- clicks and boxes -----------------------------------------------------------------------------------

quick = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def clickable(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Segmenter]:
    """Whether it looks closer -> a model that answers with a disc around a click, where all is cat."""
    folder = tmp_path_factory.mktemp("clickable")
    return {
        zoom: Segmenter(save_parts(folder / str(zoom), PROMPTABLE | {"zoom": zoom}), device="cpu", threads=1)
        for zoom in (False, True)
    }


def middle(mask: Pixels) -> NDArray[np.float64]:
    """(x, y): where the pet of a mask has its centre."""
    rows, columns = np.nonzero(mask)
    return np.array([columns.mean(), rows.mean()]) + 0.5


def touches_the_border(mask: Pixels) -> bool:
    return bool(mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any())


SIDE, SHARE = st.one_of(st.integers(1, 4), st.integers(1, 500)), st.floats(0, 1, exclude_max=True)


@quick
@given(st.integers(SIZE, 500), SIDE, SHARE, SHARE, st.booleans(), st.booleans())
@example(SIZE, 1, 0.0, 0.0, True, False)
@example(3000, 1, 0.7, 0.5, False, False)
@example(2000, 500, 0.3, 0.5, False, True)
def test_clicks_hit_what_they_point_at(
    clickable: dict[bool, Segmenter],
    long: int,
    short: int,
    along: float,
    down: float,
    upright: bool,
    zoom: bool,
) -> None:
    width, height = (short, long) if upright else (long, short)
    photo = np.full((height, width, 3), RED, np.uint8)
    x, y = along * width, down * height
    answer = clickable[zoom](photo, (x, y))
    assert answer.mask[int(y), int(x)] == 1
    if not touches_the_border(answer.mask):
        pixel = max(1, max(width, height) / SIZE)
        assert np.abs(middle(answer.mask) - (x, y)).max() <= 0.5 * pixel
        assert np.count_nonzero(answer.mask) < 50 * pixel**2  # around the click alone


@quick
@given(
    st.integers(80, 500),
    st.integers(80, 500),
    st.lists(st.floats(0.05, 0.95), min_size=4, max_size=4),
    st.booleans(),
)
def test_boxes_hold_what_they_are_drawn_around(
    clickable: dict[bool, Segmenter], width: int, height: int, shares: list[float], zoom: bool
) -> None:
    (x0, x1), (y0, y1) = sorted(shares[::2]), sorted(shares[1::2])
    if min(x1 - x0, y1 - y0) < 0.1:
        return
    box = np.array([x0 * width, y0 * height, x1 * width, y1 * height])
    mask = clickable[zoom](np.full((height, width, 3), RED, np.uint8), box=box).mask
    pixel = max(1, max(width, height) / SIZE)
    rows, columns = np.nonzero(mask)
    found = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    outwards = (found - box) * (-1, -1, 1, 1)
    assert (outwards >= -0.5 * pixel).all()
    assert (outwards <= 2 * pixel).all()  # the model answers for a little more than the box


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_clicks_on_the_command_line_are_those_of_the_upright_photo(
    orientation: int,
    suffix: str,
    clickable: dict[bool, Segmenter],
    prompt_model_path: Path,
    run: Callable[..., Any],
    tmp_path: Path,
) -> None:
    scene = Scene(330, 200)
    path = scene.save(tmp_path / f"photo{suffix}", orientation)
    for x, y, pet in ((60, 50, 1), (329.5, 199, 2)):
        asked = ["--model", prompt_model_path, "--device", "cpu", "--point", f"{x},{y}"]
        assert run("segment", path, "-o", tmp_path / "mask.png", *asked).exit_code == 0
        mask = pixels(tmp_path / "mask.png")
        assert mask.shape == (200, 330)
        assert mask[int(y), int(x)] == pet
        assert set(np.unique(mask)) == {0, pet}
        np.testing.assert_array_equal(mask, clickable[False](path, (x, y)).mask)
    assert run("segment", path, "-o", tmp_path / "none.png", *asked[:-1], "199,329").exit_code == 1
