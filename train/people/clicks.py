"""Simulated people click at animals until the answer is good: how well, and after how many clicks.

The protocol is the field's (RITM, arXiv:2102.06583): see `DEFINITIONS`.
"""

import argparse
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from petseg.measure.datasets import read_pairs
from petseg.measure.metrics import CLICK_LIMIT, CLICKS, TARGETS, ClickEvaluation, binary_iou, mean, species_of
from petseg.measure.tables import aligned
from train.config import Config, load_config
from train.data.arguments import split_of
from train.data.dataset import read_splits
from train.data.samples import Sample
from train.data.scenes import Scene, has_instances, read_scene
from train.people import nothing, targets
from train.people.clicked import Classes, Clicked, Photo
from train.people.targets import JITTER, Target

SMALLEST = 0.001
"""Share of a photo's pixels below which an animal does not count: 10 x 10 pixels of 320 x 320."""
SIZES = {
    "under 2 %": (0.0, 0.02),
    "2 to 10 %": (0.02, 0.1),
    "over 5 %": (0.05, 1.1),
    "over 10 %": (0.1, 1.1),
}
"""Name -> range of an animal's share of the photo's pixels, the end exclusive; they may overlap."""
CONFIG = Path("train/configs/prompt.toml")

DEFINITIONS = {
    "animals": f"those with at least {SMALLEST:.1%} of their photo's pixels; each weighs the same",
    "single": "photos of one animal, by its class mask",
    "multi": "photos of several animals with a mask each, of the validation part of the config's sources: "
    "not trained on, but a checkpoint's best epoch was chosen by them",
    "first click": "the pixel deepest inside the animal: farthest from other pixels and the photo's edge",
    "next click": "the pixel deepest inside what is missed of the animal or what is falsely called pet, "
    "whichever is deeper; never the same pixel twice; unknown pixels (255) are neither",
    "exact": "clicks are where this protocol puts them",
    "jittered": "each click is moved, in x and in y, by a normal step with a standard deviation of "
    f"{JITTER:.0%} of the root of the animal's area, but stays inside the part that it is meant for",
    "iou": "of the animal with what is called cat or dog, at the photo's own size, unknown pixels ignored; "
    "mean over animals, by number of clicks; an answer without an error stays for the clicks after it",
    "noc": "clicks until that IoU, in per cent, is reached, the limit where it never is; mean over animals",
    "never": "share of animals for which that IoU is not reached within the limit",
    "species": "share of animals whose class most of what is called pet has after the first click",
    "nothing": nothing.DEFINITION,
    "box_iou": "the same IoU after one tight box around the animal instead of clicks",
    "by_size": "by the animal's share of the photo's pixels; sizes overlap",
}


@dataclass(frozen=True, slots=True)
class Animal:
    """One animal of a photo on disk.

    Attributes:
        sample: the photo.
        number: its number in `Scene.instances`.
        share: of the photo's pixels.
    """

    sample: Sample
    number: int
    share: float

    def generator(self, seed: int) -> np.random.Generator:
        """Random numbers of its own, whatever else is evaluated."""
        return np.random.default_rng([seed, zlib.crc32(self.sample.name.encode()), self.number])


def find_animals(samples: Iterable[Sample]) -> list[Animal]:
    """Every animal that counts, photo by photo in order of their names."""
    found = []
    for sample in sorted(samples, key=lambda sample: sample.name):
        instances = read_scene(sample).instances
        smallest = int(np.ceil(SMALLEST * instances.size))
        for number in targets.animals(instances, smallest).tolist():
            found.append(Animal(sample, number, np.count_nonzero(instances == number) / instances.size))
    return found


def choose(animals: Sequence[Animal], limit: int | None, seed: int) -> list[Animal]:
    """The first `limit` of a seeded shuffle, in their old order; None takes all."""
    chosen = np.random.default_rng(seed).permutation(len(animals))[:limit]
    return [animals[index] for index in np.sort(chosen)]


def read_sets(data: Path, split: str | None, config: Config) -> dict[str, list[Animal]]:
    """The animals of both sets; see `DEFINITIONS`.

    Args:
        data, split: photos of one animal, as for `petseg.measure.datasets.read_pairs`.
        config: of the training, whose validation part is asked for: no photo that was trained on counts.
    """
    held_out = read_splits(config.data)[1]
    return {
        "single": find_animals(read_pairs(data, split)),
        "multi": find_animals(filter(has_instances, held_out)),
    }


