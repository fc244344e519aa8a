"""From a checkpoint to the Hub and back: what is pulled is what was trained."""

import json
import shutil
from pathlib import Path

import onnx
import pytest
import torch
from numpy.typing import NDArray

import petseg
from export import card, missing, publish, space, verify
from export.errors import PublishError, SpaceError
from export.export import export
from export.publish import assemble, main
from petseg.errors import HubContentError
from petseg.hub import pull
from petseg.models import bundle, catalog
from tests.support.hub_fixtures import REPO
from tests.support.hub_server import HubServer
from train.checkpoint import load_checkpoint
from train.models import from_pretrained

CARD = "---\nlibrary_name: petseg\n---\n![](../train/checkpoints/plain/robustness.png)\n"
Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="session")
def proven(checkpoint: Path, oxford: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with history, metrics and figures, beside its export, and proof that they agree."""
    folder = tmp_path_factory.mktemp("proven")
    shutil.copytree(checkpoint, folder, dirs_exist_ok=True)
    (folder / "history.csv").write_text("epoch,loss\n1,0.5\n")
    (folder / "metrics.json").write_text(json.dumps({"plain": {"miou": 0.5}}))
    (folder / "robustness.png").write_bytes(b"\x89PNG")
    (folder / "state.pt").write_bytes(b"never published")
    export(folder, metrics=folder / "metrics.json").write(folder / "model.onnx")
    prove(folder, folder / "model.onnx", oxford)
    return folder


@pytest.fixture
def trained(proven: Path, tmp_path: Path) -> Path:
    """A copy of it to play with."""
    return shutil.copytree(proven, tmp_path / "checkpoint")


@pytest.fixture
def sources(trained: Path, tmp_path: Path) -> list[str]:
    """Arguments of `main`: the checkpoint, its verified export, and a card."""
    model, card = trained / "model.onnx", tmp_path / "card.md"
    card.write_text(CARD)
    return ["model", "plain", REPO, "--model", str(model), "--checkpoint", str(trained), "--card", str(card)]


def prove(checkpoint: Path, model: Path, photos: Path) -> None:
    arguments = [
        str(checkpoint),
        str(model),
        "--data",
        str(photos),
        "--json",
        str(checkpoint / "parity.json"),
    ]
    assert verify.main(arguments) == 0


def test_there_and_back(
    hub: HubServer, sources: list[str], trained: Path, photo: NDArray, capsys: Captured
) -> None:
    version = publish.read_document(trained / "model.onnx")["version"]
    assert main([*sources, "--dry-run"]) == 0
    assert f"tiny {version} would become {REPO}, tagged v{version}" in capsys.readouterr().out
    assert hub.requests == []
    assert main(sources) == 0
    files = hub.files(REPO)
    assert set(files) == {
        ".gitattributes",
        "README.md",
        "config.json",
        "history.csv",
        "metrics.json",
        "model.onnx",
        "model.safetensors",
        "parity.json",
        "petseg.json",
        "robustness.png",
    }
    assert b"(robustness.png)" in files["README.md"]
    local = petseg.segment(photo, model=trained / "model.onnx", device="cpu").mask
    assert (petseg.segment(photo, model=REPO, device="cpu").mask == local).all()
    expected, actual = load_checkpoint(trained)[0].state_dict(), from_pretrained(REPO).state_dict()
    assert expected.keys() == actual.keys()
    assert all(torch.equal(expected[name], actual[name]) for name in expected)
    capsys.readouterr()
    assert main(sources) == 0
    assert "as before" in capsys.readouterr().out
    assert len(hub.repositories[REPO].commits) == 2


def test_without_parity(hub: HubServer, sources: list[str], trained: Path, capsys: Captured) -> None:
    (trained / "parity.json").unlink()
    assert main(sources) == 1
    assert "parity.json is missing" in capsys.readouterr().err
    (trained / "parity.json").write_text("{}")
    assert main(sources) == 1
    assert "not about its ONNX files" in capsys.readouterr().err
    assert hub.requests == []


def test_without_metrics(
    sources: list[str], exported: Path, oxford: Path, trained: Path, capsys: Captured
) -> None:
    sources[sources.index("--model") + 1] = str(exported)
    prove(trained, exported, oxford)
    assert main(sources) == 1
    assert "carry no metrics" in capsys.readouterr().err


def test_without_a_card_its_template_is_written(
    hub: HubServer, sources: list[str], trained: Path, capsys: Captured
) -> None:
    without = sources[: sources.index("--card")]
    words = trained / "card.toml"
    assert main(without) == 1
    assert f"1. the card needs words that only you can say: {words} was written" in capsys.readouterr().err
    assert main(without) == 1
    assert f"{words} still has its template's limits, summary, terms" in capsys.readouterr().err
    assert hub.requests == []
    said = words.read_text()
    for field in ("summary = ", "    ", "terms = "):
        line = next(line for line in said.splitlines() if line.startswith(f'{field}"<'))
        said = said.replace(line, f'{field}"Mine alone."' + "," * line.endswith(","))
    words.write_text(said)
    report = {"plain": {"miou": 0.5, "photos": 7, "measured_on": "photos of mine"}}
    report["plain"] |= {"animals": 7, "species_confused": 2, "missed": 1}
    (trained / "metrics.json").write_text(json.dumps(report))
    assert main(without) == 0
    published = hub.files(REPO)["README.md"].decode()
    assert "# plain: cats and dogs in a photo, pixel by pixel\n\nMine alone." in published
    assert f'model="{REPO}"' in published
    assert "In float32, on photos of mine: 7 photos" in published
    assert "Of 7 animals of those photos: 2 with the other species, 1 not found" in published
    assert "Mine alone. |" in published  # under which terms
    assert "Oxford-IIIT Pet (part of it" not in published
    assert "python -m train.evaluate" in published
    assert "card.toml" not in hub.files(REPO)


def test_all_that_is_missing_is_said_at_once(
    tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setattr(missing, "get_token", lambda: None)
    folder = shutil.copytree(checkpoint, tmp_path / "rex/best")
    (tmp_path / "used").mkdir()
    (tmp_path / "used/file").write_text("")
    places = [
        "--checkpoint",
        str(folder),
        "--model",
        str(tmp_path / "rex.onnx"),
        "--folder",
        str(tmp_path / "used"),
    ]
    assert main(["model", "rex", "nowhere", *places]) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "not published: of rex is still missing:"
    wanted = [
        f"1. {folder}/metrics.json is missing: python -m train.evaluate {folder} --held-out --json",
        "2. there is no export (",
        f"3. {folder}/parity.json is missing: python -m export.verify {folder}",
        f"4. the card needs words that only you can say: {folder}/card.toml was written",
        f"5. {tmp_path / 'used'} is not empty",
        "6. 'nowhere' is no place to publish: give ORG/NAME",
        "7. no token of the Hugging Face Hub: set HF_TOKEN",
    ]
    assert len(said) == 1 + len(wanted)
    for line, start in zip(said[1:], wanted, strict=True):
        assert line.startswith(start)
    assert main(["model", "rex", "a/b", "--checkpoint", str(tmp_path / "none"), "--dry-run"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert "none/model.safetensors is missing: train it" in said[1]
    assert not (tmp_path / "none").exists()


def test_an_export_of_other_weights(sources: list[str], trained: Path, capsys: Captured) -> None:
    path = trained / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    assert main(sources) == 1
    assert "was exported from other weights than" in capsys.readouterr().err


def test_the_card_of_a_model_of_ones_own(trained: Path, capsys: Captured) -> None:
    arguments = ["plain", "--checkpoint", str(trained), "--model", str(trained / "model.onnx")]
    assert card.main(arguments) == 1
    assert "no card yet: say in" in capsys.readouterr().err
    assert card.main(arguments) == 1
    assert "still has its template's limits, summary, terms" in capsys.readouterr().err
    (trained / "card.toml").write_text('title = "Rex"\nsummary = "A dog."\nlimits = ["No cats."]\n')
    assert card.main(arguments) == 0
    assert (trained / "card.md").read_text().count("# Rex\n\nA dog.") == 1
    with pytest.raises(SystemExit):
        card.main(["plain", "--checkpoint", str(trained)])


def test_pinned_for_the_next_release(
    hub: HubServer, sources: list[str], weights: Path, tmp_path: Path, photo: NDArray
) -> None:
    folder = tmp_path / "kept"
    assert main([*sources, "--folder", str(folder), "--pin"]) == 0
    known = [(info.name, info.status) for info in catalog.list_models()]
    assert known == [("tiny", "embedded"), ("tiny-prompt", "embedded"), ("plain", "can be pulled")]
    local = petseg.segment(photo, model=folder, device="cpu").mask
    assert (petseg.segment(photo, model="plain", device="cpu").mask == local).all()
    assert pull("plain").name == hub.repositories[REPO].branches["main"]
    index = json.loads((weights / "index.json").read_text())
    assert index["published"]["plain"]["sha256"] == bundle.digest(folder / "petseg.json")


def test_a_folder_in_use(sources: list[str], trained: Path) -> None:
    with pytest.raises(PublishError, match="is not empty"):
        assemble("plain", trained, model=trained / "model.onnx", checkpoint=trained, readme=Path(sources[-1]))


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_half_a_checkpoint(trained: Path, tmp_path: Path, name: str) -> None:
    (trained / name).unlink()
    with pytest.raises(PublishError, match=f"{name} is missing"):
        assemble("plain", tmp_path / "out", model=trained / "model.onnx", checkpoint=trained)


def test_a_model_of_someone_elses(sources: list[str], trained: Path, tmp_path: Path) -> None:
    graph = onnx.load(trained / "model.onnx")
    del graph.metadata_props[:]
    onnx.save(graph, trained / "model.onnx")
    with pytest.raises(PublishError, match="no metadata of petseg"):
        assemble(
            "plain",
            tmp_path / "out",
            model=trained / "model.onnx",
            checkpoint=trained,
            readme=Path(sources[-1]),
        )
    assert list((tmp_path / "out").iterdir()) == [], "the next try finds its folder free"


def test_loading_is_strict(hub: HubServer, sources: list[str], trained: Path) -> None:
    assert main(sources) == 0
    expected = load_checkpoint(trained)[0].state_dict().keys()
    for model in (pull(REPO), str(trained)):
        assert from_pretrained(model).state_dict().keys() == expected
    commit = hub.put(REPO, hub.files(REPO) | {"model.safetensors": b"other"})
    with pytest.raises(HubContentError, match="wrong sha256"):
        from_pretrained(REPO, commit)


SPACE = "pets/page"


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """A small Space is put together and found to work; lists the folders that were tried out."""
    tried: list[Path] = []

    def assemble(folder: Path, *, repo: str) -> Path:
        assert repo == SPACE
        (folder / "petseg").mkdir(parents=True)
        for name in ("app.py", "requirements.txt", "petseg/__init__.py", "petseg/unet.onnx"):
            (folder / name).write_text(name)
        settings = {
            "title": "petseg",
            "emoji": "🐾",
            "colorFrom": "indigo",
            "colorTo": "pink",
            "sdk": "gradio",
        }
        settings |= {"sdk_version": "6.1.0", "python_version": "3.11", "app_file": "app.py"}
        lines = [f'{name}: "{value}"' for name, value in settings.items()]
        (folder / "README.md").write_text("\n".join(["---", *lines, "short_description: Pets", "---", ""]))
        return folder

    monkeypatch.setattr(space, "assemble", assemble)
    monkeypatch.setattr(space, "INDEX", "unet.onnx")
    monkeypatch.setattr(space, "prove", tried.append)
    return tried


def test_a_space(hub: HubServer, page: list[Path], tmp_path: Path, capsys: Captured) -> None:
    assert main(["space", SPACE, "--dry-run", "--folder", str(tmp_path / "kept")]) == 0
    assert f"would become the Space {SPACE}" in capsys.readouterr().out
    assert page == [tmp_path / "kept"]
    assert hub.requests == []
    assert main(["space", SPACE, "--private"]) == 0
    assert f"{hub.url}/spaces/{SPACE}: " in capsys.readouterr().out
    repository = hub.repositories[f"spaces/{SPACE}"]
    assert repository.private
    assert len(repository.commits) == 2
    names = {"README.md", "app.py", "requirements.txt", "petseg/__init__.py", "petseg/unet.onnx"}
    assert set(hub.files(f"spaces/{SPACE}")) == {".gitattributes", *names}
    assert main(["space", SPACE]) == 0
    assert "as before" in capsys.readouterr().out
    assert len(repository.commits) == 2
    hub.put(f"spaces/{SPACE}", hub.files(f"spaces/{SPACE}") | {"petseg/old.py": b"", "app.py": b"old"})
    assert main(["space", SPACE]) == 0
    files = hub.files(f"spaces/{SPACE}")
    assert set(files) == {".gitattributes", *names}
    assert files["app.py"] == b"app.py"


def test_a_space_that_is_something_else(hub: HubServer, page: list[Path], capsys: Captured) -> None:
    commit = hub.put(f"spaces/{SPACE}", {"README.md": b"", "app.py": b"a game"})
    assert main(["space", SPACE]) == 1
    assert "holds something else" in capsys.readouterr().err
    assert hub.repositories[f"spaces/{SPACE}"].branches["main"] == commit


def test_a_space_that_does_not_work(
    hub: HubServer, page: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    def fail(folder: Path) -> None:
        raise SpaceError("app.py ended with code 1")

    monkeypatch.setattr(space, "prove", fail)
    assert main(["space", SPACE]) == 1
    assert "not published: app.py ended" in capsys.readouterr().err
    assert hub.requests == []


@pytest.mark.parametrize("place", ["page", "pets/page@main", "a/b/c"])
def test_no_place_for_a_space(hub: HubServer, page: list[Path], place: str, capsys: Captured) -> None:
    assert main(["space", place]) == 1
    assert place in capsys.readouterr().err
    assert (hub.requests, page) == ([], [])


@pytest.mark.parametrize(
    ("method", "path", "status", "headers", "message"),
    [
        ("POST", "/repos/create", 402, {"X-Error-Message": "Spaces need PRO"}, "refused (Spaces need PRO)"),
        ("POST", "/repos/create", 401, {}, "does not let you in"),
        ("POST", "/commit/", 412, {"X-Error-Message": "A commit has happened"}, "A commit has happened"),
        ("POST", "/commit/", 429, {}, "too many requests"),
    ],
)
def test_a_hub_that_refuses_a_space(
    hub: HubServer,
    page: list[Path],
    capsys: Captured,
    method: str,
    path: str,
    status: int,
    headers: dict[str, str],
    message: str,
) -> None:
    hub.fail(method, path, times=9, status=status, headers=headers)
    assert main(["space", SPACE]) == 1
    error = capsys.readouterr().err
    assert f"Space {SPACE}" in error
    assert message in error
