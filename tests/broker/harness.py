"""sluiced as a process, and a connection to it that speaks the protocol byte by byte.

    with Broker() as broker, broker.connect() as connection:
        connection.request("Metadata", 9, topics=[{"name": "greetings"}])

SLUICED names the program, SLUICED_IO its back end (uring or sync).  Whatever a test does, a broker
that ended without being told to, or a sanitizer that has reported, fails it.
"""

import glob
import json
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

from messages import request_frame, response_body
from records import batch, batches

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "bench"))

from free_ports import free_port  # noqa: E402

IO = os.environ.get("SLUICED_IO", "auto")
START_SECONDS = 60  # a sanitizer's build on a busy machine
STOP_SECONDS = 60
ANSWER_SECONDS = 60
REPORT = re.compile(
    r"(ERROR|WARNING): \w+Sanitizer|runtime error:|SUMMARY: \w+Sanitizer|check failed", re.I
)


def program():
    if "SLUICED" in os.environ:
        return os.environ["SLUICED"]
    for candidate in ("build/sluiced", "build/control/sluiced"):
        if (ROOT / candidate).exists():
            return str(ROOT / candidate)
    raise FileNotFoundError("no sluiced: build it, or name it in SLUICED")


def sanitized():
    """Which sanitizer the program carries: address, thread or None.  They are slow and large."""
    with open(program(), "rb") as file:
        content = file.read()
    for name in ("asan", "tsan"):
        if b"__" + name.encode() + b"_init" in content:
            return {"asan": "address", "tsan": "thread"}[name]
    return None