def next_click(
    target: Target, answer: Classes, free: NDArray[np.bool_]
) -> tuple[tuple[float, float], bool, NDArray[np.bool_]] | None:
    """Where a person clicks next.

    Args:
        target: what is meant.
        answer: (H, W) uint8, the answer so far; zeros before the first click.
        free: (H, W) bool, False where a click was before.

    Returns:
        x, y of a pixel's centre, whether the click is positive, and the part (H, W) that it is meant for;
        None if nothing is left to correct.
    """
    parts = targets.errors(target, answer > 0)
    depths = [targets.depth(part, exact=True) * free for part in parts]
    missed, false = (float(depth.max()) for depth in depths)
    if max(missed, false) == 0:
        return None
    worst = 0 if missed > false else 1  # of two that are as deep the false one, as in RITM's code
    row, column = np.unravel_index(depths[worst].argmax(), answer.shape)
    return (float(column) + 0.5, float(row) + 0.5), worst == 0, parts[worst]


def score(target: Target, answer: Classes) -> float:
    """Binary IoU of the target and what is called pet, unknown pixels ignored."""
    return binary_iou(target.inside, (answer > 0) & target.valid)


def click_through(
    clicked: Clicked, photo: Photo, target: Target, limit: int, generator: np.random.Generator | None = None
) -> tuple[list[float], bool]:
    """Click at an animal until all figures are known.

    Args:
        clicked: who answers.
        photo: (H, W, 3) uint8.
        target: the animal.
        limit: clicks at most.
        generator: of the jitter; None clicks exactly.

    Returns:
        The IoU after each click, and whether the species was right after the first one.
    """
    clicked.start(photo)
    answer, free = np.zeros(photo.shape[:2], np.uint8), np.ones(photo.shape[:2], bool)
    spread = JITTER * np.sqrt(np.count_nonzero(target.inside))
    ious: list[float] = []
    right = False
    while len(ious) < limit and (found := next_click(target, answer, free)):
        point, positive, part = found
        if generator is not None:
            relative = spread / np.sqrt(np.count_nonzero(part))
            point = targets.jittered(point, part, generator, relative)
        free[int(point[1]), int(point[0])] = False
        answer = clicked.click(point, positive)
        right = right if ious else species_of(answer) == target.species
        ious.append(score(target, answer))
        if len(ious) >= max(CLICKS) and max(ious) >= max(TARGETS):
            break
    return ious, right


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one method did about one animal: `click_through` both ways, and the IoU after a box."""

    animal: Animal
    exact: tuple[list[float], bool]
    jittered: tuple[list[float], bool]
    box: float | None


def ask(clicked: Clicked, scene: Scene, animal: Animal, limit: int, seed: int) -> Outcome:
    """Ask about one animal in all ways."""
    target = targets.make_target(scene.instances, scene.species, animal.number)
    exact = click_through(clicked, scene.image, target, limit)
    jittered = click_through(clicked, scene.image, target, limit, animal.generator(seed))
    if not clicked.boxes:
        return Outcome(animal, exact, jittered, None)
    clicked.start(scene.image)
    box = score(target, clicked.box(targets.tightest_box(target.inside)))
    return Outcome(animal, exact, jittered, box)


def limit_of(clicked: Clicked, limit: int) -> int:
    """Clicks that this one gets for an animal."""
    return limit if clicked.most is None else min(limit, clicked.most)


def summarise(clicked: Clicked, outcomes: Sequence[Outcome], limit: int) -> dict[str, Any]:
    """Figures of one method over some animals, ready for JSON.

    Returns:
        "exact" and "jittered" as from `ClickEvaluation.report`, without "species" where the method knows
        none, "limit", and "box_iou" where the method takes boxes.
    """
    report: dict[str, Any] = {"limit": limit}
    for way in ("exact", "jittered"):
        evaluation = ClickEvaluation(limit)
        for outcome in outcomes:
            evaluation.add(*getattr(outcome, way))
        report[way] = evaluation.report()
        if not clicked.species:
            del report[way]["species"]
    if clicked.boxes:
        report["box_iou"] = mean(np.array([outcome.box for outcome in outcomes], float))
    return report


def measure(
    methods: Sequence[Clicked], animals: Sequence[Animal], limit: int = CLICK_LIMIT, seed: int = 0
) -> dict[str, Any]:
    """Every method about every animal.

    Args:
        methods: who answers, all to the same animals.
        animals: as `find_animals` gives them: those of a photo one after the other.
        limit: clicks for an animal at most.
        seed: of the jitter.

    Returns:
        "photos", "animals", and "methods": name -> `summarise`, with "by_size": name of the size -> the same.
    """
    outcomes: dict[str, list[Outcome]] = {clicked.name: [] for clicked in methods}
    photos = 0
    with tqdm(total=len(animals), desc="click", unit="animal", mininterval=1) as progress:
        for _, members in groupby(animals, key=lambda animal: animal.sample.name):
            group = list(members)
            scene = read_scene(group[0].sample)
            photos += 1
            for clicked in methods:
                for animal in group:
                    found = ask(clicked, scene, animal, limit_of(clicked, limit), seed)
                    outcomes[clicked.name].append(found)
            progress.update(len(group))
    reports = {}
    for clicked in methods:
        rows, most = outcomes[clicked.name], limit_of(clicked, limit)
        sizes = {
            size: [row for row in rows if low <= row.animal.share < high]
            for size, (low, high) in SIZES.items()
        }
        reports[clicked.name] = summarise(clicked, rows, most) | {
            "by_size": {size: summarise(clicked, part, most) for size, part in sizes.items() if part}
        }
    return {"photos": photos, "animals": len(animals), "methods": reports}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of a simulation."""
    group = parser.add_argument_group("simulated clicks")
    group.add_argument("--limit", type=_positive, metavar="N", help="only N animals of each set, see --seed")
    group.add_argument("--max-clicks", type=_positive, default=CLICK_LIMIT, help="at most, for an animal")
    group.add_argument(
        "--seed", type=int, default=0, help="of the jitter, and of which animals --limit takes"
    )
    group.add_argument(
        "--config", type=Path, help=f"training whose held-out photos are used; default: its own, or {CONFIG}"
    )


