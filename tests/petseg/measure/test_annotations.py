"""A cat and a dog on one photo, and nothing on another, as three tools export them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from petseg.errors import ImageError, ImageWarning
from petseg.measure.annotations import read
from petseg.measure.datasets import read_pairs

WIDTH, HEIGHT = 20, 10
TRUTH = np.zeros((HEIGHT, WIDTH), np.uint8)
TRUTH[2:6, 1:9] = 1
TRUTH[4:9, 12:18] = 2
CAT = [1, 2, 9, 2, 9, 6, 1, 6]
DOG = [12, 4, 18, 4, 18, 9, 12, 9]

Write = Callable[..., Path]


def pairs_of(flat: list[int]) -> list[tuple[int, int]]:
    return list(zip(flat[::2], flat[1::2], strict=True))


def coco(dog: Any = None, **more: Any) -> dict[str, Any]:
    images = [
        {"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT}
        for number, name in ((7, "both.png"), (9, "none.png"))
    ]
    dog = {"counts": (TRUTH == 2).T.ravel(), "size": [HEIGHT, WIDTH]} if dog is None else dog
    if isinstance(dog, dict) and not isinstance(dog["counts"], str):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], dog["counts"], [0]])))
        dog = dog | {"counts": np.diff([0, *edges, WIDTH * HEIGHT]).tolist()}
    cat = {"id": 1, "image_id": 7, "category_id": 3, "iscrowd": 0, "segmentation": [CAT]} | more
    return {
        "images": images,
        "categories": [{"id": 3, "name": "Cat"}, {"id": 5, "name": "dog"}, {"id": 8, "name": "person"}],
        "annotations": [cat, {"id": 2, "image_id": 7, "category_id": 5, "segmentation": dog}],
    }


def label_studio(**more: Any) -> list[dict[str, Any]]:
    def region(flat: list[int], label: str, number: str) -> dict[str, Any]:
        points = [[100 * x / WIDTH, 100 * y / HEIGHT] for x, y in pairs_of(flat)]
        return {
            "id": number,
            "type": "polygonlabels",
            "original_width": WIDTH,
            "original_height": HEIGHT,
            "image_rotation": 0,
            "value": {"points": points, "closed": True, "polygonlabels": [label]},
        }

    result = [region(CAT, "cat", "a") | more, region(DOG, "Dog", "b")]
    result.append({"id": "c", "type": "choices", "value": {"choices": ["sharp"]}})
    return [
        {"data": {"image": "/data/upload/3/0a1b2c3d-both.png"}, "annotations": [{"result": result}]},
        {"data": {"image": "/data/local-files/?d=photos/none.png"}, "annotations": [{"result": []}]},
    ]


def cvat(shape: str = "") -> str:
    points = ";".join(f"{x}.0,{y}.0" for x, y in pairs_of(CAT))
    mask = '<mask label="dog" rle="0, 30" left="12" top="4" width="6" height="5" z_order="1"/>'
    return f"""<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version><meta/>
<image id="0" name="both.png" width="{WIDTH}" height="{HEIGHT}">{shape}{mask}
<polygon label="cat" points="{points}" z_order="0"/><tag label="blurred"/></image>
<image id="1" name="none.png" width="{WIDTH}" height="{HEIGHT}"/></annotations>"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes an export beside two photos."""
    (tmp_path / "images").mkdir()
    for name in ("both", "none"):
        Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / f"images/{name}.png")

    def write(document: Any) -> Path:
        xml = isinstance(document, str)
        path = tmp_path / ("annotations.xml" if xml else "result.json")
        path.write_text(document if xml else json.dumps(document))
        return path

    return write


@pytest.mark.parametrize("document", [coco(), label_studio(), cvat()], ids=["coco", "label-studio", "cvat"])
def test_three_tools_say_the_same(write: Write, document: Any) -> None:
    path = write(document)
    both, none = read_pairs(path.parent, masks=path.name)
    assert (both.name, none.name) == ("both", "none")
    assert both.image == path.parent / "images/both.png"
    assert np.array_equal(both.read_mask(), TRUTH)
    assert np.array_equal(none.read_mask(), np.zeros_like(TRUTH))


def test_what_coco_calls_a_crowd_is_ignored(write: Write) -> None:
    path = write(coco(iscrowd=1))
    mask = read_pairs(path.parent, masks=path)[0].read_mask()
    assert np.array_equal(mask, np.where(TRUTH == 1, 255, TRUTH))


def test_labels_mean_what_a_mapping_says(write: Write) -> None:
    path = write(coco(category_id=8))
    with pytest.raises(ImageError, match=r"both\.png' has the label 'person'.*person=background"):
        read_pairs(path.parent, masks=path)
    for classes, number in (({"Person": "ignored"}, 255), ({"*": "background"}, 0), ({"person": "cat"}, 1)):
        mask = read_pairs(path.parent, masks=path, classes=classes)[0].read_mask()
        assert np.array_equal(mask, np.where(TRUTH == 1, number, TRUTH))
    with pytest.raises(ImageError, match="'person' is to be 'pet'; give one of background, cat"):
        read(path, {"person": "pet"})


