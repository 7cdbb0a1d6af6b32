"""One broker for each file of tests; every test has a topic name of its own."""
import re
import subprocess

import harness
import pytest
from java_jars import SOURCES, jars


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


@pytest.fixture(scope="session", name="class_path")
def compiled_scenarios(tmp_path_factory):
    classes = tmp_path_factory.mktemp("classes")
    done = subprocess.run(["javac", "-Xlint:all,-try", "-Werror", "-proc:none",
                           "-cp", f"{jars()}/*", "-d", str(classes), *map(str, SOURCES.glob("*.java"))],
                          capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return f"{classes}:{jars()}/*"
