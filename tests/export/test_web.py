"""The folder that becomes a page for browsers, and its way to the Hub."""

import gzip
import hashlib
import json
import re
import shutil
import urllib.request
from pathlib import Path

import onnx
import pytest
from huggingface_hub import SpaceCard

import petseg
from export import publish, web
from export.card.facts import ROOT
from export.errors import WebError
from export.web import fused, trial
from export.web.fused import fuse
from export.web.rules import rules
from petseg.clicks import closeup
from petseg.models.catalog import WEIGHTS
from petseg.pixels import decision
from tests.support.hub_server import HubServer

CHELSEA = ROOT / "docs/chelsea.jpg"
SPACE = "pets/own"
RUNTIME = {web.SCRIPT: b"script", web.BINARY: b"\0asm" * 99}
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def tried(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The tiny models, and scripts that npm did not build; lists what was tried out."""
    source, folders = tmp_path / "source", list[Path]()
    shutil.copytree(ROOT / "web/static", source / "static")
    (source / web.RUNTIME).mkdir(parents=True)
    for name, data in RUNTIME.items():
        (source / web.RUNTIME / name).write_bytes(data)

    def build(site: Path) -> None:
        for name in ("page.js", "worker.js", web.OFFLINE):
            (site / name).write_text(f"// {name}\n")

    monkeypatch.setattr(web, "SOURCE", source)
    monkeypatch.setattr(web, "build", build)
    monkeypatch.setattr(trial, "try_out", folders.append)
    return folders


def test_what_is_in_it(tried: list[Path], weights: Path, tmp_path: Path) -> None:
    site = web.assemble(tmp_path / "site")
    files = web.check(site)
    listing = json.loads(files["models.json"].read_text())
    sources = {
        "runtime": RUNTIME[web.BINARY],
        "all": (weights / "tiny.onnx").read_bytes(),
        "encoder": (weights / "tiny-prompt/encoder.onnx").read_bytes(),
        "decoder": (weights / "tiny-prompt/decoder.onnx").read_bytes(),
    }
    assert set(listing) == {*sources, "rules"}
    for name, data in sources.items():
        packed = files[listing[name]["path"]].read_bytes()
        assert gzip.decompress(packed) == data
        assert listing[name]["sha256"] == hashlib.sha256(data).hexdigest()
        assert (listing[name]["bytes"], listing[name]["packed"]) == (len(data), len(packed))
    said = SpaceCard(files["README.md"].read_text()).data.to_dict()
    assert (said["sdk"], said["app_file"], said["custom_headers"]) == ("static", "index.html", trial.HEADERS)
    first, *_ = files["offline.js"].read_text().splitlines()
    kept = json.loads(first.removeprefix("const LISTED = ").removesuffix(";"))["files"]
    assert set(kept) == {"./", *files} - {"README.md", "offline.js", "LICENSE", "LICENSE-WEIGHTS"}


def test_another_version_is_kept_anew(tried: list[Path], tmp_path: Path) -> None:
    before = (web.assemble(tmp_path / "site") / "offline.js").read_text()
    assert (web.assemble(tmp_path / "site") / "offline.js").read_text() == before
    with (web.SOURCE / "static/style.css").open("a") as style:
        style.write("p { color: red; }\n")
    assert (web.assemble(tmp_path / "site") / "offline.js").read_text() != before


def test_what_is_no_such_folder(tried: list[Path], tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    assert web.main(["-o", str(tmp_path)]) == 1
    assert "holds something else" in capsys.readouterr().err
    assert (tmp_path / "thesis.tex").exists()
    site = web.assemble(tmp_path / "site")
    (site / "models" / "tiny.onnx.packed").write_bytes(gzip.compress(b"another model"))
    with pytest.raises(WebError, match=r"tiny\.onnx\.packed is not what models\.json lists"):
        web.check(site)
    (site / "index.html").unlink()
    with pytest.raises(WebError, match=r"index\.html is missing"):
        web.check(site)


def test_a_model_that_was_changed_is_not_put_there(tried: list[Path], weights: Path, tmp_path: Path) -> None:
    (weights / "tiny.onnx").write_bytes(b"another model")
    with pytest.raises(WebError, match=r"tiny\.onnx is not the file"):
        web.assemble(tmp_path / "site")


def test_a_fused_model_says_the_same_and_is_opened_without_more_ado(tmp_path: Path) -> None:
    source, target = WEIGHTS / "unet.int8.onnx", tmp_path / "fused.onnx"
    fuse(source, target, CHELSEA)
    before, after = ({node.op_type for node in onnx.load(path).graph.node} for path in (source, target))
    assert "QLinearConv" in after - before
    assert "Conv" in before - after
    assert target.stat().st_size < source.stat().st_size
    assert petseg.segment(CHELSEA, model=target, device="cpu").label == "cat"


def test_a_model_that_says_something_else_once_it_is_fused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fused, "CLOSE", -1)
    with pytest.raises(WebError, match=r"unet\.int8\.onnx says something else once it is fused"):
        fuse(WEIGHTS / "unet.int8.onnx", tmp_path / "fused.onnx", CHELSEA)


def test_rules_are_those_of_python() -> None:
    told = rules()
    assert told["decision"]["SURE"] == decision.SURE
    assert told["closeup"]["MARGIN"] == closeup.MARGIN
    text = (ROOT / "web/src/rules.ts").read_text()
    interface = re.search(r"interface Rules \{(.*?)\n\}", text, re.DOTALL)
    assert interface
    used = dict(re.findall(r"(\w+): Numbers<(.*?)>;", interface[1], re.DOTALL))
    assert set(used) == set(told)
    for module, names in used.items():
        assert set(re.findall(r'"(\w+)"', names)) <= set(told[module]), module


def test_headers_are_sent(tried: list[Path], tmp_path: Path) -> None:
    with trial.serving(web.assemble(tmp_path / "site")) as url, urllib.request.urlopen(url) as answer:
        assert {name: answer.headers[name] for name in trial.HEADERS} == trial.HEADERS
        assert b"petseg" in answer.read()


def test_a_static_space(hub: HubServer, tried: list[Path], tmp_path: Path, capsys: Captured) -> None:
    folder = tmp_path / "kept"
    assert publish.main(["web", SPACE, "--dry-run", "--folder", str(folder)]) == 0
    assert (tried, hub.requests) == ([folder], [])
    assert publish.main(["web", SPACE]) == 0
    assert f"{hub.url}/spaces/{SPACE}: " in capsys.readouterr().out
    assert set(hub.files(f"spaces/{SPACE}")) == {".gitattributes", *web.check(folder)}
    assert publish.main(["web", SPACE]) == 0
    assert "as before" in capsys.readouterr().out


def test_a_page_that_does_not_work_is_not_published(
    hub: HubServer, tried: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    def fail(folder: Path) -> None:
        raise WebError("the page gives no answer")

    monkeypatch.setattr(trial, "try_out", fail)
    assert publish.main(["web", SPACE]) == 1
    assert "not published: the page gives no answer" in capsys.readouterr().err
    assert hub.requests == []