def test_a_mapping_that_leaves_no_pet_is_refused(write: Write) -> None:
    path = write(coco(category_id=8))
    with pytest.raises(ImageError, match="outline no cat and no dog"):
        read_pairs(path.parent, masks=path, classes={"dog": "background", "*": "background"})


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (coco(segmentation=[]), "a box without an outline"),
        (coco(segmentation=[[1, 2, 3, 4]]), "fewer than three"),
        (coco({"counts": "0", "size": [5, 5]}), "5 x 5 for a photo of 20 x 10"),
        ({"images": []}, "no COCO JSON, Label Studio JSON or CVAT XML"),
        (label_studio(type="rectanglelabels", value={"rectanglelabels": ["cat"]}), "a rectanglelabels"),
        (label_studio(image_rotation=90), "been turned"),
        (label_studio(value={"points": [], "polygonlabels": ["cat", "dog"]}), "2 labels"),
        ([{"image": "x.png", "label": []}], "not JSON-MIN"),
        ([{"data": {"image": "both.png"}, "annotations": [], "predictions": [{}]}], "no task is annotated"),
        ([{"data": {"image": "both.png"}, "annotations": [{"result": []}] * 2}], "ground truth"),
        (cvat('<box label="cat" xtl="1" ytl="2" xbr="3" ybr="4"/>'), "a box: that is not the mask"),
        ("<annotations><track/></annotations>", "CVAT for images"),
        ("<annotations>", "ParseError"),
    ],
)
def test_what_is_no_mask_of_an_animal_is_refused(write: Write, document: Any, said: str) -> None:
    path = write(document)
    with pytest.raises(ImageError, match=said) as caught:
        read_pairs(path.parent, masks=path)
    assert str(path) in str(caught.value)


def test_boxes_of_what_is_background_do_not_matter(write: Write) -> None:
    path = write(cvat('<box label="person" xtl="1" ytl="2" xbr="3" ybr="4"/>'))
    pairs = read_pairs(path.parent, masks=path, classes={"*": "background"})
    assert np.array_equal(pairs[0].read_mask(), TRUTH)


def test_an_outline_that_does_not_fit_names_the_photo(write: Write) -> None:
    path = write(cvat('<mask label="cat" rle="0, 5" left="0" top="0" width="2" height="2"/>'))
    with pytest.raises(ImageError, match=r"both\.png: run lengths of 5 pixels do not fill 2 x 2"):
        read_pairs(path.parent, masks=path)[0].read_mask()


def test_the_later_and_the_higher_lies_in_front(write: Write) -> None:
    over = '<polygon label="dog" points="0,0;20,0;20,10;0,10" z_order="{}"/>'
    path = write(cvat(over.format(-1)))
    assert np.array_equal(read_pairs(path.parent, masks=path)[0].read_mask(), np.where(TRUTH, TRUTH, 2))
    path = write(cvat(over.format(5)))
    assert (read_pairs(path.parent, masks=path)[0].read_mask() == 2).all()


def test_photos_that_are_missing_or_untouched_are_counted(write: Write) -> None:
    tasks = label_studio()
    tasks.append({"data": {"image": "/data/upload/3/0a1b2c3d-gone.png"}, "annotations": [{"result": []}]})
    tasks.append({"data": {"image": "later.png"}, "annotations": []})
    path = write(tasks)
    with pytest.warns(ImageWarning, match=r"1 are not in .*gone\.png.*, and 1 are not annotated"):
        pairs = read_pairs(path.parent, masks=path)
    assert len(pairs) == 2
    (path.parent / "images/both.png").unlink()
    (path.parent / "images/none.png").unlink()
    with pytest.raises(ImageError, match="none of the photos"):
        read_pairs(path.parent, masks=path)


def test_photos_of_several_folders_keep_apart(write: Write) -> None:
    path = write(coco())
    document = json.loads(path.read_text())
    for image, folder in zip(document["images"], "ab", strict=True):
        (path.parent / "images" / folder).mkdir()
        Image.new("RGB", (WIDTH, HEIGHT)).save(path.parent / f"images/{folder}/1.png")
        image["file_name"] = f"images\\{folder}\\1.png"
    write(document)
    assert [pair.name for pair in read_pairs(path.parent, masks=path)] == ["a/1", "b/1"]
    document["images"][1]["file_name"] = "a/1.png"
    write(document)
    with pytest.raises(ImageError, match=r"name the photo .* twice"):
        read_pairs(path.parent, masks=path)


@pytest.mark.parametrize("name", ["../../secret.png", "/etc/both.png", "..\\both.png"])
def test_names_lead_nowhere_else(write: Write, tmp_path: Path, name: str) -> None:
    path = write(coco())
    document = json.loads(path.read_text())
    document["images"][0]["file_name"] = name
    write(document)
    with_base = Path(name.replace("\\", "/")).name
    Image.new("RGB", (1, 1)).save(tmp_path.parent / "secret.png")
    if with_base == "both.png":  # the photo of this name beside the file is meant
        assert read_pairs(path.parent, masks=path)[0].image == path.parent / "images/both.png"
    else:
        with pytest.warns(ImageWarning, match="secret"):
            assert [pair.name for pair in read_pairs(path.parent, masks=path)] == ["none"]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"nowhere\.json cannot be read \(No such file"):
        read_pairs(tmp_path, masks="nowhere.json")


@pytest.mark.parametrize(
    ("part", "entry", "said"),
    [
        ("images", {"id": 7, "file_name": "c.png", "width": 20, "height": 10}, "'both.png' and for 'c.png'"),
        ("categories", {"id": 3, "name": "dog"}, "'Cat' and for 'dog'"),
    ],
)
def test_files_that_were_joined_without_new_numbers(
    tmp_path: Path, part: str, entry: dict[str, Any], said: str
) -> None:
    document = coco()
    document[part].append(document[part][0])  # said twice it means the same
    path = tmp_path / "joined.json"
    path.write_text(json.dumps(document))
    assert len(read(path, {"*": "background"}).photos) == 2
    document[part].append(entry)
    path.write_text(json.dumps(document))
    with pytest.raises(ImageError, match=f"stands for {said}; number them anew"):
        read(path, {"*": "background"})
