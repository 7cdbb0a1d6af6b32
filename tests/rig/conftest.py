"""Links of hw/rig for the tests; they skip with a reason where a machine cannot make one."""

import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
for folder in ("hw/rig", "tests/broker", "tests/clients"):
    sys.path.insert(0, str(ROOT / folder))

import ports  # noqa: E402  pylint: disable=wrong-import-position
import real_text  # noqa: E402  pylint: disable=wrong-import-position


@pytest.fixture(scope="session")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "lines"
    real_text.write(path, ports.TEXT_BYTES)
    lines = path.read_bytes().split(b"\n")[:-1]
    yield ports.Text(path, [line.partition(b"\t")[2] for line in lines])
    path.unlink()
