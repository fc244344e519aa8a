"""Re-run the published studies: `python -m train.study all --scale trial`, or `A` ... `E`.

Trains what is missing by the ordinary trainer, measures with train.evaluate, train.oracle and
train.robustness, and writes one page and one JSON: the published figure, ours, what differs. A run that was
stopped goes on where it stood: in the epoch, and in the measurement. A model that fails is named, and the
others go on; so is one that was trained by another recipe than its config's of today.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from accelerate.state import AcceleratorState
from pydantic import ValidationError
from tqdm import tqdm

from petseg.errors import OutputError, PetsegError
from petseg.measure import report_file
from petseg.pixels import saving
from train import evaluate, oracle, robustness
from train.config import OXFORD, Config, load_config, photos_root
from train.data.dataset import read_splits
from train.loops import trainer_class
from train.loops.base import BEST
from train.loops.runs import discard_states, has_begun
from train.report import figures
from train.studies import hours
from train.studies.page import WRITTEN, page
from train.studies.results import TRAINED, gather, kind_of, report_path
from train.studies.scale import LETTERS, NAMES, ScaleConfig, config_paths, load_scale, scaled

DEFINITION, ESTIMATE, RECIPE = "scale.json", "hours.json", "recipe.json"


class Rerun:
    """The re-run of some studies in one folder.

    Args:
        paths: of the configs.
        scale: it.
        folder: runs, figures and pictures go there.

    Attributes:
        failures: model -> why it could not be trained or measured.

    Raises:
        ValueError: the folder holds a re-run at another scale.
    """

    def __init__(self, paths: Sequence[Path], scale: ScaleConfig, folder: Path) -> None:
        self.paths, self.scale, self.folder = paths, scale, folder
        self.failures: dict[str, str] = {}
        definition, begun = scale.model_dump(mode="json"), folder / DEFINITION
        if not begun.exists():
            report_file.write(begun, definition)
        elif report_file.read(begun) != definition:
            raise ValueError(f"{folder} holds a re-run at another scale: give another --output")

    def estimate(self) -> dict[str, float]:
        """Model -> hours of its training as the study did it, on one GPU; counted once a config, and kept."""
        kept = self.folder / ESTIMATE
        known, since = (report_file.read(kept), age(kept)) if kept.is_file() else ({}, 0)
        for path in self.paths:
            if path.stem not in known or age(path) > since:
                known[path.stem] = hours.hours(load_config(path), self.scale.teraflops)
                report_file.write(kept, known)
        return {path.stem: known[path.stem] for path in self.paths}

    def run(self) -> None:
        """Train and measure what is missing."""
        letters = sorted({path.stem[0].upper() for path in self.paths})
        with tqdm(total=len(self.paths) + len(letters), desc="studies", unit="step") as progress:
            for path in self.paths:
                progress.set_postfix_str(path.stem)
                self._attempt(path.stem, lambda path=path: self.train(path))  # type: ignore[misc]
                progress.update()
            for letter in letters:
                progress.set_postfix_str(f"measuring {letter}")
                self.measure(letter)
                progress.update()

    def train(self, path: Path) -> None:
        """Train a model to its end, unless it is.

        Raises:
            ValueError: it was begun by another recipe than the config's of today.
        """
        run = self.folder / path.stem
        config = scaled(path, self.scale, run)
        check_recipe(run, config)
        if (run / TRAINED).is_file():
            return
        # One Accelerator after the other: the next may ask for another precision.
        AcceleratorState._reset_state()
        history = trainer_class(config.model)(config).fit(resume=has_begun(run))
        training, validation = ({sample.name for sample in part} for part in read_splits(config.data))
        done = {"epochs": len(history), "photos": len(training), "validated_on": len(validation)}
        report_file.write(run / TRAINED, done)
        discard_states(run)

    def measure(self, letter: str) -> None:
        """Measure the models of a study that are trained, those of a kind on the same photos."""
        trained = [path for path in self.paths if path.stem[0].upper() == letter]
        trained = [path for path in trained if (self.folder / path.stem / TRAINED).is_file()]
        kinds = {path.stem: kind_of(load_config(path)) for path in trained}
        for kind in ("photos", "trimap"):
            models = [name for name, found in kinds.items() if found == kind]
            pictures = ["--figures", str(self.folder / letter), "--worst", str(self.scale.worst)]
            chosen = _only("--photos", self.scale.photos)
            self._report(letter, kind, models, evaluate.main, [*chosen, *pictures])
            if kind == "photos":
                chosen = _only("--photos", self.scale.robustness_photos)
                drawn = ["--figure", str(self.folder / letter / "robustness.png")]
                self._report(letter, "robustness", models, robustness.main, [*chosen, *drawn])
        for name, kind in kinds.items():
            if kind == "oracle":
                self._report(
                    letter, f"oracle-{name}", [name], oracle.main, _only("--photos", self.scale.photos)
                )
            if kind == "clicks":
                limit = _only("--limit", self.scale.animals)
                arguments = ["--clicks", *limit, "--max-clicks", str(self.scale.max_clicks)]
                self._report(letter, f"clicks-{name}", [name], evaluate.main, arguments)

    def _report(
        self,
        letter: str,
        what: str,
        models: Sequence[str],
        main: Callable[[Sequence[str]], None],
        arguments: Sequence[str],
    ) -> None:
        """Let a command measure models, unless its report knows just them, and is younger than they are."""
        path = report_path(self.folder, letter, what)
        checkpoints = [str(self.folder / name / BEST) for name in models]
        if not models or (
            path.is_file()
            and set(report_file.read(path)) == set(checkpoints)
            and all(age(self.folder / name / TRAINED) <= age(path) for name in models)
        ):
            return
        photos = ["--data", str(Path(photos_root()) / OXFORD), "--json", str(path), "--force"]
        path.parent.mkdir(parents=True, exist_ok=True)
        self._attempt(", ".join(models), lambda: main([*checkpoints, *arguments, *photos]))

    def _attempt(self, models: str, work: Callable[[], None]) -> None:
        """Do something about models; what goes wrong is said of them, and the rest goes on."""
        try:
            work()
        except (Exception, SystemExit) as error:
            for name in models.split(", "):
                self.failures[name] = f"{type(error).__name__}: {error}".splitlines()[0]
            tqdm.write(f"{models}: {type(error).__name__}: {error}", file=sys.stderr)


def check_recipe(run: Path, config: Config) -> None:
    """Keep what a run is begun by, or compare with what it was begun by.

    Raises:
        ValueError: that was something else.
    """
    recipe = config.model_dump(mode="json", exclude={"study": True, "output": True, "data": {"root"}})
    kept = run / RECIPE
    if not kept.is_file():
        report_file.write(kept, recipe)
        return
    before = report_file.read(kept)
    if changed := [key for key in recipe if recipe[key] != before.get(key)]:
        raise ValueError(
            f"{run} was begun with another {', '.join(changed)}: remove it to train it by its config of today"
        )


def age(path: Path) -> int:
    """When a file was written, in nanoseconds."""
    return path.stat().st_mtime_ns


def _only(option: str, count: int | None) -> list[str]:
    return [] if count is None else [option, str(count)]


def check_page(path: Path, *, force: bool) -> None:
    """Raise `OutputError` where a page is that somebody else wrote."""
    if not force and path.exists() and WRITTEN not in path.read_text(encoding="utf-8"):
        raise OutputError(f"{path} is no page of this command's; give another name, or --force")


def draw_clicks(document: Mapping[str, Any], path: Path) -> None:
    """The click curves of all models that are clicked."""
    curves = {
        name: {way: model["figures"][way]["iou"] for way in ("exact", "jittered")}
        for name, model in document["models"].items()
        if model["measured_by"] == "clicks" and model["figures"]
    }
    if curves:
        figures.plot_clicks(curves, path)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(
        prog="python -m train.study",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("study", choices=[*LETTERS, "all"], help="which one")
    parser.add_argument(
        "--scale", default="trial", help=f"{' or '.join(NAMES)}, or a TOML file; default: %(default)s"
    )
    parser.add_argument("--output", type=Path, help="default: runs/studies-SCALE")
    parser.add_argument("--page", type=Path, help="Markdown; default: studies.md in --output")
    parser.add_argument("--hours", action="store_true", help="only estimate how long it takes on one GPU")
    parser.add_argument("--report", action="store_true", help="only write down what is there already")
    options = report_file.parse(parser, arguments)
    folder = options.output or Path(f"runs/studies-{Path(options.scale).stem}")
    target = options.page or folder / "studies.md"
    try:
        check_page(target, force=options.force)
        scale = load_scale(options.scale)
        paths = config_paths(LETTERS if options.study == "all" else options.study)
        rerun = Rerun(paths, scale, folder)
        estimate = rerun.estimate()
        if options.hours or scale.name == "full":
            print(f"{hours.table(estimate)}\n{scale.teraflops:g} TFLOP/s. {hours.HOW}", flush=True)
        if options.hours:
            return
        if not options.report:
            rerun.run()
        document = gather(paths, scale, folder, rerun.failures, estimate)
        draw_clicks(document, folder / "clicks.png")
        report_file.write(options.json or folder / "studies.json", document)
        saving.write(target, page(document).encode())
    except (PetsegError, OSError, ValueError, ValidationError) as error:
        parser.exit(1, f"cannot re-run {options.study}: {error}\n")
    print(f"{target} and {options.json or folder / 'studies.json'}; pictures in {folder}")
    if rerun.failures:
        parser.exit(1, "".join(f"{name}: {why}\n" for name, why in rerun.failures.items()))


if __name__ == "__main__":
    main()
