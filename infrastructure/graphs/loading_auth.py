"""From a `langgraph.json` to the `langgraph_sdk.Auth` that it names. What its handlers do is not here."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, cast

from langgraph_sdk import Auth

from ...domain.errors import ConfigurationError
from .loading import load_object, read_config

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger(__name__)

SUPPORTED_KEYS = frozenset({"path", "disable_studio_auth"})
"""Of `auth`. There are no studio users here, so that it does not matter whether they are disabled."""


def load_auth(config: str | Path) -> Auth | None:
    """Return the `Auth` at `auth.path`, None if the file names none; to be called after `load_graphs`, which prepares imports.

    Raises:
        ConfigurationError: names the file, the key and what was expected there.
    """
    path = Path(config)
    section = read_config(path).get("auth")
    if section is None:
        return None
    where = f"{path}: auth"
    if not isinstance(section, dict):
        raise ConfigurationError(
            f'{where}: expected an object such as {{"path": "./auth.py:auth"}}'
        )
    entry = cast("Mapping[str, object]", section)
    for key in entry.keys() - SUPPORTED_KEYS:
        logger.warning("%s.%s is not supported yet, and ignored", where, key)
    auth = load_object(entry.get("path"), path.resolve().parent, f"{where}.path")
    if not isinstance(auth, Auth):
        kind = type(auth).__name__
        raise ConfigurationError(f"{where}.path: expected a langgraph_sdk.Auth, got a {kind}")
    return auth
