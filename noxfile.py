"""What a change must pass: `nox` runs all of it, `nox -s lint tests` a part, `nox -l` lists.

The sessions run in the environment that nox itself is installed in (`pip install -e ".[dev,docs]"`), since a
second one would be another 7.5 GB; only `oldest` and `newest` make one of their own, with uv. `.ci/run` does
it all from a clean clone on a fresh machine.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from pathlib import Path, PurePosixPath

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "none"

ROOT = Path(__file__).parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OLDEST = PROJECT["requires-python"].removeprefix(">=")
NEWEST = max(
    (name.rpartition(" ")[2] for name in PROJECT["classifiers"] if "Python :: 3." in name),
    key=lambda version: tuple(map(int, version.split("."))),
)
RUNTIME_TESTS = ("tests/petseg", "tests/fuzz", "tests/system")
"""What runs petseg, rather than train/ and export/: where its own dependencies count."""
WEB_TESTS = "tests/browser/test_browser_web.py"
MOST_COVERED = ("pixels/image.py", "pixels/identify.py", "pixels/geometry.py", "clicks/prompts.py", "hub.py")


@nox.session
def lint(session: nox.Session) -> None:
    """Style and likely faults."""
    session.run("ruff", "check", ".", external=True)
    session.run("ruff", "format", "--check", ".", external=True)


@nox.session
def types(session: nox.Session) -> None:
    """Strict types, of all that is no test."""
    session.run("mypy", external=True)


@nox.session
def contracts(session: nox.Session) -> None:
    """Who may know whom."""
    session.run("lint-imports", external=True)


@nox.session
def cards(session: nox.Session) -> None:
    """Model cards and the tables in README.md and docs/ say what was measured."""
    session.run("python", "-m", "export.card", "--check")


@nox.session
def tests(session: nox.Session) -> None:
    """The default tests, and how much of petseg/ they run (docs/quality.md)."""
    wanted = session.posargs or ("--cov", "--cov-report=")
    session.run("python", "-m", "pytest", "-n", "2", "-q", *wanted)
    if session.posargs:
        return  # a part of the tests, of which no coverage is asked
    session.run("python", "-m", "coverage", "report", "--fail-under=95")
    only = ",".join(f"petseg/{name}" for name in MOST_COVERED)
    session.run("python", "-m", "coverage", "report", f"--include={only}", "--fail-under=95")


@nox.session(default=False)
def slow(session: nox.Session) -> None:
    """What takes patience (docs/contributing.md): once a week, and when what it guards has changed."""
    session.run("python", "-m", "pytest", "-q", "-m", "slow and not browser", *session.posargs)


@nox.session
def data(session: nox.Session) -> None:
    """Tests on real photos; they skip themselves where ../shared/data is missing."""
    session.run("python", "-m", "pytest", "-q", "-m", "data")


@nox.session
def browser(session: nox.Session) -> None:
    """The page as a visitor sees it; skipped where there is no Chromium."""
    session.run("python", "-m", "pytest", "-q", "-m", "browser and not slow", f"--ignore={WEB_TESTS}")


@nox.session
def web(session: nox.Session) -> None:
    """The page for visitors' own browsers: its types and style, and whether it says what Python says."""
    if not (shutil.which("node") and shutil.which("npm")):
        session.skip("there is no Node.js with npm here")
    with session.chdir("web"):
        session.run("npm", "install", "--loglevel=error", external=True)
        session.run("npm", "run", "--silent", "check", external=True)
    session.run("python", "-m", "pytest", "-q", "-m", "browser and not slow", WEB_TESTS)


@nox.session
def oldest(session: nox.Session) -> None:
    """The oldest Python, and the oldest versions that the package, [app] and [ray] allow."""
    with tempfile.TemporaryDirectory() as folder:
        floors = f"{folder}/oldest.txt"
        resolve = ("uv", "pip", "compile", "--quiet", "--no-deps", "--no-header", "--no-annotate")
        extras = ("--extra", "app", "--extra", "ray")
        lowest = ("--resolution", "lowest-direct", "--python-version", OLDEST)
        session.run(*resolve, *lowest, *extras, "pyproject.toml", "--output-file", floors, external=True)
        session.log(Path(floors).read_text(encoding="utf-8"))
        session.run("uv", "venv", "--quiet", "--python", OLDEST, f"{folder}/venv", external=True)
        _runtime_tests(session, Path(folder) / "venv", "--constraint", floors)


