"""One running broker for the tests that leave it as they found it; a new one for the others."""

import itertools
import pathlib
import shutil
import subprocess

import pytest

from harness import IO, Broker, sanitized

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


@pytest.fixture(scope="session")
def shim(tmp_path_factory):
    """The library to preload for a disk that fails on command, see DiskFaults."""
    if IO != "sync":
        pytest.skip("system calls are intercepted: for SLUICED_IO=sync only")
    if sanitized():
        pytest.skip("a sanitizer's runtime wants to be the first library")
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if not compiler:
        pytest.skip("no C compiler")
    path = tmp_path_factory.mktemp("shim") / "faulty_disk.so"
    source = pathlib.Path(__file__).with_name("faulty_disk.c")
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O2", "-o", str(path), str(source), "-ldl"],
        check=True,
    )
    return path
