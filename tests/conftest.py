"""What every test has: the event loop it runs on, and how hard hypothesis tries."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Helpers assert too; without this their failures would show no values.
pytest.register_assert_rewrite("tests.support")

# No deadlines: a slow machine is no failure. `--hypothesis-profile=soak` is for campaigns.
settings.register_profile("default", deadline=None, print_blob=True)
settings.register_profile(
    "soak",
    deadline=None,
    print_blob=True,
    max_examples=10_000,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("default")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run each `async def` test on asyncio, as the engine does."""
    return "asyncio"


class PlainRoot:
    """Keeps pytest from taking the checkout for a package of tests because of its `__init__.py`.

    It would import that file under the name of the checkout's folder, and so the whole package a
    second time, or fail where the name is no identifier.
    """

    @pytest.hookimpl(tryfirst=True)
    def pytest_collect_directory(self, path: Path, parent: pytest.Collector) -> pytest.Dir | None:
        return pytest.Dir.from_parent(parent, path=path) if path == parent.config.rootpath else None


def pytest_configure(config: pytest.Config) -> None:
    # As a plugin of its own: hooks of this file do not see folders above it.
    config.pluginmanager.register(PlainRoot())
