"""What annotation tools export, as outlines of photos: COCO JSON, Label Studio JSON, "CVAT for images" XML.

Only what outlines an animal counts. Boxes, ellipses and key points are refused: they are not its mask.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree

import numpy as np

from petseg.errors import ImageError
from petseg.measure.labels import CLASS_NUMBERS, class_number
from petseg.measure.outlines import Brush, Outlined, Polygon, Region, Runs, Shape
from petseg.pixels import rle
from petseg.pixels.classes import BORDER

SUFFIXES = (".json", ".xml")
OTHERS = "*"
"""In a mapping of labels: all that it does not name."""
_TALK = frozenset({"choices", "textarea", "rating", "relation", "taxonomy", "number", "datetime", "pairwise"})
"""What Label Studio's results have that is no region."""
_UPLOAD = re.compile(r"^[0-9a-f]{8}-")
"""What Label Studio puts before the names of files that were uploaded."""


class Drawn(NamedTuple):
    """A photo of an export: its file's name as it stands there, and its outlines."""

    name: str
    outlined: Outlined


class Export(NamedTuple):
    """An annotation file: its photos, and how many tasks nobody has annotated yet."""

    photos: list[Drawn]
    untouched: int = 0


def names_one(masks: str | Path) -> bool:
    """Whether masks are to come from an annotation file, by its name."""
    return Path(masks).suffix.lower() in SUFFIXES


def read(path: Path, classes: Mapping[str, str] | None = None) -> Export:
    """Read an annotation file.

    Args:
        path: of COCO JSON (instances, with polygons or run lengths), Label Studio's JSON, or XML of "CVAT for
            images 1.1".
        classes: label, in any case -> "background", "cat", "dog" or "ignored", beside those four themselves;
            "*" stands for all others.

    Raises:
        ImageError: it cannot be read, is none of these, or has what is no outline or a label without a class.
    """
    return _read(path, _Labels.parse(path, classes or {}))


def labels_in(path: Path) -> list[str]:
    """The labels of what is drawn in an annotation file, as they stand there, sorted; raises as `read`."""
    seen: dict[str, int] = {}
    _read(path, _Recorder(path, seen))
    return sorted(seen)


def _read(path: Path, labels: "_Labels") -> Export:
    try:
        if path.suffix.lower() == ".xml":
            return _read_cvat(ElementTree.parse(path).getroot(), labels)
        document = json.loads(path.read_bytes())
        if isinstance(document, list):
            return _read_label_studio(document, labels)
        return _read_coco(document, labels)
    except ImageError:
        raise
    except OSError as error:
        raise ImageError(f"annotations {path} cannot be read ({error.strerror}); check the path") from error
    except (ValueError, KeyError, TypeError, AttributeError, ElementTree.ParseError, RecursionError) as error:
        raise ImageError(
            f"annotations {path} are no COCO JSON, Label Studio JSON or CVAT XML that petseg can read "
            f"({type(error).__name__}: {error})"
        ) from error


@dataclass(frozen=True, slots=True)
class _Labels:
    """Labels of an export as class numbers.

    Attributes:
        path: of the export, for messages.
        numbers: label in lower case -> class.
        others: the class of all that are not among them; None refuses those.
    """

    path: Path
    numbers: dict[str, int] = field(default_factory=dict)
    others: int | None = None

    @classmethod
    def parse(cls, path: Path, classes: Mapping[str, str]) -> "_Labels":
        named = {label.strip().casefold(): class_number(label, name) for label, name in classes.items()}
        others = named.pop(OTHERS, None)
        return cls(path, {**CLASS_NUMBERS, **named}, others)

    def number(self, label: str, photo: str) -> int:
        """The class of a label; raises `ImageError` where it has none."""
        number = self.numbers.get(str(label).strip().casefold(), self.others)
        if number is None:
            raise ImageError(
                f"annotations {self.path}: photo {photo!r} has the label {label!r}, which is no class; say "
                f'what it is: classes = {{"{label}" = "background"}} under [[data.sources]], or petseg eval '
                f"--classes '{label}=background' (* for all others)"
            )
        return number

    def refuse(self, photo: str, what: str) -> ImageError:
        """An error about what is drawn on a photo."""
        return ImageError(f"annotations {self.path}: photo {photo!r} has {what}")


