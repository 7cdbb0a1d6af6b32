"""franz-go, where there is a Go that can build it: it is not part of what `./dev` installs."""
import pathlib
import re
import shutil
import subprocess

import pytest

SOURCES = pathlib.Path(__file__).parent / "go"


@pytest.fixture(scope="session", name="program")
def built_program(tmp_path_factory):
    if not shutil.which("go"):
        pytest.skip("no go on this machine")
    version = subprocess.run(["go", "env", "GOVERSION"], cwd="/", capture_output=True, text=True,
                             timeout=60, check=True).stdout
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < (1, 21):
        pytest.skip(f"franz-go wants go 1.21, here is {version.strip()}")
    fetched = subprocess.run(["go", "mod", "download"], cwd=SOURCES, capture_output=True,
                             text=True, timeout=120, check=False)
    if fetched.returncode:
        pytest.skip(f"franz-go cannot be fetched: {fetched.stderr[-200:]}")
    program = tmp_path_factory.mktemp("go") / "franz-go"
    built = subprocess.run(["go", "build", "-o", str(program), "."], cwd=SOURCES,
                           capture_output=True, text=True, timeout=280, check=False)
    assert built.returncode == 0, built.stderr
    return program


@pytest.mark.slow
def test_franz_go_produces_reads_and_administers(broker, program):
    done = subprocess.run([str(program), broker.address], capture_output=True, text=True,
                          timeout=90, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "passed\n", "")