def simulate(methods: Sequence[Clicked], own: Config | None, options: argparse.Namespace) -> dict[str, Any]:
    """`measure` over both sets, with all that one must know to repeat it, ready for JSON.

    Args:
        methods: who answers.
        own: the config of the checkpoint that is evaluated, if it is one.
        options: those of `add_arguments`, and of `train.data.arguments.add_photos`.
    """
    config = own if own is not None and options.config is None else load_config(options.config or CONFIG)
    sets = read_sets(options.data, split_of(options), config)
    limit, seed = options.max_clicks, options.seed
    return {
        "definitions": DEFINITIONS,
        "seed": seed,
        "max_clicks": limit,
        "animals_at_most": options.limit,
        "sets": {
            name: {"animals_in_all": len(animals)}
            | measure(methods, choose(animals, options.limit, seed), limit, seed)
            for name, animals in sets.items()
        },
    }


def format_simulation(report: dict[str, Any]) -> str:
    """What `simulate` gives as a table for people."""
    lines = [f"seed {report['seed']}, at most {report['max_clicks']} clicks"]
    for name, part in report["sets"].items():
        chosen = f"{part['animals']} of {part['animals_in_all']} animals"
        lines.append(f"\n{name}: {chosen}, in {part['photos']} photos")
        if not part["animals"]:
            continue
        rows = [["", "clicks", "animals", *_columns()]]
        for method, figures in part["methods"].items():
            rows += _format_rows(method, figures)
            for size, subset in figures["by_size"].items() if name == "multi" else ():
                rows += _format_rows(f"  {size}", subset)
        lines.append(aligned(rows, right=range(2, len(rows[0]))))
    return "\n".join(lines)


def _columns() -> dict[str, tuple[str, ...]]:
    """Title -> where the figure stands in what `summarise` says of one way to click."""
    columns: dict[str, tuple[str, ...]] = {f"IoU@{click}": ("iou", str(click)) for click in CLICKS}
    for target in TARGETS:
        name = f"{100 * target:.0f}"
        columns |= {f"NoC@{name}": ("noc", name), f"not {name}": ("never", name)}
    return columns | {"species": ("species",), "box IoU": ("box_iou",)}


def _format_rows(method: str, figures: dict[str, Any]) -> list[list[str]]:
    ways = {"exact": figures | figures["exact"], "jittered": figures["jittered"]}  # a box has no jitter
    rows = []
    for way, found in ways.items():
        values = [reduce(lambda at, key: at.get(key, {}), path, found) for path in _columns().values()]
        texts = [f"{value:.3f}" if isinstance(value, float) else "-" for value in values]
        rows.append([method, way, str(found["animals"]), *texts])
    return rows


def _positive(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{value} is below 1")
    return value
