"""`petseg batch` on Ray: how the work is spread, and what is left of it when workers die."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from petseg import DeviceError, ModelError
from petseg.batch import run as batches
from petseg.batch.ray import Plan, _Ledger, plan

on_a_cluster = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="needs Ray: pip install 'petseg[ray]'"),
    pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals"),
]


@pytest.mark.parametrize(
    ("nodes", "device", "workers", "threads", "expected"),
    [
        ([(2, 0)], "auto", 0, 0, Plan(2, 1, 0)),
        ([(2, 0), (2, 0)], "cpu", 0, 0, Plan(4, 1, 0)),
        ([(8, 0)], "cpu", 2, 0, Plan(2, 4, 0)),
        ([(8, 0)], "cpu", 0, 4, Plan(2, 4, 0)),
        ([(8, 0)], "cpu", 3, 2, Plan(3, 2, 0)),
        ([(3, 0), (3, 0)], "cpu", 3, 0, Plan(3, 1, 0)),  # 2 threads each fit one to a machine
        ([(0, 0), (4, 0)], "cpu", 2, 0, Plan(2, 2, 0)),
        ([(16, 1)], "cpu", 0, 0, Plan(16, 1, 0)),
        ([(16, 1)], "auto", 0, 0, Plan(1, 8, 1)),
        ([(16, 2), (16, 2)], "cuda", 0, 0, Plan(4, 8, 1)),
        ([(8, 1)], "cuda", 2, 0, Plan(2, 4, 0.5)),
        ([(16, 4)], "auto", 0, 2, Plan(4, 2, 1)),
    ],
)
def test_actors_times_threads_are_the_cores(
    nodes: list[tuple[int, int]], device: str, workers: int, threads: int, expected: Plan
) -> None:
    assert plan(nodes, device, workers, threads) == expected


@pytest.mark.parametrize(
    ("nodes", "device", "workers", "threads", "says"),
    [
        ([(2, 0)], "cuda", 0, 0, "no GPU"),
        ([(2, 1)], "cuda:0", 0, 0, "give cpu, cuda or auto"),
        ([(2, 0)], "cpu", 3, 0, "no room for 3 workers with 1 threads"),
        ([(2, 0), (2, 0)], "cpu", 0, 4, "4 cores together and at most 2 each"),
        ([(8, 0)], "cpu", 3, 4, "no room"),
        ([(0, 0)], "cpu", 0, 0, "no room"),
    ],
)
def test_no_room(nodes: list[tuple[int, int]], device: str, workers: int, threads: int, says: str) -> None:
    with pytest.raises(DeviceError, match=says):
        plan(nodes, device, workers, threads)


def test_the_ledger_finds_the_photo_that_kills() -> None:
    ledger = _Ledger()
    assert ledger.begin("a") == (False, [])
    assert ledger.begin("b") == (False, [])
    assert ledger.begin("a") == (True, []), "the first death says only: somewhere in this chunk"
    ledger.note("a", "a1")
    ledger.note("a", "a2")
    assert ledger.begin("a") == (True, ["a2"])
    ledger.note("a", "a3")
    assert ledger.begin("a") == (True, ["a2", "a3"])
    ledger.end("a")
    assert ledger.begin("a") == (False, []), "its answer was lost with a machine, and it is done anew"
    ledger.end("b")
    assert ledger.why() is None
    ledger.give_up(DeviceError("no memory"))
    assert str(ledger.why()) == "no memory"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes of one core each; a photo called "deadly" kills whoever reads it."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_BACKEND_LOG_LEVEL": "fatal",
            "RAY_worker_niceness": "0",  # else nothing moves while other work keeps the cores busy
        }.items():
            patch.setenv(name, value)
        import ray
        from ray.cluster_utils import Cluster

        def deadly_photos_kill() -> None:  # a local function goes to the workers by value
            import os

            from petseg.batch.storage import LocalFolder

            fetch = LocalFolder.fetch

            def fetch_or_die(self: Any, name: str) -> Any:
                if "deadly" in name:
                    os.kill(os.getpid(), 9)
                return fetch(self, name)

            LocalFolder.fetch = fetch_or_die  # type: ignore[method-assign]

        node = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_log_monitor": False}
        nodes = Cluster()
        try:
            for extra in ({"include_dashboard": False, "no_monitor": True}, {}):
                try:
                    nodes.add_node(**node, **extra)
                except Exception as error:
                    pytest.skip(f"Ray does not start here: {error}")
            ray.init(
                nodes.address,
                log_to_driver=False,
                logging_level="CRITICAL",
                runtime_env={"worker_process_setup_hook": deadly_photos_kill},
            )
            yield nodes
        finally:
            ray.shutdown()
            nodes.shutdown()


@pytest.fixture
def job(folder: Path, tmp_path: Path, model_path: Path) -> Callable[[], batches.Job]:
    def job() -> batches.Job:
        source, out = f"file://{folder}", str(tmp_path / "out")
        return batches.prepare(source, out, "ray", model=str(model_path), device="cpu")

    return job


def rows(job: batches.Job) -> list[dict[str, Any]]:
    import pyarrow.dataset

    return pyarrow.dataset.dataset(f"{job.output}/index").to_table().to_pylist()


def saved(job: batches.Job) -> list[str]:
    return sorted(path.name for path in Path(job.output).glob("*.mask.png"))


def _workers() -> list[Any]:
    """The processes of this cluster's actors that segment."""
    import psutil

    def title(process: Any) -> str:
        try:
            return " ".join(process.cmdline())
        except psutil.Error:
            return ""

    return [process for process in psutil.process_iter() if title(process).startswith("ray::MapWorker")]