class _Recorder(_Labels):
    """Keeps the labels that it is asked about in `numbers`, and calls all of them background."""

    def number(self, label: str, photo: str) -> int:
        """0."""
        return self.numbers.setdefault(str(label).strip(), 0)


def _polygon(vertices: Any) -> Polygon:
    ring = np.asarray(vertices, np.float64).reshape(-1, 2)
    if len(ring) < 3 or not np.isfinite(ring).all():
        raise ValueError("a polygon has fewer than three vertices, or some that are no numbers")
    return Polygon(ring)


# COCO: https://cocodataset.org/#format-data


def _read_coco(document: dict[str, Any], labels: _Labels) -> Export:
    names = _by_id(document["categories"], "name", labels)
    drawn: dict[Any, list[Region]] = {image["id"]: [] for image in document["images"]}
    photos = _by_id(document["images"], "file_name", labels)
    sizes = {image["id"]: (int(image["width"]), int(image["height"])) for image in document["images"]}
    for annotation in document["annotations"]:
        photo = photos[annotation["image_id"]]
        number = labels.number(names[annotation["category_id"]], photo)
        if number == 0:
            continue
        shapes = _coco_shapes(annotation.get("segmentation"), sizes[annotation["image_id"]])
        if not shapes:
            raise labels.refuse(photo, "a box without an outline (segmentation): that is not its mask")
        if annotation.get("iscrowd"):
            number = BORDER  # a group whose members were not told apart, and roughly
        drawn[annotation["image_id"]] += [Region(number, shape) for shape in shapes]
    return Export([Drawn(photo, Outlined(*sizes[number], drawn[number])) for number, photo in photos.items()])


def _by_id(entries: list[dict[str, Any]], key: str, labels: _Labels) -> dict[Any, str]:
    """What each id stands for; of files that were joined as they are, one id stands for several."""
    found: dict[Any, str] = {}
    for entry in entries:
        number, name = entry["id"], entry[key]
        if (other := found.setdefault(number, name)) != name:
            raise ImageError(
                f"annotations {labels.path}: the id {number!r} stands for {other!r} and for {name!r}; number "
                "them anew, or give the files that it was joined of one by one"
            )
    return found


def _coco_shapes(segmentation: Any, size: tuple[int, int]) -> Sequence[Shape]:
    """The parts of one animal: polygons, or run lengths as a list or as text."""
    if not segmentation:
        return []
    if isinstance(segmentation, list):
        return [_polygon(flat) for flat in segmentation]
    counts = segmentation["counts"]
    lengths = rle.from_coco(counts) if isinstance(counts, str) else np.asarray(counts, np.float64)
    if (lengths % 1 != 0).any():
        raise ValueError("run lengths that are no whole numbers")
    height, width = segmentation["size"]
    if (width, height) != size:
        raise ValueError(f"run lengths of {width} x {height} for a photo of {size[0]} x {size[1]}")
    return [Runs(lengths.astype(np.int64), by_column=True)]


# Label Studio: https://labelstud.io/guide/export.html


def _read_label_studio(tasks: list[Any], labels: _Labels) -> Export:
    photos: list[Drawn] = []
    untouched = 0
    for task in tasks:
        if "annotations" not in task:
            raise ImageError(
                f"annotations {labels.path} are no full export of Label Studio; export JSON, not JSON-MIN"
            )
        photo = _photo_of(task["data"])
        done = [one for one in task["annotations"] if not one.get("was_cancelled")]
        done = [one for one in done if one.get("ground_truth")] or done
        if not done:
            untouched += 1
            continue
        if len(done) > 1:
            raise labels.refuse(photo, f"{len(done)} annotations; mark one of them as the ground truth")
        photos.append(Drawn(photo, _label_studio_outlines(done[0]["result"], photo, labels)))
    if not photos and untouched:
        raise ImageError(f"annotations {labels.path}: no task is annotated (predictions are not the truth)")
    return Export(photos, untouched)


