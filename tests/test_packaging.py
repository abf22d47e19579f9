"""The wheel holds what the checkout holds, and every module of it can be imported from it."""

import configparser
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("domain", "infrastructure", "app")
FILES = ("__init__.py", "py.typed", "pyproject.toml", "README.md", "LICENSE")
MIGRATIONS = "threadfold/infrastructure/log/migrations/"

IMPORT_ALL = """
import importlib, json, sys
sys.path.insert(0, sys.argv[1])
files = {name: importlib.import_module(name).__file__ for name in json.loads(sys.argv[2])}
print(json.dumps(files))
"""

IMPORT_MAIN = """
import sys
sys.path.insert(0, sys.argv[1])
from threadfold.app.cli import main
print(callable(main))
"""

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("packaging")]


def run(*command: str, cwd: Path) -> str:
    """Run a command to its end; a failure shows what it printed."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build from a copy: setuptools would put files of an earlier `build/` into the wheel."""
    source = tmp_path_factory.mktemp("source") / "checkout"
    source.mkdir()
    for name in FILES:
        shutil.copy2(ROOT / name, source / name)
    for name in FOLDERS:
        ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    built = tmp_path_factory.mktemp("dist")
    run(
        *(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(built)),
        cwd=source,
    )
    (found,) = built.glob("threadfold-*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel alone into a folder; what it depends on stays in the environment."""
    target = tmp_path_factory.mktemp("installed")
    run(
        *(
            sys.executable,
            "-m",
            "pip",
            "install",
            "--no-deps",
            "--no-index",
            "--target",
            str(target),
        ),
        str(wheel),
        cwd=target,
    )
    return target


def on_disk() -> set[str]:
    """List the files that belong into the package, as they are named inside it."""
    kept = {".py", ".mako"}
    files = (
        path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in kept
    )
    return {"threadfold/__init__.py", "threadfold/py.typed"} | {
        f"threadfold/{path.relative_to(ROOT).as_posix()}" for path in files
    }


def packaged(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def test_the_wheel_holds_exactly_the_files_of_the_checkout(wheel: Path) -> None:
    assert packaged(wheel) == on_disk()


def test_the_wheel_holds_the_migrations(wheel: Path) -> None:
    names = {
        name.removeprefix(MIGRATIONS) for name in packaged(wheel) if name.startswith(MIGRATIONS)
    }
    assert {"env.py", "script.py.mako"} <= names
    assert any(name.startswith("versions/") and name.endswith(".py") for name in names)


def test_every_module_can_be_imported_from_the_wheel_alone(installed: Path) -> None:
    # Alembic alone runs env.py and the versions; on import they would look for its context.
    by_alembic = {f"{MIGRATIONS}env.py"}
    names = sorted(
        file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for file in on_disk() - by_alembic
        if file.endswith(".py") and not file.startswith(f"{MIGRATIONS}versions/")
    )
    # -I: neither the working directory nor PYTHONPATH may lead back to the checkout.
    command = (sys.executable, "-I", "-c", IMPORT_ALL, str(installed), json.dumps(names))
    imported = json.loads(run(*command, cwd=installed))
    assert imported.keys() == set(names)
    assert all(Path(file).is_relative_to(installed) for file in imported.values())


def test_the_command_leads_to_a_function_of_the_wheel(installed: Path) -> None:
    (file,) = installed.glob("threadfold-*.dist-info/entry_points.txt")
    points = configparser.ConfigParser()
    points.read(file)
    assert dict(points["console_scripts"]) == {"threadfold": "threadfold.app.cli:main"}
    command = (sys.executable, "-I", "-c", IMPORT_MAIN, str(installed))
    assert run(*command, cwd=installed).strip() == "True"


def test_the_wheel_says_its_licence(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        assert "License-Expression: Apache-2.0" in archive.read(metadata).decode()
        assert any(name.endswith("/licenses/LICENSE") for name in archive.namelist())
