"""What a data set holds: `python -m train.explore ../shared/data/oxford-iiit-pet --output runs/explore`.

Sizes, species and breeds, class pixels before and after the letterbox, and masks worth a look; as JSON and as
pictures.
"""

import argparse
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from tqdm import tqdm

from petseg.errors import ImageError, PetsegError
from petseg.measure import report_file
from petseg.measure.datasets import read_pairs
from petseg.measure.pair import Pair, misfit
from petseg.pixels.classes import BORDER, CLASSES
from petseg.pixels.geometry import Letterbox
from train.config import DataConfig
from train.data.augment import LetterboxTransform, to_tensors
from train.data.dataset import species_shown
from train.report.plots import save_figure

LABELS = (*CLASSES, "ignored")
"""What a pixel of a mask can be: 0, 1, 2, 255."""
SPECIES = {frozenset({1}): "cat", frozenset({2}): "dog", frozenset({1, 2}): "both", frozenset[int](): "none"}
"""What a mask shows."""

_COLOURS = {
    "background": "tab:grey",
    "cat": "tab:orange",
    "dog": "tab:blue",
    "both": "tab:purple",
    "none": "tab:grey",
    "ignored": "yellow",
    "padding": "lightgrey",
}
_REPORT, _PICTURES = "explore.json", ("sizes.png", "breeds.png", "pixels.png", "oddities.png")
"""What is written."""
_MOST_BREEDS, _MOST_ODDITIES = 40, 12
"""Bars and photos that still can be made out in a picture."""


@dataclass(frozen=True, slots=True)
class Facts:
    """One photo and its mask.

    Attributes:
        pair: the files.
        width, height: of the upright photo, in pixels.
        species: see `SPECIES`.
        native: pixels of each of `LABELS`.
        model: the same in the model's square, and those of its padding.
        centroid: mean (x, y) of the centres of the pixels of cats and dogs, in the coordinates of
            `petseg.pixels.geometry`; None without such pixels.
        beneath: which of `LABELS` the pixel with the centroid has.
    """

    pair: Pair
    width: int
    height: int
    species: str
    native: tuple[int, ...]
    model: tuple[int, ...]
    centroid: tuple[float, float] | None
    beneath: str | None

    @property
    def all_background(self) -> bool:
        """Whether no pixel of the mask is anything else."""
        return self.native[0] == self.width * self.height

    @property
    def centroid_outside(self) -> bool:
        """Whether the centroid lies on the background; on ignored pixels, nobody knows."""
        return self.beneath == "background"


def measure(pair: Pair, size: int) -> Facts:
    """Look at one photo and its mask.

    Args:
        pair: the files.
        size: side of the model's square.

    Raises:
        petseg.ImageError: a file cannot be read, the two differ in size, or the mask has other labels.
    """
    image, mask = pair.read_image(), pair.read_mask()
    if (wrong := misfit(image.shape, mask.shape)) is not None:
        raise ImageError(wrong)
    height, width = mask.shape
    box = Letterbox.fit(width, height, size)
    padding = size * size - box.inner_width * box.inner_height
    square = LetterboxTransform(size)(*to_tensors(image, mask))[1].numpy()
    *classes, ignored = label_pixels(square)
    centroid = centre(np.isin(mask, (1, 2)))
    beneath = mask[int(centroid[1]), int(centroid[0])] if centroid else None
    return Facts(
        pair,
        width,
        height,
        SPECIES[species_shown(mask)],
        label_pixels(mask),
        (*classes, ignored - padding, padding),
        centroid,
        None if beneath is None else LABELS[min(beneath, 3)],
    )


def label_pixels(mask: NDArray[np.uint8]) -> tuple[int, ...]:
    """Pixels of each of `LABELS` in an (H, W) uint8 mask.

    Raises:
        petseg.ImageError: there are others.
    """
    counts = np.bincount(mask.ravel(), minlength=256)
    known = [0, 1, 2, BORDER]
    others = sorted(set(np.flatnonzero(counts).tolist()) - set(known))
    if others:
        raise ImageError(f"mask has the labels {others}; expected 0, 1, 2 and {BORDER}")
    return tuple(counts[known].tolist())


def centre(region: NDArray[np.bool_]) -> tuple[float, float] | None:
    """Mean (x, y) of the centres of the pixels of an (H, W) region; None if it is empty."""
    rows, columns = np.nonzero(region)
    return (float(columns.mean()) + 0.5, float(rows.mean()) + 0.5) if len(rows) else None


def measure_all(pairs: Iterable[Pair], size: int) -> tuple[list[Facts], dict[str, str]]:
    """Facts of the photos that can be used, and by name what is wrong with the others.

    Raises:
        petseg.ImageError: none can be used.
    """
    facts, broken = [], {}
    for pair in tqdm(pairs, desc="explore", unit="photo", mininterval=2):
        try:
            facts.append(measure(pair, size))
        except ImageError as error:
            broken[pair.name] = str(error)
    if not facts:
        name, message = next(iter(broken.items()), ("there are none", "-"))
        raise ImageError(f"no photo can be used; {name}: {message}")
    return facts, broken


