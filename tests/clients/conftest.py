"""One broker for each file of tests; every test has a topic name of its own."""
import re

import harness
import pytest


@pytest.fixture(scope="module", name="broker")
def broker_of_the_file():
    with harness.Broker() as broker:
        yield broker


@pytest.fixture(autouse=True)
def broker_survives(request):
    yield
    if "broker" in request.fixturenames:
        request.getfixturevalue("broker").check_alive()


@pytest.fixture
def topic(request):
    return re.sub(r"[^A-Za-z0-9.-]+", "-", request.node.name).strip("-")