@pytest.mark.usefixtures("cluster")
class TestOnACluster:
    pytestmark = on_a_cluster

    def test_a_killed_worker_costs_no_photo_and_doubles_none(self, put, folder: Path, job) -> None:
        first = put(folder / "0.png")
        Image.open(first).resize((1500, 1000)).save(first)
        names = [f"{i}.png" for i in range(120)]
        for name in names[1:]:
            os.link(first, folder / name)
        (folder / "bad.png").write_bytes(b"no photo")
        task, killed, done_by_then = job(), [], []

        def kill_one() -> None:
            while not killed and not finished.wait(0.01):
                if len(saved(task)) >= 10 and len(actors := _workers()) == 2:
                    done_by_then.append(len(saved(task)))
                    actors[0].send_signal(signal.SIGKILL)
                    killed.append(actors[0].pid)

        finished = threading.Event()
        killer = threading.Thread(target=kill_one)
        killer.start()
        try:
            summary = batches.run(task, "ray")
        finally:
            finished.set()
            killer.join()
        assert killed
        assert done_by_then[0] < 120, "the work was done before the worker was killed"
        assert (summary.ok, summary.failed) == (120, 1)
        found = rows(task)
        assert sorted(row["path"] for row in found) == sorted([*names, "bad.png"])
        assert saved(task) == sorted(f"{name}.mask.png" for name in names)
        for name in saved(task):
            Image.open(Path(task.output, name)).load()
        bad = next(row for row in found if row["path"] == "bad.png")
        assert (bad["status"], bad["mask"]) == ("failed", None)

        again = batches.run(task, "ray")
        assert (again.done_before, again.failed_before, again.ok, again.failed) == (120, 1, 0, 0)

    def test_a_photo_that_kills_its_worker_gets_a_row(self, put, folder: Path, job) -> None:
        names = [f"{i}.png" for i in range(10)]
        for name in [*names, "deadly.png"]:
            put(folder / name)
        task = job()
        summary = batches.run(task, "ray")
        assert (summary.ok, summary.failed) == (10, 1)
        status = {row["path"]: row["status"] for row in rows(task)}
        assert status == dict.fromkeys(names, "ok") | {"deadly.png": "failed"}
        error = next(row["error"] for row in rows(task) if row["status"] == "failed")
        assert "deadly.png: its worker died of it, twice" in error

    def test_another_model_on_a_worker_stops_the_run(self, put, folder: Path, job) -> None:
        put(folder / "a.png")
        with pytest.raises(ModelError, match="on one machine, 000000000000 on another"):
            batches.run(replace(job(), sha256="0" * 64), "ray")
        assert not saved(job())

    def test_no_room_for_so_many_actors(self, put, folder: Path, job) -> None:
        put(folder / "a.png")
        with pytest.raises(DeviceError, match="no room for 5 workers"):
            batches.run(replace(job(), workers=5), "ray")


class TestAlone:
    pytestmark = on_a_cluster

    def test_the_command_starts_ray_quietly_and_ends_it(
        self, put, folder: Path, tmp_path: Path, model_path: Path
    ) -> None:
        for name in ("a.png", "b.png", "c/d.png"):
            put(folder / name)
        out, others = tmp_path / "out", {process.pid for process in _workers()}
        command = f"batch {folder} {out} --engine ray --workers 1 --model {model_path} --device cpu".split()
        environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
        done = subprocess.run(
            [sys.executable, "-c", "from petseg.cli import main; main()", *command],
            capture_output=True,
            text=True,
            env=environment | {"RAY_worker_niceness": "0"},
            timeout=300,
        )
        if "Ray does not start here (The current node timed out" in done.stderr:
            pytest.skip(done.stderr)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("3 photos: 3 done in ")
        deadline = time.monotonic() + 30
        while left := {process.pid for process in _workers()} - others:
            assert time.monotonic() < deadline, f"{left} are still there"
            time.sleep(0.1)