def _photo_of(data: Mapping[str, Any]) -> str:
    """The file's name in the address of a task's photo: of an upload, of a local file or of a store."""
    found = [value for key, value in data.items() if key == "image" or str(value).startswith("/data/")]
    if not found:
        raise ValueError(f"a task's data name no image: {dict(data)}")
    address = urlsplit(str(found[0]))
    path = parse_qs(address.query).get("d", [unquote(address.path)])[0]
    return path.lstrip("/")


def _label_studio_outlines(results: list[Any], photo: str, labels: _Labels) -> Outlined:
    named = {
        one["id"]: one["value"][one["type"]] for one in results if str(one.get("type", "")).endswith("labels")
    }
    size, regions = (0, 0), []
    for one in results:
        kind = one["type"]
        if kind in _TALK or kind == "labels":
            continue
        chosen = named.get(one["id"], [])
        if len(chosen) != 1:
            raise labels.refuse(photo, f"a region with {len(chosen)} labels; give it one")
        number = labels.number(chosen[0], photo)
        if kind.removesuffix("labels") not in ("polygon", "brush"):
            if number == 0:
                continue
            raise labels.refuse(photo, f"a {kind}: that is not the mask of an animal; outline it")
        if one.get("image_rotation"):
            raise labels.refuse(
                photo, "been turned in Label Studio; turn the photo itself, and outline it again"
            )
        size, value = (int(one["original_width"]), int(one["original_height"])), one["value"]
        shape: Shape
        if "rle" in value:
            shape = Brush(bytes(value["rle"]))
        else:
            shape = _polygon(np.asarray(value["points"], np.float64) * np.asarray(size) / 100)
        regions.append(Region(number, shape))
    return Outlined(*size, regions)


# CVAT: https://docs.cvat.ai/docs/manual/advanced/xml_format/


def _read_cvat(root: ElementTree.Element, labels: _Labels) -> Export:
    if root.tag != "annotations" or root.find("image") is None:
        raise ImageError(
            f"annotations {labels.path} hold no <image>; export the task as 'CVAT for images 1.1'"
        )
    photos = []
    for image in root.iter("image"):
        photo, size = image.attrib["name"], (int(image.attrib["width"]), int(image.attrib["height"]))
        shapes = sorted(_cvat_shapes(image), key=lambda shape: int(shape.get("z_order", 0)))
        regions = []
        for element in shapes:
            number = labels.number(element.attrib["label"], photo)
            if element.tag not in _CVAT and number == 0:
                continue
            if element.tag not in _CVAT:
                raise labels.refuse(photo, f"a {element.tag}: that is not the mask of an animal; outline it")
            regions.append(Region(number, _CVAT[element.tag](element)))
        photos.append(Drawn(photo, Outlined(*size, regions)))
    return Export(photos)


def _cvat_shapes(image: ElementTree.Element) -> Iterator[ElementTree.Element]:
    return (element for element in image if element.tag != "tag")


def _cvat_polygon(element: ElementTree.Element) -> Shape:
    return _polygon([pair.split(",") for pair in element.attrib["points"].split(";")])


def _cvat_mask(element: ElementTree.Element) -> Shape:
    lengths = np.array([int(text) for text in element.attrib["rle"].split(",")], np.int64)
    left, top, width, height = (int(element.attrib[name]) for name in ("left", "top", "width", "height"))
    return Runs(lengths, by_column=False, box=(left, top, width, height))


_CVAT: dict[str, Callable[[ElementTree.Element], Shape]] = {"polygon": _cvat_polygon, "mask": _cvat_mask}


def file_names(name: str) -> Iterator[str]:
    """What the file of a photo may be called beside the export, the likeliest first."""
    path = name.replace("\\", "/")
    yield path
    yield (base := path.rpartition("/")[2])
    if _UPLOAD.match(base):
        yield _UPLOAD.sub("", base)
