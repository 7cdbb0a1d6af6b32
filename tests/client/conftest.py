"""sluice beside a broker of the harness."""
import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "broker"))

# Whoever runs the tests may have profiles.
os.environ["XDG_CONFIG_HOME"] = "/nonexistent"

import harness  # noqa: E402
from sluice_process import Sluice  # noqa: E402


@pytest.fixture(scope="module")
def broker():
    with harness.Broker(settings={"num.partitions": 4}) as running:
        yield running


@pytest.fixture
def sluice(broker):
    yield Sluice(broker.address)
    broker.check_alive()


@pytest.fixture
def topic(request):
    """A name of its own for each test."""
    return "".join(c if c.isalnum() else "-" for c in request.node.name)[:200]
