"""Nothing that is loaded can carry code, and weights that were changed are not used."""

import hashlib
import json
import random
import re
import shutil
from pathlib import Path

import pytest

from petseg import Segmenter
from petseg.errors import HubContentError, ModelError
from petseg.hub import pull
from petseg.models import catalog
from tests.support.command_line import tree
from tests.support.hub_fixtures import REPO, contents, make_release
from tests.support.hub_server import HubServer
from tests.support.watched import watched

ROOT = Path(__file__).parents[2]
ROOMS = ("petseg", "train", "export", "benchmarks", "docs")

_CARRIES_CODE = re.compile(
    r"\b(?:import|from)\s+(?:[a-z_]*pickle|dill|joblib|shelve|marshal)\b|torch\.(?:load|save)\(|np\.load\(|"
    r"allow_pickle|yaml\.(?:unsafe_|full_)?load\(|(?<![.\w])(?:eval|exec)\(|trust_remote_code"
)


def test_no_pickle_anywhere() -> None:
    sources = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    assert len(sources) > 80, "the search looks in the wrong place"
    found = {
        f"{path.relative_to(ROOT).as_posix()}:{number}: {line.strip()}"
        for path in sources
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if _CARRIES_CODE.search(line) and path != Path(__file__)
    }
    assert found == set()


@pytest.mark.parametrize(
    "line", ["import pickle", "torch.load(path)", "np.load(f, allow_pickle=True)", "eval(x)"]
)
def test_the_search_finds_what_it_looks_for(line: str) -> None:
    assert _CARRIES_CODE.search(line)


def test_no_weights_that_can_carry_code() -> None:
    kinds = {".pt", ".pth", ".pkl", ".bin", ".ckpt", ".joblib", ".npy", ".npz", ".h5"}
    for room in ("petseg", "train", "export"):
        assert [name for name in tree(ROOT / room) if Path(name).suffix in kinds] == []


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    code = """
import petseg
photo = "petseg/app/examples/chelsea.jpg"
for answer in (petseg.segment(photo), petseg.segment(photo, (220, 150))):
    answer.save(sys.argv[2] + "/mask.png")
    answer.save(sys.argv[2] + "/answer.json")
petseg.list_models()
"""
    seen = watched(code, tmp_path / "seen.json", tmp_path)
    assert any(Path(path).name.startswith("unet.") for path in seen.of("open")), "the hook sees nothing"
    assert seen.of("pickle.find_class") == []
    assert seen.of("subprocess.Popen") == seen.of("os.system") == []


def test_the_hook_sees_pickles(tmp_path: Path) -> None:
    module = "pick" + "le"
    seen = watched(
        f"import {module}, fractions\n{module}.loads({module}.dumps(fractions.Fraction(1)))",
        tmp_path / "seen",
    )
    assert seen.of("pickle.find_class")


@pytest.mark.slow
def test_checkpoints_are_read_without_unpickling(tmp_path: Path) -> None:
    weights = (ROOT / "train" / "checkpoints").glob("*/model.safetensors")
    checkpoints = [path.parent for path in sorted(weights, key=lambda path: path.stat().st_size)[:1]]
    if not checkpoints:
        pytest.skip("this checkout has no checkpoints")
    code = "from train.checkpoint import load_checkpoint\nfor path in sys.argv[2:]: load_checkpoint(path)"
    seen = watched(code, tmp_path / "seen.json", *checkpoints)
    loaded = [path for path in seen.of("open") if path.endswith("config.json")]
    assert len(loaded) >= len(checkpoints)
    first = next(index for index, event in enumerate(seen.events) if event[1].endswith("config.json"))
    assert not [about for kind, about in seen.events[first:] if kind == "pickle.find_class"]


# -- weights ----------------------------------------------------------------------------------------------

INDEX = json.loads((catalog.WEIGHTS / "index.json").read_text())["models"].values()
FILES = {
    file["path"]: file
    for entry in INDEX
    for version in (entry, entry.get("int8", {"files": []}))
    for file in version["files"]
}
EMBEDDED = list(FILES)


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_weights_are_those_of_the_index(name: str) -> None:
    data = (catalog.WEIGHTS / name).read_bytes()
    assert (hashlib.sha256(data).hexdigest(), len(data)) == (FILES[name]["sha256"], FILES[name]["bytes"])


@pytest.mark.parametrize("name", EMBEDDED)
@pytest.mark.parametrize("harm", ["flipped", "cut", "longer", "another model"])
def test_tampered_weights_are_refused(
    name: str, harm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(catalog.WEIGHTS, tmp_path / "weights")
    path = tmp_path / "weights" / name
    data, at = bytearray(path.read_bytes()), random.Random(name).randrange(path.stat().st_size)
    if harm == "flipped":
        data[at] ^= 1
    elif harm == "cut":
        del data[at:]
    elif harm == "longer":
        data += b"\x1a\\0"
    else:
        data = bytearray((catalog.WEIGHTS / next(other for other in EMBEDDED if other != name)).read_bytes())
    path.write_bytes(data)
    monkeypatch.setattr(catalog, "WEIGHTS", tmp_path / "weights")
    with pytest.raises(
        ModelError, match=r"not the file that this petseg was published with \(wrong sha256\)"
    ):
        Segmenter(
            name.split("/")[0].split(".")[0],
            device="cpu",
            precision="int8" if name.endswith(".int8.onnx") else "float32",
        )


def test_weights_are_checked_again_when_they_change(weights: Path) -> None:
    Segmenter("tiny", device="cpu")
    (weights / "tiny.onnx").write_bytes((weights / "tiny.onnx").read_bytes() + b"\x1a\\0")
    with pytest.raises(ModelError, match="wrong sha256"):
        Segmenter("tiny", device="cpu")


@pytest.mark.parametrize(
    "name", ["model.pkl", "../model.onnx", "/tmp/model.onnx", "run.py", "pytorch_model.bin", "a/../../b.json"]
)
def test_nothing_else_is_pulled(hub: HubServer, tmp_path: Path, name: str) -> None:
    release = contents(make_release(tmp_path / "release"))
    listed = json.loads(release["petseg.json"])
    listed["files"][name] = {"sha256": hashlib.sha256(b"x").hexdigest(), "bytes": 1}
    hub.put(REPO, release | {"petseg.json": json.dumps(listed).encode(), name: b"x"})
    with pytest.raises(HubContentError, match=r"petseg reads only|no name petseg accepts"):
        pull(REPO)
    assert not any(
        path.name == Path(name).name and path.read_bytes() == b"x" for path in hub.cache.rglob("*.*")
    )
