"""What linters and type checkers do not see: the domain is pure, and the lists are complete."""

import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

import threadfold
from threadfold.domain import assistant, errors, events

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("domain", "infrastructure", "app")
LINES_MAX = 400

PUBLIC = [
    "Custom",
    "Engine",
    "MessageChunk",
    "ReadOnlyState",
    "RunHandle",
    "Settings",
    "ThreadfoldSaver",
    "Update",
    "__version__",
    "append",
    "get_client",
    "messages",
]
"""The API. A name is added here and in `__all__` together; taking one away needs a deprecation."""

DOMAIN_IMPORTS = {
    "__future__",
    "abc",
    "bisect",
    "collections",
    "copy",
    "dataclasses",
    "datetime",
    "decimal",
    "enum",
    "functools",
    "hashlib",
    "itertools",
    "json",
    "math",
    "operator",
    "re",
    "string",
    "types",
    "typing",
    "pydantic",
    "pydantic_core",
    "typing_extensions",
}
"""They compute and do nothing else. Not time, random, uuid, secrets, os, asyncio, logging."""

DOMAIN_BANNED_BUILTINS = {"__import__", "breakpoint", "eval", "exec", "input", "open", "print"}


def modules(*folders: str) -> list[str]:
    """List the Python files below the folders, as paths from the root."""
    found = (path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


def parsed(module: str) -> ast.Module:
    return ast.parse((ROOT / module).read_text(encoding="utf-8"), filename=module)


def impurities(
    tree: ast.AST, *, packages_below: int = 1, may_declare_async: bool = False
) -> Iterator[str]:
    """Yield what a domain module may not contain.

    Relative imports may climb `packages_below` packages: further up lies what is not the domain.
    """
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                imported = [alias.name for alias in names]
            case ast.ImportFrom(module=module, level=0):
                imported = [module or ""]
            case ast.ImportFrom(level=level) if level > packages_below:
                yield f"line {node.lineno}: imports from outside the domain"
                continue
            case ast.Call(func=ast.Name(id=name)) if name in DOMAIN_BANNED_BUILTINS:
                yield f"line {node.lineno}: calls {name}"
                continue
            case ast.Await() | ast.AsyncFor() | ast.AsyncWith():
                yield f"line {node.lineno}: awaits"
                continue
            case ast.AsyncFunctionDef() if not may_declare_async:
                yield f"line {node.lineno}: async def {node.name}"
                continue
            case _:
                continue
        for name in imported:
            if name.partition(".")[0] not in DOMAIN_IMPORTS:
                yield f"line {node.lineno}: imports {name}"


@pytest.mark.parametrize("module", modules("domain"))
def test_the_domain_imports_nothing_but_pure_modules_and_awaits_nothing(module: str) -> None:
    below = len(Path(module).parts) - 1
    is_ports = module in {
        "domain/ports.py", "domain/graph_ports.py", "domain/assistant_ports.py", "domain/kept_ports.py",
            "domain/importing.py",
    }  # fmt: skip
    assert not list(impurities(parsed(module), packages_below=below, may_declare_async=is_ports))


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "import random as r",
        "from uuid import uuid4",
        "import os.path",
        "import asyncio",
        "from ..app import engine",
        "from sqlalchemy import select",
        "def f():\n    import logging",
        "open('x')",
        "async def f(): ...",
        "async def f():\n    await g()",
    ],
)
def test_the_purity_check_sees_an_impure_module(source: str) -> None:
    assert list(impurities(ast.parse(source)))


@pytest.mark.parametrize("module", ["__init__.py", *modules(*FOLDERS)])
def test_a_module_is_short_enough_to_be_read_in_one_sitting(module: str) -> None:
    assert len((ROOT / module).read_text(encoding="utf-8").splitlines()) <= LINES_MAX


def arms(match: ast.Match) -> set[str]:
    """Name the classes that a `match` has a `case` for."""
    patterns = (node for case in match.cases for node in ast.walk(case.pattern))
    classes = (node.cls for node in patterns if isinstance(node, ast.MatchClass))
    return {name.id if isinstance(name, ast.Name) else name.attr for name in classes}


def test_every_event_has_an_arm_in_the_fold() -> None:
    union, *_ = get_args(events.ThreadEvent)
    kinds = {kind.__name__ for kind in get_args(union)}
    matches = [node for node in ast.walk(parsed("domain/thread.py")) if isinstance(node, ast.Match)]
    # The fold is the one that comes nearest; others in the module are about some events only.
    assert min((kinds - arms(match) for match in matches), key=len) == set()
    matches = [
        node for node in ast.walk(parsed("domain/assistant.py")) if isinstance(node, ast.Match)
    ]
    missing = (assistant.ASSISTANT_EVENT_CLASSES.keys() - arms(match) for match in matches)
    assert min(missing, key=len) == set()


def test_every_event_is_stored_under_the_name_of_its_class() -> None:
    union, *_ = get_args(events.ThreadEvent)
    for kind in (*get_args(union), *assistant.ASSISTANT_EVENT_CLASSES.values()):
        assert kind.model_fields["type"].default == kind.__name__


def test_every_error_has_a_status_on_the_wire() -> None:
    from threadfold.app.http.problems import STATUS_BY_ERROR

    defined = {
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type)
        and issubclass(kind, Exception)
        and kind.__module__ == errors.__name__
    }
    assert defined - STATUS_BY_ERROR.keys() == set()
    assert all(400 <= status <= 599 for status in STATUS_BY_ERROR.values())


def test_the_public_names_are_these_and_each_is_there() -> None:
    assert threadfold.__all__ == PUBLIC
    for name in PUBLIC:
        assert getattr(threadfold, name) is not None


def test_the_version_is_the_one_that_is_packaged() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert threadfold.__version__ == project["version"]


def test_no_folder_of_tests_is_a_package() -> None:
    # With an __init__.py, pytest would name the modules after the folder of the checkout.
    assert modules("tests")
    assert not [module for module in modules("tests") if module.endswith("__init__.py")]


def test_the_public_face_is_imported_under_one_name_only() -> None:
    face = str(ROOT / "__init__.py")
    names = [
        name for name, module in sys.modules.items() if getattr(module, "__file__", "") == face
    ]
    assert names == ["threadfold"]