@nox.session
def newest(session: nox.Session) -> None:
    """The newest Python, and everything else new."""
    if "{}.{}".format(*sys.version_info) == NEWEST:
        session.skip(f"the other sessions ran on Python {NEWEST}")
    with tempfile.TemporaryDirectory() as folder:
        made = session.run(
            "uv",
            "venv",
            "--quiet",
            "--python",
            NEWEST,
            f"{folder}/venv",
            external=True,
            success_codes=range(256),
        )
        if not (made and Path(folder, "venv").is_dir()):
            session.skip(f"there is no Python {NEWEST} here, and none can be downloaded")
        _runtime_tests(session, Path(folder) / "venv")


def _runtime_tests(session: nox.Session, venv: Path, *options: str) -> None:
    python = _python(venv)
    session.run(
        "uv", "pip", "install", "--quiet", "--python", python, *options, "-e", ".[dev]", external=True
    )
    session.run(python, "-m", "pytest", "-q", *RUNTIME_TESTS, external=True)


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation, into site/; every warning counts, and nothing is downloaded."""
    quiet = {"NO_MKDOCS_2_WARNING": "1"}  # an announcement of another program
    session.run("mkdocs", "build", "--strict", "--quiet", env=quiet, external=True)


@nox.session
def build(session: nox.Session) -> None:
    """An sdist, and from it a wheel: the whole package and nothing else, and both work offline."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        public = {"PETSEG_REPOSITORY": "https://example.org/petseg"}
        session.run("uv", "build", "--quiet", "--out-dir", f"{work}/dist", env=public, external=True)
        (sdist,), (wheel,) = work.glob("dist/*.tar.gz"), work.glob("dist/*.whl")
        _compare(session, _in_sdist(sdist), _package() | _beside_package(), sdist)
        _compare(session, _in_wheel(wheel), _package(), wheel)
        _check_links(session, wheel, public["PETSEG_REPOSITORY"])
        for package in (sdist, wheel):
            _use(session, package, work)


def _package() -> set[str]:
    files = (path for path in Path("petseg").rglob("*") if path.is_file())
    return {path.as_posix() for path in files if "__pycache__" not in path.parts}


def _beside_package() -> set[str]:
    return {
        ".gitignore",
        "PKG-INFO",
        "README.md",
        "hatch_build.py",
        "pyproject.toml",
        *PROJECT["license-files"],
    }


def _in_sdist(path: Path) -> set[str]:
    with tarfile.open(path) as archive:
        return {PurePosixPath(*PurePosixPath(name).parts[1:]).as_posix() for name in archive.getnames()}


def _in_wheel(path: Path) -> set[str]:
    with zipfile.ZipFile(path) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def _check_links(session: nox.Session, path: Path, repository: str) -> None:
    """What the package index shows must lead to the repository, and not to files beside it."""
    with zipfile.ZipFile(path) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        shown = archive.read(name).decode()
    wanted = (f"Project-URL: Homepage, {repository}\n", f"and a click on each]({repository}/raw/")
    if missing := [text for text in wanted if text not in shown]:
        session.error(f"{path.name} does not say {missing}")


def _compare(session: nox.Session, found: set[str], wanted: set[str], archive: Path) -> None:
    if found != wanted:
        missing, strange = sorted(wanted - found), sorted(found - wanted)
        session.error(f"{archive.name} lacks {missing} and has {strange} that nobody asked for")


def _use(session: nox.Session, package: Path, work: Path) -> None:
    """Install it alone, and segment a photo and ask the doctor from another folder, without a network."""
    venv, away = work / "empty", work / f"{package.name}.used"
    session.run("uv", "venv", "--quiet", "--clear", str(venv), external=True)
    session.run("uv", "pip", "install", "--quiet", "--python", _python(venv), str(package), external=True)
    away.mkdir()
    command = [*_offline(), str(Path(_python(venv)).with_name("petseg"))]
    env = {"HF_HUB_OFFLINE": "1", "PYTHONPATH": ""}
    photo = str(ROOT / "docs" / "chelsea.jpg")
    with session.chdir(away):
        save = ("-o", "out", "--save", "mask,cutout,overlay,json")
        session.run(*command, "segment", photo, *save, env=env, external=True)
        session.run(*command, "doctor", env=env, external=True)
        if len(list(Path("out").iterdir())) != 4:
            session.error(f"{package.name}: not all results were written")


def _offline() -> list[str]:
    """A command that takes the network away from what follows, where the system lets us."""
    unshare = shutil.which("unshare")
    alone = [unshare, "--net", "--map-root-user"] if unshare else []
    works = alone and subprocess.run([*alone, "true"], capture_output=True, check=False).returncode == 0
    return alone if works else []


def _python(venv: Path) -> str:
    return str(venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
