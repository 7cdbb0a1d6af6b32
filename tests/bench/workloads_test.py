"""Every built-in workload, for a second, against a broker."""
import os
import pathlib
import re
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "broker"))

from harness import Broker, program  # noqa: E402
from sluices import Memif  # noqa: E402

SECONDS_MAX = 120
NAMES = {"produce", "consume", "latency", "mixed", "many-partitions", "many-connections",
         "catch-up-beside-tail", "rebalance", "dedup-on", "dedup-off", "transport"}
SILENT = {"consume"}  # nothing is produced while it is measured
UNREAD = {"produce", "dedup-on", "dedup-off", "transport"}
SHORT = {"duration": "1s", "warmupDuration": "100ms"}
SHORTER = {
    # These end when the backlog has been read.
    "consume": {"consumerBacklogSize": "16m", "duration": "60s"},
    "catch-up-beside-tail": {"consumerBacklogSize": "64m", "duration": "60s"},
    "many-connections": {"idleConnections": "100"},
    "rebalance": {"rebalanceInterval": "400ms"},
}
LINE = re.compile(r"([\d.]+)/s in, ([\d.]+)/s out, (\d+) errors")
# Of what run_caveats.c says: the others are about the machine.
WRONG = re.compile(r"missing|twice|not the same|not sent|could not be published|not drained|closed")


def bench_program():
    if "SLUICE_BENCH" in os.environ:
        return os.environ["SLUICE_BENCH"]
    beside = pathlib.Path(program()).resolve().parent
    for candidate in (beside / "sluice-bench", beside.parent / "bench" / "suite" / "sluice-bench"):
        if candidate.exists():
            return str(candidate)
    raise FileNotFoundError("no sluice-bench: build it, or name it in SLUICE_BENCH")


def bench(*words):
    """What it printed."""
    run = subprocess.run([bench_program(), *words], stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, timeout=SECONDS_MAX, check=False)
    if "there is no driver" in run.stdout:
        pytest.skip(run.stdout.strip())
    assert run.returncode == 0, run.stdout
    return run.stdout


def measure(name, url, driver="sluice", **more):
    """Records a second in, and out; whether records were timed from end to end."""
    settings = {**SHORT, **SHORTER.get(name, {}), **more}
    said = bench("run", "--driver", driver, "--url", url, "--workload", name,
                 *(word for key, value in settings.items() for word in ("--set", f"{key}={value}")))
    published, consumed, errors = LINE.search(said).groups()
    assert int(errors) == 0, said
    assert not WRONG.search(said), said
    return float(published), float(consumed), "end to end" in said


@pytest.fixture(scope="module", name="broker")
def one_broker():
    with Broker() as broker:
        yield broker
        broker.check_alive()


def test_the_list_shows_every_workload_and_no_other():
    listed = bench("list").partition("Workloads:\n")[2].partition("\n\n")[0]
    assert {line.split()[0] for line in listed.splitlines()} == NAMES


def check(name, url, driver="sluice"):
    published, consumed, timed = measure(name, url, driver)
    assert (published > 0) == (name not in SILENT)
    assert (consumed > 0) == (name not in UNREAD)
    assert timed == (name not in SILENT | UNREAD)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_workload_finds_its_records_again(broker, name):
    check(name, f"tcp://{broker.host}:{broker.port}", "kafka" if name == "rebalance" else "sluice")


@pytest.mark.parametrize("name", sorted(NAMES - {"rebalance"}))
def test_a_workload_runs_over_datagrams(broker, name):
    check(name, f"udp://{broker.host}:{broker.port}")


def test_transport_runs_over_a_port():
    with Memif() as memif:
        check("transport", memif.url)


@pytest.mark.parametrize("driver", ["sluice", "kafka"])
def test_consumers_may_be_more_than_partitions(broker, driver):
    published, consumed, _ = measure("latency", f"tcp://{broker.host}:{broker.port}", driver,
                                     partitionsPerTopic=2, consumerPerSubscription=3)
    assert published > 0 and consumed > 0


def test_groups_are_refused_by_a_driver_that_has_none(broker):
    run = subprocess.run([bench_program(), "run", "--url", f"tcp://{broker.host}:{broker.port}",
                          "--workload", "rebalance"], stderr=subprocess.PIPE, text=True,
                         timeout=SECONDS_MAX, check=False)
    assert run.returncode != 0
    assert "--driver kafka" in run.stderr
