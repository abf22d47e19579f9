"""From a `langgraph.json` to a registry of graphs. What graphs do when they run is not here."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
import logging
import os
import re
import sys
from collections.abc import Mapping
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ...domain.errors import ConfigurationError
from .registry import GraphRegistry
from .runners import EXTRA, runner_of

if TYPE_CHECKING:
    from types import ModuleType

    from ...domain.graph_ports import GraphRunner
    from .threads import Threads

logger = logging.getLogger(__name__)

SUPPORTED_KEYS = frozenset({"$schema", "graphs", "dependencies", "env", "auth"})

SWITCHES = frozenset({"closes_tool_calls", "keeps_partial_messages"})
"""What a graph's entry may say beside where the graph is, each true or false."""

_ENV_LINE = re.compile(
    r"""(?:export\s+)?(?P<name>[A-Za-z_]\w*)\s*=\s*
    (?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<bare>[^\s"'#](?:[^#]|(?<!\s)\#)*)?)
    \s*(?:(?<=\s)\#.*)?$""",
    re.VERBOSE,
)


def load_graphs(config: str | Path) -> GraphRegistry:
    """Return the graphs that a configuration file names.

    What it asks for is done to this process: local `dependencies` come first on `sys.path`, and `env` is put into
    `os.environ`, where a variable that is set already stays as it is. A key that is not supported is logged as a warning.

    Raises:
        ConfigurationError: names the file, the key and what was expected there.
    """
    path = Path(config)
    content = read_config(path)
    for key in content.keys() - SUPPORTED_KEYS:
        logger.warning("%s: %s is not supported yet, and ignored", path, key)
    folder = path.resolve().parent
    _put_on_path(path, folder, content.get("dependencies", []))
    _put_into_environment(path, folder, content.get("env", {}))
    graphs = content.get("graphs")
    named = cast("dict[str, object]", graphs) if isinstance(graphs, dict) else {}
    if not named:
        problem = f'{path}: graphs: expected an object such as {{"agent": "./agent.py:agent"}}'
        raise ConfigurationError(f"{problem}, got {_shown(content.get('graphs'))}")
    registry = GraphRegistry()
    for graph_id, source in named.items():
        where = f"{path}: graphs.{graph_id}"
        found = load_object(source, folder, where)
        registry.add(_runner(graph_id, found, where, registry.threads, _switches(source, where)))
    return registry


def load_object(source: object, folder: Path, where: str) -> object:
    """Return what is at `./file.py:name` or `package.module:name`; paths start from `folder`.

    Raises:
        ConfigurationError: begins with `where`, and says what was expected.
    """
    if isinstance(source, Mapping):
        source = cast("Mapping[str, object]", source).get("path")
    location, separator, name = source.rpartition(":") if isinstance(source, str) else ("", "", "")
    if not (location and separator and name):
        expected = 'expected "./file.py:name" or "package.module:name"'
        raise ConfigurationError(f"{where}: {expected}, got {_shown(source)}")
    module = _module(location, folder, where)
    found: object = module
    for part in name.split("."):
        if not hasattr(found, part):
            raise ConfigurationError(f"{where}: {location} has no {name}")
        found = getattr(found, part)
    return found


# ------------------------------------------------------------------ the file


