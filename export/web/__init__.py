"""The page for a visitor's own browser: `python -m export.web -o FOLDER`, and `--serve` to try it.

A static folder: what `web/` is built to, the models, and models.json, which lists them with their hashes and
has the rules that stand in Python. Any web server may give it away; threads want the headers of `HEADERS`.
"""

import argparse
import gzip
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import SpaceCard, SpaceCardData

from export import space
from export.card.facts import ROOT, read_document
from export.errors import WebError
from export.web.fused import fuse
from export.web.rules import rules
from export.web.trial import HEADERS, serving, try_out
from petseg.errors import PetsegError
from petseg.models import catalog
from petseg.models.index import File, Index
from petseg.version import version

SOURCE = ROOT / "web"
README, LISTING, OFFLINE = "README.md", "models.json", "offline.js"
RUNTIME = Path("node_modules/onnxruntime-web/dist")
SCRIPT, BINARY = "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"
PUBLIC = ("public/icon.svg", "public/icon.png", "examples/chelsea.jpg")
"""What the page has of petseg/app/."""
_LICENCES = ("LICENSE", "LICENSE-WEIGHTS")


@dataclass(frozen=True)
class Listed:
    """A file that is sent compressed.

    Attributes:
        path: in the folder.
        sha256, bytes: of what it holds.
        packed: its own size.
    """

    path: str
    sha256: str
    bytes: int
    packed: int


def assemble(folder: Path) -> Path:
    """Build the page into a folder.

    Args:
        folder: to be made; it may be there if it is empty, or holds such a page, which is replaced.

    Returns:
        The folder.

    Raises:
        WebError: the folder holds something else, npm is missing or fails, or a model is missing.
        PetsegError: petseg/weights/index.json is damaged.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / LISTING).is_file():
        raise WebError(f"{folder} holds something else than petseg's page; choose another folder")
    with tempfile.TemporaryDirectory() as scratch:
        site = Path(scratch) / "site"
        shutil.copytree(SOURCE / "static", site)
        build(site)
        for name in PUBLIC:
            shutil.copyfile(ROOT / "petseg" / "app" / name, site / Path(name).name)
        for name in _LICENCES:
            shutil.copyfile(ROOT / name, site / name)
        shutil.copyfile(SOURCE / RUNTIME / SCRIPT, site / "runtime.mjs")
        listing = {"runtime": pack(SOURCE / RUNTIME / BINARY, site, "runtime.wasm")} | models(site)
        document = {name: asdict(listed) for name, listed in listing.items()} | {"rules": rules()}
        (site / LISTING).write_text(json.dumps(document, indent=1), encoding="utf-8")
        (site / README).write_text(readme(), encoding="utf-8")
        keep_offline(site)
        if folder.exists():
            shutil.rmtree(folder)
        shutil.copytree(site, folder)
    return folder


def build(site: Path) -> None:
    """Have npm install what web/ needs, and the scripts built into a folder.

    Raises:
        WebError: npm is missing, or fails.
    """
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        raise WebError("npm is missing; install Node.js 20 or later")
    for command in ([npm, "install", "--loglevel=error"], [node, "build.mjs", str(site)]):
        done = subprocess.run(command, cwd=SOURCE, capture_output=True, text=True, check=False)
        if done.returncode:
            raise WebError(f"{' '.join(command[1:3])} failed in {SOURCE}:\n{done.stderr.strip()}")


def models(site: Path) -> dict[str, Listed]:
    """Put the default model, in int8 if there is such a version, and the promptable one into a folder.

    Raises:
        WebError: none of the embedded models takes a click.
    """
    index = Index.read(catalog.WEIGHTS)
    default = index.models[index.default or next(iter(index.models))]
    clicked = [
        entry.float32
        for entry in index.models.values()
        if "point" in entry.float32.manifest["prompts"] and len(entry.float32.files) == 2
    ]
    if not clicked:
        raise WebError("no embedded model in two parts takes a click; embed one: python -m export.export")
    (everything,) = (default.int8 or default.float32).files
    files = dict(zip(("all", "encoder", "decoder"), (everything, *clicked[0].files), strict=True))
    return {role: _model(file, site) for role, file in files.items()}


def _model(file: File, site: Path) -> Listed:
    source, name = catalog.WEIGHTS / file.path, f"models/{file.path.replace('/', '-')}"
    if hashlib.sha256(source.read_bytes()).hexdigest() != file.sha256:
        raise WebError(f"{file.path} is not the file that petseg/weights/index.json lists")
    if read_document(source).get("precision") != "int8":
        return pack(source, site, name)
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / source.name
        fuse(source, target, ROOT / "petseg" / "app" / PUBLIC[-1])
        return pack(target, site, name)


def pack(source: Path, site: Path, name: str) -> Listed:
    """Compress a file into a folder.

    It is not named .gz: some servers would unpack it on the way, and others not.
    """
    data = source.read_bytes()
    packed = gzip.compress(data, 9, mtime=0)
    target = site / f"{name}.packed"
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(packed)
    digest = hashlib.sha256(data).hexdigest()
    return Listed(target.relative_to(site).as_posix(), digest, len(data), len(packed))


def keep_offline(site: Path) -> None:
    """Tell the service worker which files it keeps; another version of any of them is another version."""
    files = sorted(path for path in site.rglob("*") if path.is_file() and path.name not in (OFFLINE, README))
    total = hashlib.sha256((site / OFFLINE).read_bytes())
    for path in files:
        total.update(path.read_bytes())
    names = ["./", *(path.relative_to(site).as_posix() for path in files if path.name not in _LICENCES)]
    listed = json.dumps({"version": total.hexdigest()[:16], "files": names})
    script = site / OFFLINE
    script.write_text(f"const LISTED = {listed};\n{script.read_text(encoding='utf-8')}", encoding="utf-8")


def readme() -> str:
    """README.md of a static Space: its settings, what it is, and its licence."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    settings = SpaceCardData(
        title=f"{project['name']} in your browser",
        emoji="🐾",
        colorFrom="indigo",
        colorTo="pink",
        sdk="static",
        app_file="index.html",
        license=space.license_of(project["license"]),
        short_description="Cut out your cat or dog; no photo leaves your device",
        tags=["cat", "dog", "image-segmentation", "background-removal"],
        custom_headers=HEADERS,
    )
    licence = space.licence_section((ROOT / README).read_text(encoding="utf-8"))
    body = f"# {project['name']} {version()}\n\n{project['description']}, in your own browser.\n\n{licence}\n"
    return f"---\n{settings.to_yaml()}\n---\n\n{body}"


