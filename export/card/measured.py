"""The sections of a model card that say what was measured."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from export.card.markdown import NOT_MEASURED, bullets, number, percent, table
from petseg.measure.perturbations import PERTURBATIONS

FIGURES = {
    "miou": (
        "mIoU",
        "mean IoU of background, cat and dog, from one confusion matrix over all photos at their own size; "
        "pixels of the trimap's border are ignored",
    ),
    "mean_dice": ("Dice", "mean Dice coefficient (F1) of the three classes, from the same matrix"),
    "pixel_accuracy": ("pixel accuracy", "share of pixels with the right class, border ignored"),
    "pet_iou": ("pet IoU", "IoU of cat and dog together against background, border ignored"),
    "pet_iou_border_as_pet": ("pet IoU, border as pet", "the same, with the border counted as pet"),
    "coursework_miou": (
        "mIoU per photo",
        "mean over photos of each photo's own mIoU, border counted as background: the figure of the "
        "published studies that compare four models",
    ),
    "species_confusion": ("species confusion", "share of animals whose larger part got the other species"),
    "named": (
        "found and named rightly",
        "share of photos with a pet in which it is found, as its own species",
    ),
    "false_alarms": ("false alarms", "share of photos without pets in which pet covers more than 1 %"),
    "large_false_alarms": ("large false alarms", "the same with more than 5 % of the photo"),
}
"""Figure of `petseg.measure.metrics.Evaluation.report` -> (its name, its definition)."""

_COUNTED = (
    "photos",
    "photos_without_pets",
    "animals",
    "species_confused",
    "missed",
    "confusion_matrix",
    "iou",
    "dice",
    "comparison",
)
"""Told elsewhere in the card, or not at all: a comparison is of one run on one machine."""

TEST_LIST = (
    "Nothing was trained on the test list. It is not a sealed one, though: its figures were looked at after "
    "each round of work on petseg, and some choices between candidates were made with them in sight, so they "
    "flatter a little."
)


def metrics(report: Mapping[str, Any], classes: Sequence[str]) -> str:
    """Every figure with its definition, and IoU and Dice of each class."""
    empty = report.get("photos_without_pets", 0)
    known = [
        (name, number(report[key]), means)
        for key, (name, means) in FIGURES.items()
        if key in report and (empty or not key.endswith("false_alarms"))
    ]
    by_class = [
        (label, *(number(report.get(key, {}).get(label)) for key in ("iou", "dice"))) for label in classes
    ]
    others = [
        (key, number(value)) for key, value in _flat(report) if key.split(".")[0] not in (*FIGURES, *_COUNTED)
    ]
    own = report.get("measured_on")
    parts = [
        "## Metrics",
        f"In float32, on {own}: {report.get('photos', 0):,} photos, at their own size."
        if own
        else "In float32, on the test list of Oxford-IIIT Pet as far as it is at hand: "
        f"{report.get('photos', 0):,} photos, at their own size"
        f"{f'; and on {empty:,} photos without pets' if empty else ''}. {TEST_LIST}",
        table(("figure", "value", "what it is"), known),
        table(("class", "IoU", "Dice"), by_class),
    ]
    return "\n\n".join([*parts, table(("other figure", "value"), others)] if others else parts)


def int8(report: Mapping[str, Any]) -> str:
    """What 8-bit arithmetic costs and gains."""
    float32, quantised = report["float32"], report["int8"]
    rows = [
        (title, number(float32[key]), number(quantised[key]))
        for key, (title, _) in FIGURES.items()
        if key in quantised
    ]
    measured = (
        f"On the same {report['photos']} photos it gives {report['agreement']:.2%} of the pixels the class "
        f"that float32 gives them. Its network was {report['speedup']:.2f} times as fast, "
        f"{report['threads']} threads, both in turns, on {report['machine']}."
    )
    return f"""## In int8

The same model with 8-bit integers; ranges were measured on
{report["calibration_photos"]} photos of its training. petseg takes it on CPUs that have 8-bit dot products
(VNNI on x86, nearly all on Arm), unless asked for `precision="float32"`. {measured}

