"""One running broker for the tests that leave it as they found it; a new one for the others."""

import itertools

import pytest

from harness import Broker

_numbers = itertools.count()


@pytest.fixture(scope="module")
def shared_broker():
    with Broker() as broker:
        yield broker


@pytest.fixture
def broker(shared_broker):
    """A broker that others have used too: every test takes topics of its own."""
    yield shared_broker
    shared_broker.check_alive()


@pytest.fixture
def connection(broker):
    with broker.connect() as connection:
        yield connection


@pytest.fixture
def topic():
    """A name that nobody has used."""
    return f"topic-{next(_numbers)}"