def check(folder: Path) -> dict[str, Path]:
    """Make sure that a folder holds such a page, whole.

    Returns:
        Path in the folder -> file.

    Raises:
        WebError: a file is missing or not the one that models.json lists, or a setting that the Hub refuses.
    """
    files = {
        path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()
    }
    for name in ("index.html", README, LISTING, OFFLINE, *_LICENCES):
        if name not in files:
            raise WebError(f"{folder / name} is missing; python -m export.web puts such a folder together")
    for name, listed in json.loads(files[LISTING].read_text(encoding="utf-8")).items():
        if name != "rules" and not _is_listed(files.get(listed["path"]), listed):
            raise WebError(f"{folder / listed['path']} is not what {LISTING} lists; build the page again")
    said = SpaceCard(files[README].read_text(encoding="utf-8")).data.to_dict()
    if said.get("sdk") != "static" or len(str(said.get("short_description"))) > space.SHORT:
        raise WebError(f"{files[README]}: the Hub would refuse sdk or short_description")
    return files


def _is_listed(path: Path | None, listed: dict[str, Any]) -> bool:
    if path is None:
        return False
    return hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest() == str(listed["sha256"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the page as the command line says; 1 if it cannot be done, or does not work."""
    parser = argparse.ArgumentParser(prog="python -m export.web", description=__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--try", dest="tried", action="store_true", help="see it work in Chromium")
    parser.add_argument("--serve", action="store_true", help="give it away on this machine until Ctrl-C")
    options = parser.parse_args(arguments)
    try:
        files = check(assemble(options.output))
        total = sum(path.stat().st_size for path in files.values())
        print(f"{options.output}: {len(files)} files, {total / 1e6:.1f} MB")
        if options.tried:
            try_out(options.output)
        if options.serve:
            with serving(options.output, 8000) as url:
                print(f"petseg: the page is at {url}", flush=True)
                input("Enter ends it. ")
    except (WebError, PetsegError, OSError, ValueError) as error:
        print(f"no page: {error}", file=sys.stderr)
        return 1
    return 0
