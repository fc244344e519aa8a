"""The ready configs of `accelerate launch`, and training with several processes."""

import csv
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import FullyShardedDataParallelPlugin
from accelerate.utils.launch import prepare_multi_gpu_env

from tests.support.launching import ACCELERATE, ONE_PROCESS, ROOT, TWO_PROCESSES, launch, start, write_toml
from train.checkpoint import load_checkpoint
from train.config import Config, OptimConfig

MakeConfig = Callable[..., Config]
SCRIPT = ROOT / "train/train.py"

SHARDED = f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
from accelerate.state import DistributedType, PartialState
# Accelerate shards on GPUs only, torch on the CPU too: let it take these processes for GPUs.
PartialState._prepare_backend = lambda *arguments: ("gloo", DistributedType.MULTI_GPU)
os.environ.pop("ACCELERATE_USE_CPU")
import torch
PartialState.set_device = lambda self: setattr(self, "device", torch.device("cpu"))
torch.distributed.init_process_group("gloo")
from torch.distributed.tensor import DTensor
from train import loop, train

fit = loop.Trainer.fit

def fit_sharded(self, **options):
    large = [p for p in self.model.parameters() if p.numel() > 100]
    assert large and all(isinstance(p, DTensor) and p.to_local().numel() < p.numel() for p in large)
    return fit(self, **options)

loop.Trainer.fit = fit_sharded
train.main(sys.argv[1:])
"""


def arguments_of(name: str) -> Any:
    """What `accelerate launch` makes of one of the files."""
    line = ["--config_file", str(ACCELERATE / f"{name}.yaml"), "train/train.py"]
    return _validate_launch_command(launch_command_parser().parse_args(line))[0]


@pytest.mark.parametrize(
    ("name", "kind", "launcher"),
    [
        ("multi_cpu", "MULTI_GPU", "multi_gpu"),
        ("multi_gpu", "MULTI_GPU", "multi_gpu"),
        ("multi_node", "MULTI_GPU", "multi_gpu"),
        ("fsdp", "FSDP", "use_fsdp"),
        ("deepspeed", "DEEPSPEED", "use_deepspeed"),
    ],
)
def test_files_are_what_accelerate_reads(name: str, kind: str, launcher: str) -> None:
    config = load_config_from_file(str(ACCELERATE / f"{name}.yaml"))  # an unknown key is an error
    assert config.distributed_type == kind
    arguments = arguments_of(name)
    chosen = [way for way in ("multi_gpu", "use_fsdp", "use_deepspeed") if getattr(arguments, way)]
    assert chosen == [launcher]
    assert arguments.num_processes == config.num_processes >= 2
    assert arguments.num_machines == (2 if name == "multi_node" else 1)
    assert arguments.mixed_precision == "no"


def test_every_file_is_tested() -> None:
    names = {path.stem for path in ACCELERATE.glob("*.yaml")}
    assert names == {"multi_cpu", "multi_gpu", "multi_node", "fsdp", "deepspeed"}


def test_fsdp_file_makes_a_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = prepare_multi_gpu_env(arguments_of("fsdp"))
    for name, value in environment.items():
        if name.startswith(("FSDP_", "ACCELERATE_")):
            monkeypatch.setenv(name, value)
    plugin = FullyShardedDataParallelPlugin()
    assert plugin.fsdp_version == 2
    assert plugin.reshard_after_forward is True
    assert plugin.state_dict_type.name == "SHARDED_STATE_DICT"


def test_deepspeed_file_leaves_accumulation_to_the_config() -> None:
    arguments = arguments_of("deepspeed")
    assert (arguments.zero_stage, arguments.gradient_clipping) == (2, OptimConfig().max_norm)
    assert arguments.gradient_accumulation_steps is None


@pytest.fixture
def make_toml(make_config: MakeConfig, tmp_path: Path) -> Callable[..., Path]:
    """Five epochs of two steps, each of eight photos, however many processes share them."""

    def make(name: str, processes: int, norm: str = "group") -> Path:
        config = make_config(
            output=str(tmp_path / name),
            model={"norm": norm},
            augment={"flip": 0.5, "noise": 0.5},
            optim={"batch_size": 8 // processes, "epochs": 5},
            # Its mean over all photos is the mean of the processes' means, as the gradients are.
            loss={"name": "cross_entropy"},
        )
        return write_toml(config, tmp_path / f"{name}.toml")

    return make


def curve(path: Path) -> list[dict[str, float]]:
    with path.open() as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def check(processes: int, path: Path, script: Path = SCRIPT, *, options: list[str]) -> list[dict[str, float]]:
    """Launch a run, see that it had so many processes, and give its history."""
    done = launch(script, "--config", str(path), options=options)
    assert done.returncode == 0, done.stderr
    folder = path.with_suffix("")
    # Accelerate saves the random numbers of each process.
    assert len(list((folder / "state").glob("random_states_*"))) == processes
    load_checkpoint(folder / "best")
    return curve(folder / "history.csv")


def assert_same(
    first: list[dict[str, float]], other: list[dict[str, float]], tolerance: float, *figures: str
) -> None:
    """Two histories agree in these figures, or in all."""
    assert len(first) == len(other) == 5
    assert first[-1]["loss"] < 0.9 * first[0]["loss"]
    for row, expected in zip(other, first, strict=True):
        for figure in figures or expected:
            assert row[figure] == pytest.approx(expected[figure], rel=tolerance, abs=1e-6), figure


@pytest.mark.slow
@pytest.mark.parametrize(
    ("norm", "tolerance", "figures"), [("group", 1e-3, ()), ("batch", 0.1, ("loss", "learning_rate"))]
)
def test_two_processes_learn_what_one_does(
    make_toml: Callable[..., Path], norm: str, tolerance: float, figures: tuple[str, ...]
) -> None:
    """With batch norm only nearly: each process normalises by its own half of the batch."""
    one = check(1, make_toml("one", 1, norm), options=ONE_PROCESS)
    two = check(2, make_toml("two", 2, norm), options=TWO_PROCESSES)
    assert_same(one, two, tolerance, *figures)


@pytest.mark.slow
def test_two_machines_learn_what_one_does(make_toml: Callable[..., Path]) -> None:
    """Both on this one, as two launches that meet at a port."""
    one = check(1, make_toml("one", 1), options=ONE_PROCESS)
    path = make_toml("two", 2)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    options = ["--config_file", str(ACCELERATE / "multi_node.yaml"), "--num_processes", "2"]
    options += ["--main_process_ip", "127.0.0.1", "--main_process_port", port]
    machines = [
        start(SCRIPT, "--config", str(path), options=[*options, "--machine_rank", rank]) for rank in "01"
    ]
    for machine in machines:
        _, errors = machine.communicate(timeout=570)
        assert machine.returncode == 0, errors
    assert_same(one, curve(path.with_suffix("") / "history.csv"), 1e-3)


@pytest.mark.slow
def test_sharding_learns_what_one_process_does(make_toml: Callable[..., Path], tmp_path: Path) -> None:
    """The file for FSDP, on the CPU: what the loop does with a model that is shared out."""
    one = check(1, make_toml("one", 1), options=ONE_PROCESS)
    script = tmp_path / "sharded.py"
    script.write_text(SHARDED)
    options = ["--config_file", str(ACCELERATE / "fsdp.yaml")]
    two = check(2, make_toml("two", 2), script, options=options)
    assert_same(one, two, 1e-3)
