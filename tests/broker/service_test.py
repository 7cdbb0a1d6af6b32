"""What the service manager is told: ready, reloading, stopping, and that every thread turns."""

import ctypes
import os
import signal
import socket

import pytest

from harness import ANSWER_SECONDS, Broker, sanitized

SEIZE, INTERRUPT, DETACH = 0x4206, 0x4207, 17


class Manager:
    """The service manager's end of NOTIFY_SOCKET."""

    def __init__(self, folder):
        self.path = str(folder / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.settimeout(ANSWER_SECONDS)

    def environment(self, watchdog_ms=None):
        found = {"NOTIFY_SOCKET": self.path}
        if watchdog_ms:
            found["WATCHDOG_USEC"] = str(watchdog_ms * 1000)
        return found

    def hear(self):
        """The next message, as lines."""
        return self.socket.recv(4096).decode().splitlines()

    def hear_until(self, line):
        """All lines up to the message with this one."""
        heard = []
        while line not in heard:
            heard += self.hear()
        return heard

    def drain(self):
        """What lies there already."""
        heard = []
        self.socket.setblocking(False)
        try:
            while True:
                heard += self.hear()
        except BlockingIOError:
            return heard
        finally:
            self.socket.settimeout(ANSWER_SECONDS)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


@pytest.fixture
def manager(tmp_path):
    with Manager(tmp_path) as opened:
        yield opened


def ptrace(request, thread):
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    if libc.ptrace(request, thread, None, None) < 0:
        raise OSError(ctypes.get_errno(), "ptrace")


class Held:
    """One thread of the broker stands still."""

    def __init__(self, broker, name):
        [self.thread] = [
            int(task)
            for task in os.listdir(f"/proc/{broker.pid}/task")
            if open(f"/proc/{broker.pid}/task/{task}/comm", encoding="ascii").read().strip()
            == name
        ]

    def __enter__(self):
        ptrace(SEIZE, self.thread)
        ptrace(INTERRUPT, self.thread)
        os.waitpid(self.thread, 0x40000000)  # __WALL
        return self

    def __exit__(self, *_):
        ptrace(DETACH, self.thread)


def test_ready_reload_and_stop_are_told(manager):
    with Broker(env=manager.environment()) as broker:
        assert "STATUS=0 topics, 0 partitions, 2 shards" in manager.hear_until("READY=1")
        with broker.connect() as connection:
            connection.create_topic("t", 3)
        manager.hear_until("STATUS=1 topics, 3 partitions, 2 shards")
        broker.process.send_signal(signal.SIGHUP)
        heard = manager.hear_until("READY=1")
        assert heard[0] == "RELOADING=1"
        assert heard[1].startswith("MONOTONIC_USEC=") and heard[1].partition("=")[2].isdigit()
        broker.stop()
        assert "STOPPING=1" in manager.drain()
        assert "WATCHDOG=1" not in heard


@pytest.mark.parametrize("name", ("shard1", "coordinator"))
def test_the_watchdog_is_petted_while_every_thread_turns(manager, name):
    if sanitized():
        pytest.skip("a sanitizer's process is not traced")
    with Broker(env=manager.environment(watchdog_ms=400)) as broker:
        manager.hear_until("READY=1")
        for _ in range(3):
            manager.hear_until("WATCHDOG=1")
        with Held(broker, name):
            broker.wait_log("makes no progress")
            manager.drain()
            assert ("shard=1" in broker.log()) == (name == "shard1")
            # The control plane itself goes on.
            broker.process.send_signal(signal.SIGHUP)
            broker.wait_log("config: reloaded")
            manager.hear_until("READY=1")
            assert "WATCHDOG=1" not in manager.drain()
            assert broker.log().count("makes no progress") == 1
        manager.hear_until("WATCHDOG=1")
        broker.wait_log("all threads make progress again")
        broker.check_serves()


def test_nobody_is_told_where_nobody_listens(tmp_path):
    with Broker(env={"NOTIFY_SOCKET": str(tmp_path / "gone"), "WATCHDOG_USEC": "1000000"}) as b:
        b.check_serves()