def summarise(facts: Sequence[Facts]) -> dict[str, Any]:
    """All figures as plain numbers, ready for JSON.

    Returns:
        "photos"; "sizes" in pixels, aspect ratios being width over height; "species" and "breeds", counted in
        photos; "pixels" with the share of each label before ("native") and after preprocessing ("model"); and
        names: "all_background", "no_animal" (some pixels are ignored, the others background),
        "centroid_outside". "centroid_beneath" counts what lies under the centroids.
    """
    sizes = Counter((fact.width, fact.height) for fact in facts)
    return {
        "photos": len(facts),
        "sizes": {
            "width": spread([fact.width for fact in facts]),
            "height": spread([fact.height for fact in facts]),
            "aspect_ratio": spread([fact.width / fact.height for fact in facts]),
            "most_common": [
                {"width": width, "height": height, "photos": count}
                for (width, height), count in sizes.most_common(10)
            ],
        },
        "species": {name: sum(fact.species == name for fact in facts) for name in SPECIES.values()},
        "breeds": dict(sorted(Counter(fact.pair.breed for fact in facts).items())),
        "pixels": {
            "native": shares(LABELS, [fact.native for fact in facts]),
            "model": shares((*LABELS, "padding"), [fact.model for fact in facts]),
        },
        "all_background": [fact.pair.name for fact in facts if fact.all_background],
        "no_animal": [fact.pair.name for fact in facts if fact.species == "none" and not fact.all_background],
        "centroid_beneath": {name: sum(fact.beneath == name for fact in facts) for name in LABELS},
        "centroid_outside": [fact.pair.name for fact in facts if fact.centroid_outside],
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Smallest, median, mean and largest value."""
    return {name: float(getattr(np, name)(values)) for name in ("min", "median", "mean", "max")}


def shares(labels: Sequence[str], counts: Sequence[tuple[int, ...]]) -> dict[str, dict[str, float]]:
    """Pixels of each label over all photos, and as a share of all pixels."""
    sums = np.array(counts, np.int64).sum(0)
    return {
        label: {"pixels": int(count), "share": float(count / sums.sum())}
        for label, count in zip(labels, sums, strict=True)
    }


def format_report(report: dict[str, Any]) -> str:
    """The figures that fit on a screen."""
    sizes = {name: report["sizes"][name] for name in ("width", "height", "aspect_ratio")}
    pixels = {
        f"{name} pixels": {label: row["share"] for label, row in rows.items()}
        for name, rows in report["pixels"].items()
    }
    tables = {**sizes, "species": report["species"], **pixels, "centroid on": report["centroid_beneath"]}
    rows = [
        f"{name:<16}" + "  ".join(f"{key} {value:.4g}" for key, value in table.items())
        for name, table in tables.items()
    ]
    counts = [f"{key.replace('_', ' ')} {len(report[key])}" for key in ("all_background", "no_animal")]
    return "\n".join(
        [
            f"photos {report['photos']}  breeds {len(report['breeds'])}  broken {len(report['broken'])}",
            *rows,
            f"{'masks':<16}" + "  ".join(counts),
        ]
    )


def draw(facts: Sequence[Facts], report: dict[str, Any], folder: Path) -> list[Path]:
    """Write the pictures of `summarise`'s figures as PNG; the last one only where a mask is worth a look."""
    paths = [folder / name for name in _PICTURES]
    draw_sizes(facts, paths[0])
    draw_breeds(facts, report, paths[1])
    draw_pixels(report, paths[2])
    odd = [fact for fact in facts if fact.centroid_outside or fact.species == "none"]
    if odd:
        draw_oddities(odd, paths[-1])
    return paths if odd else paths[:-1]


def draw_sizes(facts: Sequence[Facts], path: Path) -> None:
    """Width against height, and how often each aspect ratio occurs."""
    figure, (sizes, ratios) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    sizes.scatter([fact.width for fact in facts], [fact.height for fact in facts], s=10, alpha=0.4)
    sizes.set(xlabel="width (pixels)", ylabel="height (pixels)", xlim=(0, None), ylim=(0, None))
    sizes.set_aspect("equal")
    ratios.hist([fact.width / fact.height for fact in facts], bins=40)
    ratios.axvline(1, color="black", linewidth=1, linestyle="--")
    ratios.set(xlabel="aspect ratio (width / height)", ylabel="photos")
    _save(figure, path)


def draw_breeds(facts: Sequence[Facts], report: dict[str, Any], path: Path) -> None:
    """Photos of each breed, by what their masks show, and of each species."""
    names = sorted(report["breeds"], key=report["breeds"].get)[-_MOST_BREEDS:]
    shown = Counter((fact.pair.breed, fact.species) for fact in facts)
    figure, (breeds, species) = plt.subplots(
        1, 2, figsize=(10, 1.5 + 0.22 * len(names)), width_ratios=(3, 1), layout="constrained"
    )
    left = np.zeros(len(names))
    for kind in SPECIES.values():
        counts = np.array([shown[name, kind] for name in names])
        breeds.barh(names, counts, left=left, color=_COLOURS[kind], label=kind)
        left += counts
    hidden = len(report["breeds"]) - len(names)
    breeds.set(xlabel="photos", title=f"breeds ({hidden} rarer ones not shown)" if hidden else "breeds")
    breeds.margins(y=0.01)
    breeds.tick_params(axis="y", labelsize=8)
    breeds.legend(loc="lower right", title="the mask shows")
    totals = report["species"]
    species.bar_label(species.bar(list(totals), list(totals.values()), color=[_COLOURS[k] for k in totals]))
    species.margins(y=0.1)
    species.set(title="species", ylabel="photos")
    _save(figure, path)


def draw_pixels(report: dict[str, Any], path: Path) -> None:
    """Share of each label before and after preprocessing."""
    figure, axes = plt.subplots(figsize=(8, 2.6), layout="constrained")
    titles = {"model": f"letterboxed to {report['model_size']} px", "native": "native size"}
    left = np.zeros(len(titles))
    for label in (*LABELS, "padding"):
        widths = [report["pixels"][name].get(label, {"share": 0})["share"] for name in titles]
        bars = axes.barh(
            list(titles.values()), widths, left=left, color=_COLOURS[label], alpha=0.75, label=label
        )
        axes.bar_label(bars, [f"{w:.1%}" if w > 0.03 else "" for w in widths], label_type="center")
        left += widths
    axes.set(xlabel="share of all pixels", xlim=(0, 1))
    axes.legend(ncols=5, loc="lower center", bbox_to_anchor=(0.5, 1))
    _save(figure, path)


def draw_oddities(odd: Sequence[Facts], path: Path) -> None:
    """Photos without an animal in the mask first, then those whose centroid, a cross, lies outside."""
    shown = sorted(odd, key=lambda fact: fact.centroid_outside)[:_MOST_ODDITIES]
    columns = min(4, len(shown))
    rows = -(-len(shown) // columns)
    figure, panels = plt.subplots(
        rows, columns, figsize=(3 * columns, 3 * rows + 0.4), squeeze=False, layout="constrained"
    )
    for panel in panels.flat:
        panel.axis("off")
    for panel, fact in zip(panels.flat, shown, strict=False):
        _draw_oddity(panel, fact)
    figure.suptitle(f"{len(shown)} of {len(odd)} masks worth a look")
    _save(figure, path)


def _draw_oddity(panel: Axes, fact: Facts) -> None:
    image, mask = fact.pair.read_image(), fact.pair.read_mask()
    # Pixel edges at whole numbers, as centroids are given.
    extent = (0, fact.width, fact.height, 0)
    tint = np.zeros((*mask.shape, 4))
    for label, name in ((1, "cat"), (2, "dog"), (BORDER, "ignored")):
        tint[mask == label] = mpl.colors.to_rgba(_COLOURS[name], 0.5)
    panel.imshow(image, extent=extent)
    panel.imshow(tint, extent=extent)
    why = "all background" if fact.all_background else "no animal"
    if fact.centroid:
        why = "centroid outside"
        panel.plot(*fact.centroid, marker="x", color="red", markersize=12, markeredgewidth=3)
    panel.set_title(f"{fact.pair.name}\n{why}", fontsize=8)


def _save(figure: Figure, path: Path) -> None:
    save_figure(figure, path, dpi=100)
    plt.close(figure)


def main(arguments: list[str] | None = None) -> None:
    """Write explore.json and the pictures, and print what fits on a screen."""
    parser = argparse.ArgumentParser(prog="python -m train.explore", description=__doc__)
    parser.add_argument("folder", type=Path, help="in the Oxford layout, or with images/ and masks/")
    parser.add_argument("--split", help="list of names, for the Oxford layout; default: every mask there is")
    parser.add_argument("--masks", default="masks", help="mask folder, for the other layout")
    parser.add_argument(
        "--size", type=int, default=DataConfig.model_fields["size"].default, help="side of the model's square"
    )
    parser.add_argument("--output", type=Path, required=True, help=f"folder for {_REPORT} and pictures")
    parser.add_argument("--force", action="store_true", help="replace files that petseg did not write, too")
    options = parser.parse_args(arguments)
    # Photos are so small that torch's threads cost more than they save, most of all beside other work.
    torch.set_num_threads(1)
    try:
        report_file.check_files(options.output, (_REPORT, *_PICTURES), force=options.force)
        pairs = read_pairs(options.folder, options.split, options.masks)
        facts, broken = measure_all(pairs, options.size)
        report = {
            "folder": str(options.folder),
            "split": options.split,
            "model_size": options.size,
            "broken": broken,
            **summarise(facts),
        }
        options.output.mkdir(parents=True, exist_ok=True)
        report_file.write(options.output / _REPORT, report)
        pictures = draw(facts, report, options.output)
    except (PetsegError, OSError, ValueError) as error:
        parser.exit(1, f"cannot explore {options.folder}: {error}\n")
    print(format_report(report))
    print(f"{options.output}: {_REPORT}, {', '.join(path.name for path in pictures)}")


if __name__ == "__main__":
    main()
