"""sluice as a process, beside a broker of the harness.

SLUICE names the program; without it the one in the build folder is taken.
"""
import os
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "broker"))

import harness  # noqa: E402

SECONDS = 60


def program():
    if "SLUICE" in os.environ:
        return pathlib.Path(os.environ["SLUICE"])
    for candidate in ("build/client/sluice", "build/sluice"):
        if (harness.ROOT / candidate).exists():
            return harness.ROOT / candidate
    raise FileNotFoundError("no sluice: build it, or name it in SLUICE")


class Sluice:
    """Runs the command against one address."""

    def __init__(self, address):
        self.address = address

    def command(self, *words):
        return [str(program().resolve()), "-b", self.address, *map(str, words)]

    def run(self, *words, data=None, code=0):
        """Must end with `code`; returns what it printed."""
        done = subprocess.run(self.command(*words), input=data, capture_output=True,
                              timeout=SECONDS, check=False)
        assert done.returncode == code, (words, done.returncode, done.stderr.decode())
        self.errors = done.stderr.decode()
        assert "Sanitizer" not in self.errors and "runtime error" not in self.errors, self.errors
        if code == 0:
            assert self.errors == ""
        return done.stdout

    def lines(self, *words, **options):
        return self.run(*words, **options).decode().splitlines()

    def start(self, *words, **options):
        return subprocess.Popen(self.command(*words), stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


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
