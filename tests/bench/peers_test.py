"""The peers of the benchmarks: what they are told, who is missing, that the installed ones run."""
import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))

from peers import kafka, nats, peer, processes, rabbitmq, redis, sluice  # noqa: E402

BUILD = pathlib.Path(os.environ.get("SLUICED", ROOT / "build/control/sluiced")).resolve().parents[1]


class Loopback(peer.Peer):
    """A peer whose broker is a few lines of Python."""

    name = driver = "loopback"
    script = ("import socket; s = socket.create_server(('127.0.0.1', {port})); "
              "s.accept(); s.accept()")

    def find(self):
        self.version = "1"

    def start(self):
        self.port = peer.free_port()
        self.spawn([sys.executable, "-c", self.script.format(port=self.port)])

    def answered(self):
        with socket.socket() as probe:
            return probe.connect_ex((peer.HOST, self.port)) == 0

    @property
    def url(self):
        return f"{peer.HOST}:{self.port}"


class Stillborn(Loopback):
    script = "raise SystemExit('no such luck')"


class Stubborn(Loopback):
    script = ("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
              + Loopback.script + "; import time; time.sleep(60)")


def alive(pid):
    return pathlib.Path(f"/proc/{pid}").exists()


# ---- what all have in common ----

def test_a_peer_and_its_folder_are_gone_after_the_block(tmp_path):
    with Loopback(folder=tmp_path) as running:
        pids, folder = running.pids, running.folder
        assert folder.is_dir() and all(map(alive, pids))
        assert running.start_seconds > 0
    assert not folder.exists() and not any(map(alive, pids))


def test_a_peer_that_ends_at_its_start_is_missing_with_its_last_words(tmp_path):
    with pytest.raises(peer.Missing, match="no such luck"):
        with Stillborn(folder=tmp_path):
            pass
    assert not list(tmp_path.iterdir())


def test_a_peer_that_ignores_the_polite_signal_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(peer, "END_SECONDS", 0.2)
    with Stubborn(folder=tmp_path) as running:
        pids = running.pids
    assert not any(map(alive, pids))


def test_a_peer_ends_with_the_one_who_started_it(tmp_path):
    starter = subprocess.Popen(
        [sys.executable, "-c", f"import sys, time; sys.path[:0] = {[str(ROOT / 'bench')]!r}\n"
         f"sys.path.insert(0, {str(pathlib.Path(__file__).parent)!r})\n"
         f"import peers_test as t\nwith t.Loopback(folder={str(tmp_path)!r}) as p:\n"
         "    print(p.pids[0], flush=True); time.sleep(60)"], stdout=subprocess.PIPE, text=True)
    pid = int(starter.stdout.readline())
    starter.kill()
    starter.wait()
    limit = time.monotonic() + 20
    while alive(pid) and time.monotonic() < limit:
        time.sleep(0.05)
    assert not alive(pid)


def test_broker_and_clients_share_the_cores_out():
    there = sorted(os.sched_getaffinity(0))
    broker, clients = peer.split_cores(1)
    assert broker == there[-1:]
    assert clients == (there[:-1] or there)
    assert peer.split_cores(len(there)) == (there, there)


def test_more_cores_than_there_are_is_missing():
    with pytest.raises(peer.Missing, match="cores asked for"):
        peer.split_cores(len(os.sched_getaffinity(0)) + 1)


def test_a_peer_runs_on_its_cores_alone(tmp_path):
    with Loopback(folder=tmp_path) as running:
        assert os.sched_getaffinity(running.pids[0]) == set(running.cores)


def test_what_was_fetched_is_fetched_again_when_it_is_to_be_another(tmp_path, monkeypatch):
    monkeypatch.setattr(peer, "CACHE", tmp_path)
    calls = []
    for made_from in ("a", "a", "b"):
        peer.fetched("thing", made_from, calls.append)
    assert len(calls) == 2


def test_what_cannot_be_fetched_is_missing_with_what_was_said(tmp_path, monkeypatch):
    monkeypatch.setattr(peer, "CACHE", tmp_path)

    def refused(_):
        peer.run_fetch([sys.executable, "-c", "raise SystemExit('no such module')"])

    for _ in range(2):
        with pytest.raises(peer.Missing, match="no such module"):
            peer.fetched("thing", "a", refused)


def test_usage_counts_descendants():
    script = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE) as parent:
        limit = time.monotonic() + 20
        while len(processes.with_descendants([parent.pid])) < 2 and time.monotonic() < limit:
            time.sleep(0.02)
        both = processes.with_descendants([parent.pid])
        assert len(both) == 2
        assert processes.resident_bytes([parent.pid]) > processes.resident_bytes(both[1:]) > 0
        assert processes.cpu_seconds([parent.pid]) >= 0
        parent.stdin.close()


