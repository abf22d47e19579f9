"""The engine against a naive thread, over sequences that hypothesis makes up. `tests/soak` runs many more of them."""

import pytest
from hypothesis import HealthCheck, settings

from tests.support.engine_machine import EngineAgreesWithOracle

pytestmark = pytest.mark.slow

TestEngineAgreesWithOracle = EngineAgreesWithOracle.TestCase
TestEngineAgreesWithOracle.settings = settings(
    max_examples=25,
    stateful_step_count=30,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
