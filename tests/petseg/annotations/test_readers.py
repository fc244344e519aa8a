"""Data sets read back by what others read them with: the same masks."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import supervision
from numpy.typing import NDArray
from PIL import Image
from pycocotools.coco import COCO
from scipy import ndimage

from petseg.annotations import WRITERS
from petseg.measure.datasets import read_pairs
from petseg.pixels.classes import CLASSES
from petseg.segmentation import Segmentation
from tests.support.animals import answer, blobs, drawn

RING = drawn("00000000", "01111110", "01000010", "01022010", "01022010", "01000010", "01111110", "00000000")
"""A cat around a dog that does not touch it."""
CASES: dict[str, NDArray[np.uint8]] = {
    "ring": RING,
    "one pixel": drawn("000", "020", "000"),
    "one line": drawn("0000", "1111", "0000", "0000"),
    "all": np.ones((5, 5), np.uint8),
    "corner to corner": drawn("1100", "1100", "0011", "0011"),
    "touching itself": drawn("11100", "10111", "11101", "00111", "00000"),
    "two species": drawn("1122", "1122", "1122", "1122"),
    "nothing": np.zeros((4, 4), np.uint8),
    **{f"blobs {seed}": blobs(seed) for seed in range(4)},
}


def cases() -> list[Segmentation]:
    found = [answer(classes, f"photos/{name}.png", scale=3) for name, classes in CASES.items()]
    return [*found, answer(blobs(7, 96), "photos/large.png", scale=4)]


@pytest.fixture(scope="module")
def results() -> list[Segmentation]:
    return cases()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, results: list[Segmentation]) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for result in results:
        path = folder / str(result.source)
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(result.photo).save(path)
    return folder


def write(format: str, path: Path, results: list[Segmentation], **options: Any) -> None:
    with WRITERS[format](path, **options) as writer:
        for result in results:
            writer.add(result)


def iou(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float((one & other).sum() / (one | other).sum())


# -- COCO -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("tolerance", "least"), [(0.0, 1.0), (1.0, 0.8)])
def test_pycocotools_reads_the_same_masks(
    tmp_path: Path, results: list[Segmentation], tolerance: float, least: float
) -> None:
    write("coco", tmp_path / "coco.json", results, tolerance=tolerance)
    coco = COCO(str(tmp_path / "coco.json"))
    assert [category["name"] for category in coco.loadCats(coco.getCatIds())] == ["cat", "dog"]
    images = coco.loadImgs(coco.getImgIds())
    assert [image["file_name"] for image in images] == [result.source for result in results]
    annotations = 0
    for image, result in zip(images, results, strict=True):
        assert (image["width"], image["height"]) == result.size
        found = coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]]))
        assert len(found) == len(result.pets)
        for annotation, pet in zip(found, result.pets, strict=True):
            mask = coco.annToMask(annotation).astype(bool)
            if least == 1:
                np.testing.assert_array_equal(mask, pet.mask)
            assert iou(mask, pet.mask) >= least
            assert annotation["area"] == pet.area
            x, y, width, height = annotation["bbox"]
            assert (x, y, x + width, y + height) == pet.box
            assert annotation["category_id"] == {"cat": 1, "dog": 2}[pet.label]
            assert annotation["iscrowd"] == 0
            assert annotation["score"] == pytest.approx(pet.score, abs=1e-5)
            annotations += 1
    kinds = {type(annotation["segmentation"]) for annotation in coco.anns.values()}
    assert kinds == {list, dict}  # polygons, and run lengths where there are holes
    assert sorted(coco.anns) == list(range(1, annotations + 1))


def test_supervision_reads_coco_too(photos: Path, results: list[Segmentation]) -> None:
    """Run lengths exactly; polygons it draws a pixel wider to the right and downwards."""
    write("coco", photos / "coco.json", results)
    found = supervision.DetectionDataset.from_coco(str(photos), str(photos / "coco.json"), force_masks=True)
    assert found.classes == ["cat", "dog"]
    annotations = json.loads((photos / "coco.json").read_text())
    by_name = {image["file_name"]: image["id"] for image in annotations["images"]}
    for result in results:
        detections = found.annotations[str(photos / str(result.source))]
        assert len(detections) == len(result.pets)
        kinds = [
            annotation["segmentation"]
            for annotation in annotations["annotations"]
            if annotation["image_id"] == by_name[result.source]
        ]
        for pet, mask, kind in zip(result.pets, detections.mask if result.pets else [], kinds, strict=True):
            if isinstance(kind, dict):
                np.testing.assert_array_equal(mask, pet.mask)
            else:
                assert (mask | ~pet.mask).all()


# -- YOLO -----------------------------------------------------------------------------------------------


def read_yolo(folder: Path) -> Any:
    return supervision.DetectionDataset.from_yolo(
        str(folder / "photos"), str(folder / "labels/photos"), str(folder / "data.yaml"), force_masks=True
    )


def test_supervision_reads_the_same_masks_from_yolo(photos: Path, results: list[Segmentation]) -> None:
    write("yolo", photos, results)
    found = read_yolo(photos)
    assert found.classes == ["cat", "dog"]
    animals = 0
    for result in results:
        detections = found.annotations[str(photos / str(result.source))]
        assert len(detections) == len(result.pets)
        for pet, mask, number in zip(
            result.pets,
            detections.mask if result.pets else [],
            detections.class_id if result.pets else [],
            strict=True,
        ):
            np.testing.assert_array_equal(mask, pet.mask, err_msg=str(result.source))
            assert found.classes[number] == pet.label
            animals += 1
    assert animals > 25


def test_simplified_yolo_is_shorter_and_nearly_the_same(
    tmp_path: Path, photos: Path, results: list[Segmentation]
) -> None:
    write("yolo", tmp_path, results[-1:])
    exact = (tmp_path / "labels/photos/large.txt").stat().st_size
    write("yolo", tmp_path, results[-1:], tolerance=1)
    assert (tmp_path / "labels/photos/large.txt").stat().st_size < exact / 2
    (tmp_path / "photos").mkdir()
    Image.fromarray(results[-1].photo).save(tmp_path / "photos/large.png")
    (detections,) = read_yolo(tmp_path).annotations.values()
    for pet, mask in zip(results[-1].pets, detections.mask, strict=True):
        assert not (mask & ~ndimage.binary_dilation(pet.mask, iterations=2)).any()
        assert not (ndimage.binary_erosion(pet.mask, iterations=2, border_value=1) & ~mask).any()


def test_pieces_of_one_animal_are_joined_by_a_line(tmp_path: Path) -> None:
    """The format has one polygon for an animal."""
    classes = np.zeros((30, 30), np.uint8)
    classes[3:12, 3:12] = classes[15:27, 14:28] = 1
    result = answer(classes, "photos/a.png", scale=2, pointed=True)
    (pet,) = result.pets
    write("yolo", tmp_path, [result])
    (tmp_path / "photos").mkdir()
    Image.fromarray(result.photo).save(tmp_path / "photos/a.png")
    (detections,) = read_yolo(tmp_path).annotations.values()
    (mask,) = detections.mask
    assert (mask | ~pet.mask).all()
    assert 0 < np.count_nonzero(mask & ~pet.mask) < 20


# -- Label Studio ---------------------------------------------------------------------------------------


def decode(rle: list[int]) -> NDArray[np.uint8]:
    """As Label Studio's own `label_studio_sdk.converter.brush.decode_rle`, after thi.ng's rle-pack."""
    bits, at = np.unpackbits(np.array(rle, np.uint8)).tolist(), 0

    def read(count: int) -> int:
        nonlocal at
        at += count
        return int("".join(map(str, bits[at - count : at])), 2)

    count, word = read(32), read(5) + 1
    sizes = [read(4) + 1 for _ in range(4)]
    values, lengths, done = list[int](), list[int](), 0
    while done < count:
        is_run = read(1)
        length = read(sizes[read(2)]) + 1
        values += [read(word) for _ in range(1 if is_run else length)]
        lengths += [length] if is_run else [1] * length
        done += length
    return np.repeat(np.array(values, np.uint8), lengths)


def check_brushes(path: Path, results: list[Segmentation], decoder: Any) -> None:
    tasks = json.loads(path.read_text())
    assert len(tasks) == len(results)
    for task, result in zip(tasks, results, strict=True):
        (prediction,) = task["predictions"]
        assert len(prediction["result"]) == len(result.pets)
        assert len({region["id"] for region in prediction["result"]}) == len(result.pets)
        for region, pet in zip(prediction["result"], result.pets, strict=True):
            width, height = region["original_width"], region["original_height"]
            assert (width, height) == result.size
            channels = decoder(region["value"]["rle"]).reshape(height, width, 4)
            np.testing.assert_array_equal(channels, np.repeat(pet.mask[..., None] * np.uint8(255), 4, 2))
            assert region["value"]["brushlabels"] == [pet.label]
            assert region["type"] == "brushlabels"
            assert region["value"]["format"] == "rle"


def test_label_studio_brushes_are_the_same_masks(tmp_path: Path, results: list[Segmentation]) -> None:
    write("labelstudio", tmp_path / "tasks.json", results)
    check_brushes(tmp_path / "tasks.json", results, decode)
    task = json.loads((tmp_path / "tasks.json").read_text())[0]
    assert task["data"] == {"image": "/data/local-files/?d=photos/ring.png"}
    assert task["predictions"][0]["model_version"].endswith(" tiny")
    assert json.loads((tmp_path / "tasks.json").read_text())[1]["data"]["image"].endswith("one%20pixel.png")


def test_label_studios_own_decoder_reads_them_too(tmp_path: Path, results: list[Segmentation]) -> None:
    brush = pytest.importorskip(
        "label_studio_sdk.converter.brush", reason="label-studio-sdk wants numpy < 2.3 and thirty packages"
    )
    write("labelstudio", tmp_path / "tasks.json", results)
    check_brushes(tmp_path / "tasks.json", results, brush.decode_rle)


def test_what_label_studios_own_encoder_wrote_is_read_as_it_was_meant() -> None:
    """So that `decode` above is no echo of ours: `mask2rle` of label-studio-sdk 2.1.2 made these bytes."""
    mask = np.zeros((7, 9), np.uint8)
    mask[2:5, 3:7] = 255
    theirs = bytes.fromhex("000000fc391bfe5300bfff84c02fffe1300bfff93c00")
    np.testing.assert_array_equal(decode(list(theirs)).reshape(7, 9, 4)[..., 3], mask)


@pytest.mark.parametrize("format", ["coco", "labelstudio"])
def test_petseg_reads_what_it_wrote(results: list[Segmentation], photos: Path, format: str) -> None:
    path = photos / f"{format}.json"
    write(format, path, results)
    if format == "labelstudio":  # what a person accepted as it was
        tasks = json.loads(path.read_text())
        path.write_text(json.dumps([task | {"annotations": task["predictions"]} for task in tasks]))
    pairs = {pair.image.name: pair for pair in read_pairs(photos, masks=path)}
    assert len(pairs) == len(results)
    for result in results:
        read = pairs[Path(str(result.source)).name].read_mask()
        truth = np.zeros_like(result.mask)
        for pet in result.pets:
            truth[pet.mask] = CLASSES.index(pet.label)
        assert np.array_equal(read, truth), result.source
