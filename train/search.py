"""Try a space of training configs with Optuna: `python -m train.search train/configs/searches/study_e.toml`.

The search's folder holds study.db (Optuna's SQLite), trials/NUMBER/ (a run each with its checkpoint, or one
for each fold), trials.csv and the plots. A search that was stopped goes on with --resume, in the epoch where
its last trial stood. One process at a time may work on a search.
"""

import argparse
import csv
import io
import math
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import optuna
from accelerate import PartialState
from accelerate.state import AcceleratorState
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from petseg.errors import OutputError
from petseg.measure import report_file
from petseg.measure.tables import aligned
from petseg.pixels import saving
from train.loops import trainer_class
from train.loops.runs import discard_states, has_begun
from train.report.plots import save_figure
from train.search_space import SearchConfig, SpaceError, load_space

mpl.use("Agg")

DATABASE, TABLE = "study.db", "trials.csv"
IDENTITY, ERROR = "space", "error"
"""User attributes of the study and of a failed trial."""

PLOTS: dict[str, Callable[..., Any]] = {
    "history": optuna.visualization.matplotlib.plot_optimization_history,
    "importance": optuna.visualization.matplotlib.plot_param_importances,
    "parallel": optuna.visualization.matplotlib.plot_parallel_coordinate,
    "slice": optuna.visualization.matplotlib.plot_slice,
    "epochs": optuna.visualization.matplotlib.plot_intermediate_values,
}


def search(space: SearchConfig, resume: bool = False) -> optuna.Study:
    """Run the trials that are left, one after the other.

    A trial that raises is recorded with its error, counts as one of the trials and is not tried again.

    Raises:
        FileExistsError, FileNotFoundError: a search has begun there, or has not, unlike `resume` says.
        SpaceError: it began with another space, or the metric is not among the figures of an epoch.
    """
    study = open_study(space, resume)
    while trial := next_trial(study, space):
        run_trial(study, trial, space)
        write_csv(study, space)
    return study


