"""The file that declares a search (TOML): a base config, and the fields of it that are tried."""

import itertools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import optuna
from pydantic import AfterValidator, Discriminator, Field, field_validator, model_validator

from train.config import Config, load_config, not_one_fold, read_toml
from train.sections import Section

FOLDS = ("data.folds", "data.fold")
Value = bool | int | float | str
Point = dict[str, Value]
"""Key of a config field -> its value."""


def toml(value: Value) -> str:
    """A scalar as TOML writes it, which is as JSON does."""
    return json.dumps(value, ensure_ascii=False)


class SpaceError(ValueError):
    """The file of a search asks for what cannot be done."""


class Categorical(Section):
    """One of several values, whatever their order."""

    type: Literal["categorical"]
    choices: list[Value] = Field(min_length=1)

    @model_validator(mode="after")
    def _once(self) -> Self:
        if len({toml(choice) for choice in self.choices}) < len(self.choices):
            raise ValueError("choices: one of them comes twice")
        return self

    def suggest(self, trial: optuna.Trial, key: str) -> Value:
        """The trial's value of `key`."""
        chosen = trial.suggest_categorical(key, self.choices)
        assert chosen is not None  # which none of the choices is
        return chosen

    def values(self) -> list[Value]:
        """All of them."""
        return self.choices

    def ends(self) -> list[Value]:
        """The values that must fit the config for all to fit."""
        return self.choices


class Range(Section):
    """Numbers from `low` to `high`, both included.

    Attributes:
        log: drawn evenly by their logarithm; then there is no step.
        step: between neighbours, from `low`.
    """

    type: Literal["int", "float"]
    low: int | float
    high: int | float
    step: int | float | None = Field(default=None, gt=0)
    log: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        if self.log and (self.low <= 0 or self.step):
            raise ValueError("log: low must be above 0, and there must be no step")
        numbers = (self.low, self.high, self.step or 1)
        if not all(math.isfinite(number) for number in numbers):
            raise ValueError("low, high and step must be finite")
        if self.type == "int" and any(int(number) != number for number in numbers):
            raise ValueError("an int range needs whole numbers")
        return self

    def suggest(self, trial: optuna.Trial, key: str) -> Value:
        """The trial's value of `key`."""
        if self.type == "int":
            step = int(self.step or 1)
            return trial.suggest_int(key, int(self.low), self._top(step), step=step, log=self.log)
        return trial.suggest_float(key, self.low, self._top(self.step), step=self.step, log=self.log)

    def values(self) -> list[Value]:
        """All of them.

        Raises:
            ValueError: there is no end of them.
        """
        step = self.step or (1 if self.type == "int" else None)
        if self.log or step is None:
            raise ValueError("a grid needs choices or a step here")
        # Rounded, so that 0.1 + 2 * 0.1 is the 0.3 that was meant.
        count = self._steps(step) + 1
        numbers = [round(self.low + index * step, 12) for index in range(count)]
        return [int(number) for number in numbers] if self.type == "int" else [float(n) for n in numbers]

    def ends(self) -> list[Value]:
        """The values that must fit the config for all to fit."""
        return [int(n) if self.type == "int" else float(n) for n in (self.low, self.high)]

    def _steps(self, step: float) -> int:
        return math.floor((self.high - self.low) / step + 1e-9)

    def _top(self, step: float | None) -> Any:
        """The last number that steps from `low` reach."""
        return self.high if step is None else round(self.low + self._steps(step) * step, 12)


Parameter = Annotated[Categorical | Range, Discriminator("type")]


class PruningConfig(Section):
    """Median pruning: a trial stops once its best epoch so far is worse than the median of the others then.

    Attributes:
        startup: trials that must have run to their end before any is pruned.
        warmup: epochs of each trial in which it is not pruned.
    """

    startup: int = Field(default=5, ge=1)
    warmup: int = Field(default=1, ge=0)


