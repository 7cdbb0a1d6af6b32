"""Each driver of sluice-bench beside its own broker, as driver_check asks it."""
import os
import pathlib
import signal
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))

from peers import kafka, nats, peer, processes, rabbitmq, redis, sluice  # noqa: E402

BUILD = pathlib.Path(os.environ.get("SLUICED", ROOT / "build/control/sluiced")).resolve().parents[1]
CHECK = BUILD / "tests/bench/driver_check"
EXIT_MISSING = 77
# The client library's name, and the broker that it talks to.
PAIRS = {"kafka-sluice": ("kafka", sluice.Sluice), "kafka": ("kafka", kafka.Kafka),
         "redis": ("redis", redis.Redis), "nats": ("nats", nats.Nats),
         "rabbitmq": ("rabbitmq", rabbitmq.RabbitMq)}
# Sluice is always there, and starts at once.
EACH = [pytest.param(name, marks=[] if name == "kafka-sluice" else pytest.mark.slow)
        for name in PAIRS]
# What a broker's clients cannot be, and say; what it can.
NO_GROUPS = {"rabbitmq"}
DEDUP = (sluice.Sluice, nats.Nats)

pytestmark = pytest.mark.timeout(240)


def broker(name, folder):
    """Not where it would have to be downloaded."""
    if name == "kafka" and not (peer.CACHE / "kafka.stamp").is_file():
        pytest.skip("kafka has not been fetched")
    if not CHECK.is_file():
        pytest.skip(f"{CHECK} is not built")
    kind = PAIRS[name][1]
    more = {"build": BUILD} if kind is sluice.Sluice else {}
    try:
        return kind(folder=folder, **more)
    except peer.Missing as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module", params=EACH)
def running(request, tmp_path_factory):
    """(driver's name, the broker), which the tests share."""
    with broker(request.param, tmp_path_factory.mktemp("broker")) as found:
        yield PAIRS[request.param][0], found


def url_of(found):
    return found.url.removeprefix("tcp://")  # of Kafka's clients


def kill(found):
    """With its descendants: RabbitMQ's own process is a shell's child."""
    for pid in processes.with_descendants(found.pids):
        os.kill(pid, signal.SIGKILL)
    for of_broker in found.processes:
        of_broker.wait()


def check(driver, found, step, *settings):
    with subprocess.Popen([CHECK, driver, url_of(found), step, *settings], text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            if step == "killed" and process.stdout.readline() == "kill\n":
                kill(found)
            said, _ = process.communicate("gone\n", timeout=200)
        finally:
            process.kill()
    if process.returncode == EXIT_MISSING:
        pytest.skip(said)
    assert process.returncode == 0, said


@pytest.mark.parametrize("step", ["exchange", "spread", "unacknowledged", "window", "refused"])
def test_a_driver_keeps_its_contract(running, step):
    check(*running, step)


@pytest.mark.parametrize("step", ["group", "leaving"])
def test_a_group_goes_on_where_its_last_member_left_off(running, step):
    if running[0] in NO_GROUPS:
        pytest.skip(f"{running[0]} has no competing consumers")
    check(*running, step)


def test_what_a_broker_remembers_is_stored_once(running):
    if not isinstance(running[1], DEDUP):
        pytest.skip(f"{running[1].name} does not remember ids")
    check(*running, "dedup")


@pytest.mark.parametrize("name", EACH)
def test_a_killed_broker_is_an_error_and_no_hang(name, tmp_path):
    with broker(name, tmp_path) as found:
        check(PAIRS[name][0], found, "killed")