def eventually(what, condition, seconds=30.0, every=0.02):
    """Waits until condition() is true, and returns what it returned."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(every)


def ask_telemetry(broker, command):
    """Of a broker with dpdk.telemetry whose RUNTIME_DIRECTORY is where its logs are."""
    [path] = glob.glob(f"{broker.logs}/dpdk/*/dpdk_telemetry.v2")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asker:
        asker.settimeout(ANSWER_SECONDS)
        asker.connect(path)
        asker.recv(1 << 14)
        asker.send(command.encode())
        return json.loads(asker.recv(1 << 14))[command.partition(",")[0]]


class Broker:
    def __init__(
        self,
        data=None,
        shards=2,
        io=None,
        settings=None,
        args=(),
        env=None,
        port=None,
        prefix=(),
        start=True,
    ):
        self.own_folder = None
        if data is None:
            self.own_folder = tempfile.mkdtemp(prefix="sluiced-test-")
            data = os.path.join(self.own_folder, "data")
        self.data = pathlib.Path(data)
        self.logs = tempfile.mkdtemp(prefix="sluiced-log-")
        self.host, self.port = "127.0.0.1", port or free_port()
        self.shards, self.io = shards, io or IO
        self.settings, self.args = dict(settings or {}), list(args)
        self.env, self.prefix = dict(env or {}), list(prefix)
        self.process = None
        self.starts = 0
        if start:
            try:
                self.start()
            except BaseException:
                self.discard()
                raise

    # ---- the process ----

    def command(self):
        words = [
            *self.prefix,
            program(),
            "--listen",
            f"{self.host}:{self.port}",
            "--data",
            str(self.data),
            "--io",
            self.io,
        ]
        if self.shards is not None:
            words += ["--shards", str(self.shards)]
        # Brokers of several tests run at a time; who wants the admin HTTP says so.
        for key, value in {"admin.listen": "", **self.settings}.items():
            words += ["--set", f"{key}={value}"]
        return words + self.args

    def start(self, wait=True):
        assert self.process is None
        self.starts += 1
        self.log_path = os.path.join(self.logs, f"{self.starts}.log")
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.env},
            )
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self):
        def ready_or_dead():
            return "ready listen=" in self.log() or self.process.poll() is not None

        eventually("the line with ready", ready_or_dead, START_SECONDS)
        if "ready listen=" not in self.log():
            raise AssertionError(f"sluiced ended with {self.process.returncode}:\n{self.log()}")

    @property
    def pid(self):
        return self.process.pid

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    def log(self):
        """What this start has printed so far."""
        with open(self.log_path, "rb") as file:
            return file.read().decode(errors="replace")

    def wait_log(self, text, seconds=30.0):
        eventually(f"a log line with {text!r}", lambda: text in self.log(), seconds)

    def check_alive(self):
        if self.process.poll() is not None:
            raise AssertionError(
                f"sluiced ended by itself with {self.process.returncode}:\n{self.log()[-8000:]}"
            )

    def _check_reports(self, pid):
        log = self.log()
        if REPORT.search(log):
            raise AssertionError(f"sluiced reported:\n{log[-16000:]}")
        for name in ("ASAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS"):
            found = re.search(r"log_path=([^:]+)", {**os.environ, **self.env}.get(name, ""))
            for report in glob.glob(f"{found[1]}.{pid}") if found else []:
                with open(report, encoding="utf-8", errors="replace") as file:
                    text = file.read()
                if text.strip():
                    raise AssertionError(f"a sanitizer reported:\n{text[:16000]}")

    def stop(self, seconds=STOP_SECONDS):
        """SIGTERM; must exit 0 within the time.  Returns the seconds it took."""
        self.check_alive()
        begun = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.wait_exit(seconds)
        if code != 0:
            raise AssertionError(f"SIGTERM ended in exit code {code}:\n{self.log()[-8000:]}")
        return time.monotonic() - begun

    def wait_exit(self, seconds=STOP_SECONDS):
        """For a broker that was told to end, or will: its exit code."""
        process = self.process
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(
                f"still running after {seconds} s:\n{self.log()[-8000:]}"
            ) from None
        self.process = None
        self._check_reports(process.pid)
        return code

    def kill(self):
        """SIGKILL, as a crash."""
        process, self.process = self.process, None
        process.kill()
        process.wait()
        self._check_reports(process.pid)

    def restart(self, **changes):
        self.stop()
        for name, value in changes.items():
            setattr(self, name, value)
        return self.start()

    def discard(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
        shutil.rmtree(self.logs, ignore_errors=True)
        if self.own_folder:
            shutil.rmtree(self.own_folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        try:
            if kind is None and self.process is not None:
                self.stop()
            elif kind is not None and self.starts:
                print(f"---- log of sluiced ----\n{self.log()[-8000:]}")
                if self.process is not None and self.process.poll() is not None:
                    print(f"---- sluiced had ended with {self.process.returncode} ----")
        finally:
            self.discard()

    # ---- what the kernel says of it ----

    def cpu_seconds(self):
        with open(f"/proc/{self.pid}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_bytes(self):
        with open(f"/proc/{self.pid}/status", encoding="ascii", errors="replace") as file:
            return int(re.search(r"VmRSS:\s*(\d+) kB", file.read())[1]) * 1024

    def fd_count(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    # ---- talking to it ----

    def connect(self, timeout=ANSWER_SECONDS, receive_buffer=None):
        return Connection(self.host, self.port, timeout, receive_buffer)

    def check_serves(self, topic="still-serving"):
        """The proof that a broker has survived: a record goes in and comes out."""
        self.check_alive()
        with self.connect() as connection:
            connection.create_topic_if_missing(topic)
            base = connection.produce(topic, 0, [b"alive"])
            assert connection.fetch_values(topic, 0, base) == [b"alive"]


class Refused(AssertionError):
    """An answer with an error code where a test wanted none."""

    def __init__(self, code, message=None):
        super().__init__(f"error {code}: {message}")
        self.code = code


class Connection:
    """One TCP connection.  `request` asks and waits; `send` and `receive` are for pipelining."""

    def __init__(self, host, port, timeout=ANSWER_SECONDS, receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.connect((host, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.correlation = 0
        self.waiting = {}  # by correlation id: name and version

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def reset(self):
        """Ends with a reset instead of a FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def send_bytes(self, data):
        self.socket.sendall(data)

    def encode(self, name, version, client_id="test", **values):
        self.correlation += 1
        self.waiting[self.correlation] = name, version
        return request_frame(name, version, self.correlation, values, client_id)

    def send(self, name, version, **values):
        """Sends without waiting; returns the correlation id."""
        self.send_bytes(self.encode(name, version, **values))
        return self.correlation

    def _exactly(self, count):
        parts = bytearray()
        while len(parts) < count:
            part = self.socket.recv(min(count - len(parts), 1 << 20))
            if not part:
                raise ConnectionError(f"closed {len(parts)} bytes into {count}")
            parts += part
        return bytes(parts)

    def receive_frame(self):
        """The next response: correlation id and what follows it."""
        size, correlation = struct.unpack(">ii", self._exactly(8))
        return correlation, self._exactly(size - 4)

    def receive(self):
        """The next response, decoded as what was asked under its correlation id."""
        correlation, frame = self.receive_frame()
        name, version = self.waiting.pop(correlation)
        return correlation, response_body(name, version, frame)

    def request(self, name, version, **values):
        asked = self.send(name, version, **values)
        correlation, body = self.receive()
        assert correlation == asked
        return body

    def closed_by_peer(self, seconds=30.0):
        """Whether the broker ends this connection within the time; what it sends is dropped."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([self.socket], [], [], left)[0]:
                return False
            try:
                if not self.socket.recv(1 << 16):
                    return True
            except ConnectionError:
                return True
        return False

    # ---- what most tests need ----

    def create_topic(self, topic, partitions=1, configs=None):
        configs = [{"name": k, "value": str(v)} for k, v in (configs or {}).items()]
        body = self.request(
            "CreateTopics",
            7,
            timeout_ms=30000,
            topics=[
                {
                    "name": topic,
                    "num_partitions": partitions,
                    "replication_factor": 1,
                    "configs": configs,
                }
            ],
        )
        answer = body["topics"][0]
        if answer["error_code"]:
            raise Refused(answer["error_code"], answer["error_message"])
        return answer["topic_id"]

    def create_topic_if_missing(self, topic, partitions=1):
        try:
            self.create_topic(topic, partitions)
        except Refused as refused:
            if refused.code != 36:
                raise

    def produce_batch(self, topic, partition, data, acks=-1, version=9, timeout_ms=30000):
        """Produces bytes as they are; returns the partition's answer."""
        body = self.request(
            "Produce",
            version,
            acks=acks,
            timeout_ms=timeout_ms,
            topic_data=[{"name": topic, "partition_data": [{"index": partition, "records": data}]}],
        )
        return body["responses"][0]["partition_responses"][0]

    def produce(self, topic, partition, values, acks=-1, **fields):
        """Returns the base offset."""
        answer = self.produce_batch(topic, partition, batch(values, **fields), acks)
        if answer["error_code"]:
            raise Refused(answer["error_code"], answer["error_message"])
        return answer["base_offset"]

    def fetch_body(
        self,
        topic,
        partition,
        offset,
        max_wait_ms=0,
        min_bytes=1,
        max_bytes=64 << 20,
        partition_max_bytes=64 << 20,
        version=11,
        isolation_level=0,
    ):
        return self.request(
            "Fetch",
            version,
            max_wait_ms=max_wait_ms,
            min_bytes=min_bytes,
            max_bytes=max_bytes,
            isolation_level=isolation_level,
            topics=[
                {
                    "topic": topic,
                    "partitions": [
                        {
                            "partition": partition,
                            "fetch_offset": offset,
                            "partition_max_bytes": partition_max_bytes,
                        }
                    ],
                }
            ],
        )

    def fetch(self, topic, partition, offset, **options):
        """The partition's answer."""
        return self.fetch_body(topic, partition, offset, **options)["responses"][0]["partitions"][0]

    def fetch_batches(self, topic, partition, offset, **options):
        answer = self.fetch(topic, partition, offset, **options)
        if answer["error_code"]:
            raise Refused(answer["error_code"])
        return batches(answer["records"])

    def fetch_values(self, topic, partition, offset, **options):
        return [
            value
            for each in self.fetch_batches(topic, partition, offset, **options)
            for at, _, _, value in each.records()
            if at >= offset
        ]

    def list_offset(self, topic, partition, timestamp, version=7, isolation_level=0):
        """The partition's answer; -1 latest, -2 earliest."""
        body = self.request(
            "ListOffsets",
            version,
            replica_id=-1,
            isolation_level=isolation_level,
            topics=[
                {
                    "name": topic,
                    "partitions": [{"partition_index": partition, "timestamp": timestamp}],
                }
            ],
        )
        return body["topics"][0]["partitions"][0]

    def read_all(self, topic, partition, start=None):
        """Every batch from `start` (default: the earliest offset) to the high watermark."""
        at = self.list_offset(topic, partition, -2)["offset"] if start is None else start
        end = self.list_offset(topic, partition, -1)["offset"]
        found = []
        while at < end:
            got = self.fetch_batches(topic, partition, at)
            assert got, f"nothing at {at} though the high watermark is {end}"
            found += got
            at = got[-1].next_offset
        return found


class DiskFaults:
    """What the shim (conftest.py) reads in the file that FAULTY_DISK_CONTROL names."""

    def __init__(self, path):
        self.path = path

    def on(self, operation, error, part):
        new = self.path.with_suffix(".new")
        new.write_text(f"{operation} {error} {part}\n")
        new.rename(self.path)

    def off(self):
        self.path.unlink()