class SearchConfig(Section):
    """A whole search.

    Attributes:
        name: of the study.
        config: the base config, from the working directory.
        overrides: "section.key=value" for every trial, as `train.py --set` takes them.
        output: folder of the search; empty: runs/NAME.
        sampler: "grid" (every combination once, in an order drawn by seed) or "tpe" (arXiv:2304.11127).
        startup: trials that "tpe" draws at random before it learns from them.
        trials: how many; for a grid 0 means all combinations, and less is a part of them.
        metric: figure of the history; a trial counts by its best epoch.
        folds: train each trial on each of so many folds of `data.folds` in turn; it counts by the mean of
            their best epochs. 0 trains once, on the sources' own validation. Trials of folds are not pruned.
        direction: "maximize" or "minimize" it.
        seed: of the sampler. The trials' own seed is that of the base config, unless it is searched.
        pruning: None lets every trial run to its end.
        space: "section.key" -> what may stand there.
    """

    name: str = Field(min_length=1)
    config: str
    overrides: list[str] = Field(default=[])
    output: str = ""
    sampler: Literal["grid", "tpe"] = "tpe"
    startup: int = Field(default=10, ge=1)
    trials: int = Field(default=0, ge=0)
    metric: str = "val_miou"
    folds: Annotated[int, Field(ge=0), AfterValidator(not_one_fold)] = 0
    direction: Literal["maximize", "minimize"] = "maximize"
    seed: int = Field(default=0, ge=0)
    pruning: PruningConfig | None = None
    space: dict[str, Parameter] = Field(min_length=1)

    @field_validator("space", mode="before")
    @classmethod
    def _quoted(cls, space: Any) -> Any:
        """TOML reads an unquoted optim.epochs as a table in a table."""
        for key, table in space.items() if isinstance(space, dict) else ():
            if isinstance(table, dict) and any(isinstance(inner, dict) for inner in table.values()):
                raise ValueError(f'put the whole key in quotes: "{key}.{next(iter(table))}" = {{ ... }}')
        return space

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.space.keys() & {"output", "name"}:
            raise ValueError("space: output and name are given by the search, one folder a trial")
        if self.folds and self.pruning:
            raise ValueError(
                "pruning: a trial that is trained on folds cannot be pruned; leave one of them out"
            )
        if self.folds and any(key in FOLDS for key in self.space):
            raise ValueError(f"space: {' and '.join(FOLDS)} are given by folds")
        if self.sampler == "tpe" and not self.trials:
            raise ValueError('trials: say how many; only a "grid" ends by itself')
        if self.sampler == "grid":
            for key, parameter in self.space.items():
                try:
                    parameter.values()
                except ValueError as error:
                    raise ValueError(f"space: {key}: {error}") from error
        return self

    @property
    def folder(self) -> Path:
        """Where the search writes."""
        return Path(self.output or f"runs/{self.name}")

    @property
    def count(self) -> int:
        """Trials until the search is done."""
        return len(self.grid()) if self.sampler == "grid" else self.trials

    def trial_folder(self, number: int) -> Path:
        """Where trial `number` runs."""
        return self.folder / f"trials/{number:04d}"

    def grid(self) -> list[Point]:
        """The points of a grid in the order they are tried; all of them, or the first `trials`."""
        points = list(itertools.product(*(parameter.values() for parameter in self.space.values())))
        order = np.random.default_rng(self.seed).permutation(len(points))
        ordered = [dict(zip(self.space, points[index], strict=True)) for index in order]
        return ordered[: self.trials or None]

    def overrides_at(self, point: Point) -> list[str]:
        """What makes a trial's config of the base config."""
        return [*self.overrides, *(f"{key}={toml(value)}" for key, value in point.items())]

    def trial_config(self, point: Point, folder: Path) -> Config:
        """The config of a trial, of its first run where it has folds; raises as `load_config`."""
        return self.trial_configs(point, folder)[0]

    def trial_configs(self, point: Point, folder: Path) -> list[Config]:
        """The configs of a trial's runs: one, in the folder, or one for each fold, in fold-0 ... there.

        Raises:
            FileNotFoundError, ValueError: as `load_config`.
        """
        name = toml(f"{self.name}-{folder.name}")
        found = []
        for fold in range(self.folds or 1):
            place, held_out = folder, []
            if self.folds:
                place = folder / f"fold-{fold}"
                held_out = [f"{key}={value}" for key, value in zip(FOLDS, (self.folds, fold), strict=True)]
            own = [f"output={toml(str(place))}", f"name={name}", *held_out]
            found.append(load_config(self.config, [*self.overrides_at(point), *own]))
        return found

    def identity(self) -> dict[str, Any]:
        """What may not change while a search goes on; more trials may be asked for."""
        base = read_toml(self.config)
        # A search of before there were folds goes on.
        left_out = {"trials", "output"} | (set() if self.folds else {"folds"})
        return self.model_dump(mode="json", exclude=left_out) | {"config": base}


def load_space(path: str | Path, overrides: Sequence[str] = ()) -> SearchConfig:
    """Read the file of a search, and try its base config at the ends of every range.

    Args:
        path: the file.
        overrides: added to its own.

    Raises:
        SpaceError: what is wrong with it.
        FileNotFoundError: it or its base config is missing.
    """
    try:
        space = SearchConfig.model_validate(read_toml(path))
    except ValueError as error:
        raise SpaceError(f"{path}: {error}") from error
    space = space.model_copy(update={"overrides": [*space.overrides, *overrides]})
    try:
        read_toml(space.config)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path}: its base config: {error}") from error
    except ValueError as error:
        raise SpaceError(f"{path}: {error}") from error
    first: Point = {key: parameter.ends()[0] for key, parameter in space.space.items()}
    for key, parameter in space.space.items():
        for value in parameter.ends():
            try:
                space.trial_config({**first, key: value}, space.trial_folder(0))
            except ValueError as error:
                raise SpaceError(f"{path}: {key} = {toml(value)} does not fit: {error}") from error
    return space