def read_config(path: Path) -> dict[str, object]:
    """Return what a configuration file holds; raises ConfigurationError."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:  # Bad UTF-8 too.
        raise ConfigurationError(f"{path}: expected JSON: {error}") from error
    if not isinstance(content, dict):
        raise ConfigurationError(f"{path}: expected an object, got {_shown(content)}")
    return cast("dict[str, object]", content)


def _put_on_path(path: Path, folder: Path, dependencies: object) -> None:
    entries = (
        cast("list[object]", dependencies) if isinstance(dependencies, list) else [dependencies]
    )
    added: list[str] = []
    for entry in entries:
        if not isinstance(entry, str) or not isinstance(dependencies, list):
            problem = f"{path}: dependencies: expected a list of texts, got {_shown(entry)}"
            raise ConfigurationError(problem)
        if not entry.startswith("."):
            logger.debug("%s: the package %s is expected to be installed", path, entry)
            continue
        directory = (folder / entry).resolve()
        if not directory.is_dir():
            raise ConfigurationError(f"{path}: dependencies: {entry} is no directory")
        if str(directory) not in sys.path:
            added.append(str(directory))
    sys.path[:0] = added


def _put_into_environment(path: Path, folder: Path, env: object) -> None:
    if isinstance(env, str):
        values = _read_env(path, folder / env)
    elif isinstance(env, dict):
        values = cast("dict[str, object]", env)
    else:
        problem = f"{path}: env: expected the path of a file, or an object of texts"
        raise ConfigurationError(f"{problem}, got {_shown(env)}")
    for name, value in values.items():
        if not isinstance(value, str):
            problem = f"{path}: env.{name}: expected a text, got {_shown(value)}"
            raise ConfigurationError(problem)
        os.environ.setdefault(name, value)


def _read_env(path: Path, file: Path) -> dict[str, object]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: env: {file} cannot be read: {error}") from error
    values: dict[str, object] = {}
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        match = _ENV_LINE.match(text)
        if match is None:
            raise ConfigurationError(f"{path}: env: {file}, line {number}: expected NAME=value")
        found = [match[group] for group in ("double", "single") if match[group] is not None]
        values[match["name"]] = found[0] if found else (match["bare"] or "").rstrip()
    return values


# ------------------------------------------------------------------ the code


def _module(location: str, folder: Path, where: str) -> ModuleType:
    is_file = "/" in location or os.sep in location or location.endswith(".py")
    file = (folder / location).resolve()
    if is_file and file.suffix != ".py":
        raise ConfigurationError(f"{where}: expected a Python file, got {location}")
    if is_file and not file.is_file():
        raise ConfigurationError(f"{where}: there is no file {file}")
    try:
        return _from_file(file, folder) if is_file else importlib.import_module(location)
    except (Exception, SystemExit) as error:
        shown = f"{type(error).__name__}: {error}"
        if isinstance(error, ModuleNotFoundError) and error.name == "langgraph":
            shown = f"{shown} ({EXTRA})"
        raise ConfigurationError(f"{where}: {location} cannot be imported: {shown}") from error


def _from_file(file: Path, folder: Path) -> ModuleType:
    """Import a file, once: graphs of one file share its module."""
    name = _module_name(file, folder)
    if name in sys.modules:
        return sys.modules[name]
    loader = SourceFileLoader(name, str(file))
    spec = ModuleSpec(name, loader, origin=str(file))
    spec.has_location = True
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # Dataclasses and type hints look their module up there.
    try:
        loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _module_name(file: Path, folder: Path) -> str:
    """Return a name that is the same wherever the project lies: values of a module's types are stored under it."""
    place = file.relative_to(folder) if file.is_relative_to(folder) else Path(file.name)
    name = "_graph_" + "_".join((*place.parent.parts, place.stem))
    taken = sys.modules.get(name)
    if taken is None or taken.__file__ == str(file):
        return name
    return f"{name}_{hashlib.sha256(str(file).encode()).hexdigest()[:12]}"


def _switches(source: object, where: str) -> dict[str, bool]:
    """Return what a graph's entry says beside where it is."""
    entry = cast("Mapping[str, object]", source if isinstance(source, Mapping) else {})
    switches: dict[str, bool] = {}
    for name in SWITCHES & entry.keys():
        value = entry[name]
        if not isinstance(value, bool):
            problem = f"{where}: {name}: expected true or false, got {_shown(value)}"
            raise ConfigurationError(problem)
        switches[name] = value
    return switches


def _runner(
    graph_id: str, found: object, where: str, threads: Threads, switches: Mapping[str, bool]
) -> GraphRunner:
    try:
        return runner_of(
            graph_id, found, threads,
            closes_tool_calls=switches.get("closes_tool_calls", True),
            keeps_partial_messages=switches.get("keeps_partial_messages", False),
        )  # fmt: skip
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from error


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
