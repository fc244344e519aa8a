"""Tables of measured figures in README.md and docs/, filled from what the model cards are made of.

A page says where it wants which table, and `python -m export.card` writes what stands between the marks:

    <!-- numbers: headline -->
    <!-- end of numbers -->

`measured-with MODEL SHA256` is for figures that no file records: it says whether the embedded model is still
the one they were measured with, by the first digits of its checkpoint's SHA-256.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from export.card import text
from export.card.click_figures import is_simulation
from export.card.facts import Facts, gather, index, words_of
from export.card.markdown import NOT_MEASURED, number, table
from export.card.text import is_int8
from export.errors import CardError
from petseg.measure.perturbations import PERTURBATIONS
from petseg.pixels import saving

_BLOCK = re.compile(
    r"(<!-- numbers: (?P<name>[\w-]+)(?P<words>[^>\n]*) -->\n).*?(<!-- end of numbers -->)", re.S
)
PEER = "DeepLabv3-MobileNetV2"
MISSING = "not measured"

AllFacts = Mapping[str, Facts]
"""Name of an embedded model -> what is known of it."""


def pages(root: Path) -> list[Path]:
    """The pages that ask for numbers."""
    paths = (path for path in (root / "README.md", *sorted((root / "docs").glob("*.md"))) if path.is_file())
    return [path for path in paths if _BLOCK.search(path.read_text(encoding="utf-8"))]


def gather_all(root: Path) -> dict[str, Facts]:
    """What is known of each embedded model; raises `CardError` as `gather` does."""
    return {name: gather(name, words_of(root / "model_cards" / f"{name}.toml"), root) for name in index(root)}


def fill(page: str, facts: AllFacts) -> str:
    """The text with every table as the measurements have it.

    Raises:
        CardError: a page asks for an unknown table, or for one of a model that is not embedded.
    """

    def block(match: re.Match[str]) -> str:
        name, words = match["name"], match["words"].split()
        if name not in TABLES:
            raise CardError(f"there is no table {name!r}; there are {', '.join(sorted(TABLES))}")
        return f"{match[1]}\n{TABLES[name](facts, *words)}\n\n{match[4]}"

    return _BLOCK.sub(block, page)


def write(root: Path) -> list[Path]:
    """Fill all pages; the ones that changed."""
    changed = []
    for path in pages(root):
        page = path.read_text(encoding="utf-8")
        fresh = fill(page, gather_all(root))
        if fresh != page:
            saving.write(path, fresh.encode())
            changed.append(path)
    return changed


def check(root: Path) -> list[str]:
    """What is stale."""
    stale = []
    for path in pages(root):
        page = path.read_text(encoding="utf-8")
        if fill(page, gather_all(root)) != page:
            stale.append(f"{path} shows other numbers than were measured; write them: python -m export.card")
    return stale


def headline(facts: AllFacts) -> str:
    """Five figures: quality and false alarms of the default model, clicks, boxes, time."""
    unet, prompt = _one(facts, "unet"), _one(facts, "prompt")
    figures = unet.measured["metrics"]
    single, several = (_method(prompt, animals) for animals in ("single", "multi"))
    speed = unet.measured.get("speed")
    time = MISSING
    if speed:
        latency = speed["latency"]
        time = f"{latency['petseg']['median']:.0f} ms ({latency['peer']['median']:.0f} ms)"
    rows = [
        (f"mIoU of background, cat and dog, {figures['photos']} test photos", _three(figures["miou"])),
        ("photos without pets in which pet covers over 1 %", _false_alarms(figures)),
        (
            "IoU of the clicked animal after one click: one in the photo, several",
            f"{_three(single['jittered']['iou']['1'])}, {_three(several['jittered']['iou']['1'])}",
        ),
        (
            "IoU of the animal in a box: one in the photo, several",
            f"{_three(single['box_iou'])}, {_three(several['box_iou'])}",
        ),
        (f"photo to full-size mask on two CPU threads ({PEER}, its network alone)", time),
    ]
    return table(("figure", "value"), rows)


def models(facts: AllFacts) -> str:
    """Size and quality of each embedded model that answers for whole photos."""
    rows = []
    for name, known in facts.items():
        files = {path: file.bytes / 1e6 for path, file in known.files.items()}
        float32 = sum(size for path, size in files.items() if not is_int8(path))
        int8 = sum(size for path, size in files.items() if is_int8(path))
        figures = known.measured["metrics"]
        quality = ["by clicks", *["-"] * 4] if is_simulation(figures) else _quality(figures)
        rows.append(
            (
                f"`{name}`",
                f"{known.manifest.parameters / 1e6:.1f} M",
                f"{float32:.1f} MB" + (f" ({int8:.1f} MB in int8)" if int8 else ""),
                f"{known.manifest.size} px",
                *quality,
            )
        )
    head = ("model", "weights", "files", "sees", "mIoU", "pet IoU", "pet IoU, border as pet", "other species")
    return table((*head, "false alarms"), rows)


def _quality(figures: Mapping[str, Any]) -> list[str]:
    shares = [_three(figures[key]) for key in ("miou", "pet_iou", "pet_iou_border_as_pet")]
    return [*shares, f"{figures['species_confusion']:.1%}", _false_alarms(figures)]


def clicks(facts: AllFacts) -> str:
    """Simulated people, on photos of one animal and of several."""
    prompt = _one(facts, "prompt")
    single, several = (_method(prompt, animals) for animals in ("single", "multi"))
    groups = {"one": single, "several": several} | {
        f"several, {size} of the photo": found for size, found in several["by_size"].items()
    }
    rows = [
        (
            group,
            found["jittered"]["animals"],
            *(_three(found["jittered"]["iou"][clicks]) for clicks in ("1", "2", "3")),
            f"{found['jittered']['species']:.1%}",
            _three(found["box_iou"]),
        )
        for group, found in groups.items()
    ]
    head = (
        "animals in the photo",
        "number",
        "IoU after one click",
        "two",
        "three",
        "right species",
        "IoU, box",
    )
    return table(head, rows)


def int8(facts: AllFacts) -> str:
    """What 8-bit arithmetic costs and gains."""
    rows = [
        (
            f"`{name}`",
            _three(report["float32"]["miou"]),
            _three(report["int8"]["miou"]),
            f"{report['agreement']:.2%}",
            f"{report['speedup']:.1f} times as fast",
        )
        for name, report in _measured(facts, "int8")
    ]
    return _table(("model", "mIoU, float32", "mIoU, int8", "pixels of the same class", "its network"), rows)


def damage(facts: AllFacts) -> str:
    """The share of its mIoU that a model keeps at the last level of each perturbation."""
    curves = _measured(facts, "robustness")
    rows = [
        (kind.title, *(f"{curve[key]['kept']:.1%}" if key in curve else "-" for _, curve in curves))
        for key, kind in PERTURBATIONS.items()
    ]
    return _table(
        ("mIoU kept at the last level", *(f"`{name}`" for name, _ in curves)), rows if curves else []
    )


def speed(facts: AllFacts) -> str:
    """Latency beside the peer of the same run."""
    rows = [
        (
            f"`{name}` in {run.get('precision', 'float32')}, {run['photo']}, {run['threads']} threads",
            *(f"{run['latency']['petseg'][of]:.1f} ms" for of in ("median", "p95")),
            *(f"{run['latency']['peer'][of]:.1f} ms" for of in ("median", "p95")),
            f"{run['latency']['ratio']:.2f}",
            run.get("machine", "not named"),
        )
        for name, run in _measured(facts, "speed")
    ]
    head = ("photo to full-size mask", "median", "95th percentile", f"{PEER}'s network", "95th percentile")
    return _table((*head, "ratio", "machine"), rows)


def parity(facts: AllFacts) -> str:
    """How well ONNX Runtime and PyTorch agree."""
    rows = [
        (
            f"`{name}`",
            report["photos"],
            f"{report['agreement']:.4%}",
            f"{report['max_difference']:.2g}",
        )
        for name, report in _measured(facts, "parity")
    ]
    return _table(("model", "photos", "pixels of the same class", "largest difference of a logit"), rows)


def zero_shot(facts: AllFacts) -> str:
    """How well the encoders of text and photo fit together, without a classifier."""
    rows = [
        (f"`{name}`", *(f"{report[f'{of}_accuracy']:.1%}" for of in ("species", "breed", "breed_top5")))
        for name, report in _measured(facts, "zeroshot")
    ]
    return _table(("model", "species", "breed", "breed among the best five"), rows)


def recipe(facts: AllFacts, name: str) -> str:
    """How a model was made, as its card says."""
    known = _one(facts, name)
    return text.recipe(name, known.words["train"], known.manifest, has_int8="int8" in known.measured)


def measured_with(facts: AllFacts, name: str, digits: str) -> str:
    """Whether a model is still the one that figures without a file were measured with."""
    if _one(facts, name).manifest.checkpoint_sha256.startswith(digits):
        return f"Measured with the embedded `{name}`."
    return f"Measured with an earlier `{name}` (checkpoint {digits}), and not again since."


TABLES: dict[str, Callable[..., str]] = {
    "headline": headline,
    "models": models,
    "clicks": clicks,
    "int8": int8,
    "damage": damage,
    "speed": speed,
    "parity": parity,
    "zero-shot": zero_shot,
    "recipe": recipe,
    "measured-with": measured_with,
}
"""What a page may ask for."""


def _one(facts: AllFacts, name: str) -> Facts:
    if name not in facts:
        raise CardError(f"a page asks for numbers of {name!r}, which is not embedded")
    return facts[name]


def _measured(facts: AllFacts, what: str) -> list[tuple[str, dict[str, Any]]]:
    return [(name, known.measured[what]) for name, known in facts.items() if what in known.measured]


def _method(prompt: Facts, animals: str) -> dict[str, Any]:
    """What simulated people say of the model on photos of one animal ("single") or of several ("multi")."""
    return dict(next(iter(prompt.measured["metrics"]["sets"][animals]["methods"].values())))


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    return table(head, rows) if rows else NOT_MEASURED


def _three(value: float) -> str:
    return f"{value:.3f}"


def _false_alarms(figures: Mapping[str, Any]) -> str:
    """The share, and of how many photos."""
    photos = figures.get("photos_without_pets", 0)
    return f"{figures['false_alarms']:.1%} of {number(photos)}" if photos else MISSING