{table(("figure", "float32", "int8"), rows)}"""


def clicks(report: Mapping[str, Any]) -> str:
    """IoU by simulated clicks and boxes, on photos of one and of several animals."""
    definitions = report["definitions"]
    parts = [
        "## Metrics",
        f"By simulated clicks, as defined below: at most {report['max_clicks']} for an animal, seed "
        f"{report['seed']}. The photos of one animal are of the test list. {TEST_LIST}",
    ]
    head = (
        "animals",
        "clicks",
        "number",
        *(f"IoU after {n}" for n in (1, 2, 3, 5)),
        "NoC@85",
        "NoC@90",
        "right species",
        "IoU, box",
    )
    for name, animals in report["sets"].items():
        method = next(iter(animals["methods"].values()))
        groups = {f"all of {name}": method} | (method["by_size"] if name == "multi" else {})
        rows = [
            (group, way, figures[way]["animals"], *_click_row(figures[way]), number(figures["box_iou"]))
            for group, figures in groups.items()
            for way in ("exact", "jittered")
        ]
        parts += [f"**{name.capitalize()}**: {definitions[name]}.", table(head, rows)]
    if nothing := report.get("nothing"):
        rows = [
            (
                where,
                row["photos"],
                *(percent(row[key]) for key in ("found", "large")),
                number(row.get("clear")),
                percent(row.get("clear_found")),
            )
            for where, row in nothing.items()
        ]
        parts += [
            f"**Clicks on nothing**: {definitions['nothing']}.",
            table(("photos", "number", "found", "large", "clear", "clear_found"), rows),
        ]
    return "\n\n".join([*parts, bullets([f"{key}: {value}" for key, value in definitions.items()])])


def _click_row(figures: Mapping[str, Any]) -> list[str]:
    values = [figures["iou"].get(str(n)) for n in (1, 2, 3, 5)]
    return [number(value) for value in [*values, *figures["noc"].values(), figures.get("species")]]


def _flat(report: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Figures with dotted names."""
    for key, value in report.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, int | float):
            yield f"{prefix}{key}", value


def zero_shot(report: Mapping[str, Any]) -> str:
    """How well the text and the photo encoder below the model fit together, from train.zeroshot."""
    rows = [
        ("species", number(report["species_accuracy"]), "cat or dog"),
        ("breed", number(report["breed_accuracy"]), f"one of {len(report['by_breed'])}"),
        ("breed, best five", number(report["breed_top5_accuracy"]), "among the five closest"),
        ("breed, mean", number(report["breed_mean_accuracy"]), "mean over breeds: rare ones count as much"),
    ]
    return (
        "## Words and photos\n\n"
        f"Zero-shot accuracy of its photo encoder and captions on the same {report['photos']} photos: each "
        "gets the class whose captions it is closest to.\n\n" + table(("accuracy", "value", "of"), rows)
    )


def robustness(curves: Mapping[str, Any] | None, name: str, has_figure: bool) -> str:
    """mIoU on the clean photo and at the last level of each perturbation."""
    head = "## Robustness"
    if not curves:
        return f"{head}\n\n{NOT_MEASURED}"
    rows = []
    for kind, row in curves.items():
        perturbation = PERTURBATIONS[kind]
        last = f"{row['strengths'][-1]} {perturbation.unit}".strip()
        rows.append(
            (
                perturbation.title,
                number(row["miou"][0]),
                last,
                number(row["miou"][-1]),
                f"{row['kept']:.1%}",
            )
        )
    levels = table(("perturbation", "mIoU, clean", "last level", "mIoU there", "kept"), rows)
    figure = f"![mIoU over the strength of each perturbation](../train/checkpoints/{name}/robustness.png)"
    return "\n\n".join([head, *([figure] if has_figure else []), levels])


def speed(measured: Mapping[str, Any] | None) -> str:
    """Latency beside the peer of the same run, with the machine named."""
    if not measured:
        return f"## Speed\n\n{NOT_MEASURED}"
    latency, precision = measured["latency"], measured.get("precision", "float32")
    rows = [
        (what, f"{latency[key]['median']:.1f} ms", f"{latency[key]['p95']:.1f} ms")
        for what, key in (
            ("petseg, from uint8 photo to full-size mask", "petseg"),
            ("DeepLabv3-MobileNetV2 (uint8, TensorFlow Lite), its network alone", "peer"),
        )
    ]
    return f"""## Speed

{measured["photo"]} photo, {measured["threads"]} threads, {measured["rounds"]} rounds in one run on
{measured.get("machine", "a machine that the run did not name")}; petseg, in {precision}, takes
{latency["ratio"]:.2f} times as long as the peer's network.

{table(("", "median", "95th percentile"), rows)}"""


def gpu(measured: Mapping[str, Any] | None) -> str:
    """What `benchmarks.gpu` found on a card, which is named.

    Args:
        measured: what it says of the model, with "card"; None: nobody ran it.
    """
    head = "## On a GPU"
    if not measured:
        return f"{head}\n\nNot measured; `python -m benchmarks.gpu` does it where there is one."
    rows = []
    for precision in ("float32", "float16"):
        found = measured[precision]
        rates = ", ".join(f"{rate:.0f} at {batch}" for batch, rate in found["photos_per_second"].items())
        rows.append((precision, rates, f"{found['equal']:.3%}"))
    heading = ("precision", "photos a second, by batch", "pixels of the CPU's class")
    return f"{head}\n\n{measured['card']}, its network alone:\n\n{table(heading, rows)}"