# ---- what they are told ----

def made(kind, durability):
    """Without looking for programs."""
    found = kind.__new__(kind)
    found.durability, found.cores, found.folder = durability, [0], pathlib.Path("/data")
    found.port = found.controller_port = found.stream_port = 1
    return found


@pytest.mark.parametrize("durability, flushes", [("default", False), ("flush", True)])
def test_flush_is_told_to_each_peer_that_can(durability, flushes):
    for told, flush in ((made(kafka.Kafka, durability).properties(),
                         "log.flush.interval.messages=1"),
                        (made(nats.Nats, durability).config(), "  sync_interval: always"),
                        (made(redis.Redis, durability).config(), "appendfsync always")):
        assert (flush in told.splitlines()) == flushes
    assert "appendonly yes\n" in made(redis.Redis, durability).config()


def test_rabbitmq_is_missing_where_flushes_are_asked_for():
    with pytest.raises(peer.Missing, match="never flushed"):
        rabbitmq.RabbitMq("flush")


def test_an_old_nats_server_is_missing_where_flushes_are_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(peer, "CACHE", tmp_path)
    monkeypatch.setattr(peer, "program", lambda name, package: (_ for _ in ()).throw(
        peer.Missing(f"{name} is not installed")))
    monkeypatch.setattr(nats.shutil, "which", lambda *_, **__: "/usr/sbin/nats-server")
    monkeypatch.setattr(peer, "first_line", lambda _: "nats-server: v2.9.10")
    assert nats.Nats().version == "2.9.10"
    with pytest.raises(peer.Missing, match="2.9.10 has no sync_interval"):
        nats.Nats("flush")


def test_a_sluice_that_is_not_built_is_missing(tmp_path):
    with pytest.raises(peer.Missing, match="not built"):
        sluice.Sluice(build=tmp_path)


# ---- that they run ----

KINDS = {"kafka": kafka.Kafka, "nats": nats.Nats, "redis": redis.Redis,
         "rabbitmq": rabbitmq.RabbitMq, "sluice": sluice.Sluice}


def command_of(name, durability, folder):
    """Its command, where that needs no download."""
    more = ["--build", str(BUILD)] if name == "sluice" else []
    if name in ("kafka", "nats") and not (peer.CACHE / f"{name}.stamp").is_file():
        pytest.skip(f"{name} has not been fetched")
    return [sys.executable, ROOT / "bench/peers" / f"{name}.py", "--durability", durability,
            "--dir", folder, *more]


@contextlib.contextmanager
def by_command(name, durability, folder):
    with subprocess.Popen(command_of(name, durability, folder), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            if not line:
                process.wait(20)
                said = process.stderr.read()
                assert process.returncode == peer.EXIT_MISSING, said
                pytest.skip(said)
            yield dict(word.split("=", 1) for word in line.split()[2:])
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)
    assert process.returncode == 0


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("durability", peer.DURABILITIES)
@pytest.mark.parametrize("name", KINDS)
def test_an_installed_peer_starts_says_so_and_leaves_nothing(name, durability, tmp_path):
    if durability not in KINDS[name].durabilities:
        pytest.skip(KINDS[name].never)
    with by_command(name, durability, tmp_path) as ready:
        pids = [int(pid) for pid in ready["pid"].split(",")]
        assert all(map(alive, pids))
        assert float(ready["start_s"]) > 0 and ready["version"]
        everything = processes.with_descendants(pids)
    limit = time.monotonic() + 10
    while any(map(alive, everything)) and time.monotonic() < limit:
        time.sleep(0.05)
    assert not any(map(alive, everything))
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", ["kafka", "sluice"])
def test_what_a_stock_client_stores_it_reads_back(name, tmp_path):
    with by_command(name, "flush", tmp_path) as ready:
        url = ready["url"].removeprefix("tcp://")
        kcat = ["kcat", "-b", url, "-t", "smoke", "-m", "60"]
        subprocess.run([*kcat, "-P"], input=b"stored", check=True, timeout=90)
        read = subprocess.run([*kcat, "-C", "-o", "beginning", "-c", "1"], check=True, timeout=90,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert read.stdout == b"stored\n"


def test_a_missing_peer_says_why_and_ends_with_77(tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "bench/peers/sluice.py", "--build", str(tmp_path)],
        stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == peer.EXIT_MISSING
    assert done.stderr.startswith("missing sluice: ") and "not built" in done.stderr