def open_study(space: SearchConfig, resume: bool) -> optuna.Study:
    """The study in the search's folder, new or begun; raises as `search`.

    The points of a grid wait in the study as trials, so that it knows what is left whenever it is stopped.
    """
    path = space.folder / DATABASE
    if path.exists() != resume:
        raise (
            FileNotFoundError(f"nothing to resume in {space.folder}: start without --resume")
            if resume
            else FileExistsError(
                f"{space.folder} holds a search already: add --resume to go on with it, "
                "or set output to another folder"
            )
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    pruning = space.pruning
    study = optuna.create_study(
        storage=storage(space),
        study_name=space.name,
        direction=space.direction,
        load_if_exists=True,
        # Optuna counts a trial's steps from 0, we its epochs from 1.
        pruner=optuna.pruners.MedianPruner(pruning.startup, pruning.warmup + 1)
        if pruning
        else optuna.pruners.NopPruner(),
    )
    identity = space.identity()
    begun = study.user_attrs.get(IDENTITY, identity)
    changed = [key for key in identity if identity[key] != begun.get(key)]
    if changed:
        raise SpaceError(
            f"the search in {space.folder} began with another {', '.join(changed)}: "
            "put it back, or set output to another folder"
        )
    study.set_user_attr(IDENTITY, identity)
    if space.sampler == "grid":
        for point in space.grid():
            study.enqueue_trial(point, skip_if_exists=True)
    return study


def storage(space: SearchConfig) -> optuna.storages.RDBStorage:
    """Optuna's side of study.db."""
    return optuna.storages.RDBStorage(f"sqlite:///{(space.folder / DATABASE).as_posix()}")


def next_trial(study: optuna.Study, space: SearchConfig) -> optuna.Trial | None:
    """The trial that was interrupted, else a new one, else None."""
    trials = study.get_trials(deepcopy=False)
    number = next((trial.number for trial in trials if trial.state == TrialState.RUNNING), None)
    begun = sum(trial.state != TrialState.WAITING for trial in trials)
    if number is None and begun >= space.count:
        return None
    # A seed for each trial: a search that goes on draws what an unbroken one would have drawn.
    sequence = np.random.SeedSequence([space.seed, begun if number is None else number])
    seed = int(sequence.generate_state(1)[0])
    study.sampler = optuna.samplers.TPESampler(n_startup_trials=space.startup, seed=seed)
    if number is None:
        return study.ask()
    known = storage(space)
    study_id = known.get_study_id_from_name(study.study_name)
    return optuna.Trial(study, known.get_trial_id_from_study_id_trial_number(study_id, number))


def run_trial(study: optuna.Study, trial: optuna.Trial, space: SearchConfig) -> None:
    """Train one point, and tell the study how it went."""
    folder = space.trial_folder(trial.number)
    point = {key: parameter.suggest(trial, key) for key, parameter in space.space.items()}
    said = ", ".join(f"{key} {value}" for key, value in point.items())
    print(f"trial {trial.number + 1} of {space.count}: {said}", flush=True)
    try:
        result = study.tell(trial, train(trial, space))
        print(f"  {space.metric} {result.value:.4f}")
    except optuna.TrialPruned as pruned:
        study.tell(trial, state=TrialState.PRUNED)
        print(f"  pruned: {pruned}")
    except SpaceError:
        raise
    except Exception as error:
        trial.set_user_attr(ERROR, f"{type(error).__name__}: {error}")
        study.tell(trial, state=TrialState.FAIL)
        folder.mkdir(parents=True, exist_ok=True)
        saving.write(folder / "error.txt", traceback.format_exc().encode())
        print(f"  failed: {type(error).__name__}: {error} (see {folder / 'error.txt'})")
    for run in (folder, *folder.glob("fold-*")):
        discard_states(run)


def train(trial: optuna.Trial, space: SearchConfig) -> float:
    """The metric of the best epoch of a run, new or taken up; of several folds, the mean of theirs.

    Raises:
        optuna.TrialPruned: the pruner stopped it.
        SpaceError: the metric is not among the figures of an epoch.
    """
    results, before = [], 0
    for config in space.trial_configs(trial.params, space.trial_folder(trial.number)):

        def report(row: dict[str, float], before: int = before) -> None:
            trial.report(figure(row, space.metric), before + int(row["epoch"]))
            if trial.should_prune():
                raise optuna.TrialPruned(f"after epoch {row['epoch']}")

        # One Accelerator after the other: the next may ask for another precision.
        AcceleratorState._reset_state()
        trainer = trainer_class(config.model)(config)
        history = trainer.fit(resume=has_begun(config.folder), on_epoch=report)
        figures = [value for row in history if math.isfinite(value := figure(row, space.metric))]
        if not figures:
            raise ValueError(f"{space.metric} is not a finite number in any epoch")
        results.append(max(figures) if space.direction == "maximize" else min(figures))
        before += len(history)
    return sum(results) / len(results)


def figure(row: dict[str, float], metric: str) -> float:
    """The metric of an epoch."""
    if metric not in row:
        raise SpaceError(f"metric {metric!r} is not among the figures of an epoch: {', '.join(row)}")
    return row[metric]


def ranked(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that have begun: results best first, then the pruned, then the rest."""
    sign = -1 if study.direction == StudyDirection.MAXIMIZE else 1
    order = [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING]
    begun = [trial for trial in study.get_trials(deepcopy=False) if trial.state in order]
    return sorted(begun, key=lambda t: (order.index(t.state), sign * (t.value or 0.0), t.number))


def cells(study: optuna.Study, space: SearchConfig) -> list[list[str]]:
    """The result as a heading and a row for each trial."""
    rows = [["trial", "state", space.metric, "epochs", *space.space, ERROR]]
    for trial in ranked(study):
        result = "" if trial.value is None else f"{trial.value:.6g}"
        values = [str(trial.params.get(key, "")) for key in space.space]
        error = trial.user_attrs.get(ERROR, "")
        epochs = str(trial.last_step or 0)
        rows.append([str(trial.number), trial.state.name.lower(), result, epochs, *values, error])
    return rows


def write_csv(study: optuna.Study, space: SearchConfig) -> None:
    """trials.csv in the search's folder."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(cells(study, space))
    saving.write(space.folder / TABLE, text.getvalue().encode())


def plot(study: optuna.Study, space: SearchConfig) -> None:
    """The plots, each as a PNG; what cannot be drawn is skipped, and said why."""
    if not study.get_trials(deepcopy=False, states=[TrialState.COMPLETE]):
        print("plots skipped: no trial has ended with a result")
        return
    for name, draw in PLOTS.items():
        named = {} if name in ("importance", "epochs") else {"target_name": space.metric}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                axes = draw(study, **named)
        except (ImportError, RuntimeError, ValueError) as error:
            print(f"{name}.png skipped: {error}")
            continue
        drawn = np.ravel(axes)[0].figure
        save_figure(drawn, space.folder / f"{name}.png", tight=True)
        mpl.pyplot.close(drawn)


def report(study: optuna.Study, space: SearchConfig) -> None:
    """Print the table and the best trial; write the CSV and the plots."""
    write_csv(study, space)
    rows = cells(study, space)
    # An error may have many lines.
    short = [[*row[:-1], row[-1].partition("\n")[0][:80]] for row in rows]
    print(aligned(short, right=range(2, len(rows[0]) - 1)))
    plot(study, space)
    best = ranked(study)[0]
    if best.state != TrialState.COMPLETE:
        raise SystemExit(f"no trial of {len(rows) - 1} gave a result: see {space.folder / TABLE}")
    changes = " ".join(f"--set '{override}'" for override in space.overrides_at(best.params))
    print(f"best: trial {best.number}, {space.metric} {best.value:.6g}, {space.trial_folder(best.number)}")
    print(f"again: accelerate launch train/train.py --config {space.config} {changes}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and search."""
    parser = argparse.ArgumentParser(
        prog="python -m train.search",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("space", type=Path, help="TOML file, see train/search_space.py")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override in every trial's config",
    )
    parser.add_argument("--resume", action="store_true", help="go on with a search that was stopped")
    parser.add_argument(
        "--force", action="store_true", help="replace files there that petseg did not write, too"
    )
    options = parser.parse_args(arguments)
    if PartialState().num_processes > 1:
        raise SystemExit("a search runs its trials in one process: start it with python -m train.search")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        space = load_space(options.space, options.set)
        names = [f"{name}.png" for name in PLOTS]
        if not (space.folder / DATABASE).exists():  # beside it the table, which has no mark, is the search's
            names.append(TABLE)
        report_file.check_files(space.folder, names, force=options.force)
        study = search(space, options.resume)
    except (SpaceError, OutputError, FileExistsError, FileNotFoundError) as error:
        raise SystemExit(f"error: {error}") from error
    report(study, space)


if __name__ == "__main__":
    main(sys.argv[1:])
