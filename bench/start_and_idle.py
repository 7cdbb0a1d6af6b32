#!/usr/bin/env python3
"""From the start of a broker to its first answers, and what it takes while nobody asks anything.

    bench/start_and_idle.py [--build DIR] [--peer BUILD] [--dir DIR] [--rounds N] [--partitions N]
                            [--idle SECONDS] [--json FILE] [--quick]

Each round starts a broker on an empty data folder, and one on a folder with --partitions partitions
that a clean stop has left, and asks as a client does from the first moment on: connect until that
is possible, ApiVersions, Metadata, and a Produce until it is taken.  Times count from the fork.
A busy machine makes them longer and never shorter, so the smallest is said beside the median, and
the CPU seconds that the broker had used by its first answer.

Then it is left alone: its CPU over --idle seconds, wake-ups a second, and its proportional set size
by kind from the kernel's map of it.  With --peer another build takes turns with the first.
"""
import argparse
import json
import os
import pathlib
import platform
import re
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

from free_ports import free_port

START_SECONDS = 30
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
API_VERSIONS, METADATA, PRODUCE = 18, 3, 0
TOPIC = b"start"


# ---- a client ----

def crc32c_table():
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ 0x82F63B78 if value & 1 else value >> 1
        table.append(value)
    return table


def crc32c(data, table=tuple(crc32c_table())):
    value = 0xFFFFFFFF
    for byte in data:
        value = table[(value ^ byte) & 255] ^ value >> 8
    return value ^ 0xFFFFFFFF


def one_record_batch():
    record = bytes([0, 0, 0, 1, 2, ord("v"), 0])  # no key, a value of one byte, no headers
    now = int(time.time() * 1000)
    checked = struct.pack(">hiqqqhii", 0, 0, now, now, -1, -1, -1, 1)
    checked += bytes([len(record) << 1]) + record
    rest = struct.pack(">ibI", -1, 2, crc32c(checked)) + checked
    return struct.pack(">qi", 0, len(rest)) + rest


def text(value):
    return struct.pack(">h", len(value)) + value


def receive(connection, count):
    data = b""
    while len(data) < count:
        got = connection.recv(count - len(data))
        if not got:
            raise ConnectionError("the broker closed the connection")
        data += got
    return data


def ask(connection, api, version, body):
    message = struct.pack(">hhi", api, version, 1) + text(b"start") + body
    connection.sendall(struct.pack(">i", len(message)) + message)
    return receive(connection, struct.unpack(">i", receive(connection, 4))[0])


def produce_error(connection, batch):
    """Of acks=all, partition 0; as version 3 has it."""
    body = struct.pack(">hhii", -1, -1, 10000, 1) + text(TOPIC)
    body += struct.pack(">iii", 1, 0, len(batch)) + batch
    answer = ask(connection, PRODUCE, 3, body)
    return struct.unpack_from(">h", answer, 4 + 4 + 2 + len(TOPIC) + 4 + 4)[0]


# ---- a broker ----

class Broker:
    """`build`'s, on `data`; `marks` are seconds since the fork."""

    def __init__(self, build, data):
        self.port = free_port()
        self.log = tempfile.TemporaryFile()
        self.marks = {}
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [build / "control" / "sluiced", "--listen", f"127.0.0.1:{self.port}", "--data", data],
            stderr=self.log)

    def mark(self, name):
        self.marks[name] = time.monotonic() - self.began

    def connect(self):
        while True:
            try:
                return socket.create_connection(("127.0.0.1", self.port), START_SECONDS)
            except OSError:
                late = time.monotonic() - self.began > START_SECONDS
                if late or self.process.poll() is not None:
                    self.log.seek(0)
                    raise SystemExit(f"the broker did not start:\n{self.log.read().decode()}"
                                     ) from None
                time.sleep(0.0005)

    def first_answers(self):
        with self.connect() as connection:
            ask(connection, API_VERSIONS, 0, b"")
            self.mark("api_versions_s")
            self.marks["cpu_s"] = self.cpu_seconds()
            ask(connection, METADATA, 4, struct.pack(">i", 1) + text(TOPIC) + b"\1")
            self.mark("metadata_s")
            batch = one_record_batch()
            while produce_error(connection, batch):
                time.sleep(0.0005)
            self.mark("produce_s")

    def tasks(self):
        return pathlib.Path(f"/proc/{self.process.pid}/task").iterdir()

    def cpu_seconds(self):
        """By the scheduler's own count, to the nanosecond."""
        return sum(int((task / "schedstat").read_text().split()[0]) for task in self.tasks()) / 1e9

    def wake_ups(self):
        return sum(int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", (task / "status").read_text(),
                                 re.MULTILINE).group(1)) for task in self.tasks())

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


# ---- memory ----

def kind_of(name, flags):
    if name.startswith("[heap]") or (not name and "rw" in flags):
        return "heaps, stacks, buffers"
    if "io_uring" in name:
        return "io_uring's rings"
    if "nohuge" in name or "rte_" in name or "hugepage" in name:
        return "DPDK's memory"
    if name.startswith("/"):
        return "program and libraries"
    return "other"


def memory(pid):
    """Proportional set size by kind, in MB."""
    kinds = {}
    kind = "other"
    for line in pathlib.Path(f"/proc/{pid}/smaps").read_text().splitlines():
        region = re.match(r"^[0-9a-f]+-[0-9a-f]+ (\S+) \S+ \S+ \S+\s*(.*)$", line)
        if region:
            kind = kind_of(region.group(2), region.group(1))
        elif line.startswith("Pss:"):
            kinds[kind] = kinds.get(kind, 0) + int(line.split()[1]) * 1024 / 1e6
    kinds["all"] = sum(kinds.values())
    return kinds


# ---- rounds ----

def idle(broker, seconds):
    time.sleep(1)  # what a start leaves to be done
    cpu, wake_ups = broker.cpu_seconds(), broker.wake_ups()
    time.sleep(seconds)
    return {"cpu_percent": (broker.cpu_seconds() - cpu) / seconds * 100,
            "wake_ups_a_second": (broker.wake_ups() - wake_ups) / seconds,
            "pss_mb": memory(broker.process.pid)}


def one_start(build, data, idle_seconds=0.0):
    broker = Broker(build, data)
    try:
        broker.first_answers()
        return broker.marks | ({"idle": idle(broker, idle_seconds)} if idle_seconds else {})
    finally:
        broker.end()


def make_partitions(options, data):
    broker = Broker(options.build, data)
    try:
        broker.first_answers()
        subprocess.run([options.build / "client" / "sluice", "-b", f"127.0.0.1:{broker.port}",
                        "topic", "create", "many", "--partitions", str(options.partitions)],
                       check=True, stdout=subprocess.DEVNULL, timeout=120)
    finally:
        broker.end()


def measure(options, folder):
    many = f"{folder}/many"
    taken = {name: {"empty": [], "many": []} for name in options.builds}
    make_partitions(options, many)
    for number in range(options.rounds):
        for name, build in sorted(options.builds.items(), reverse=number % 2):
            last = number == options.rounds - 1
            for data, where in ((f"{folder}/{name}{number}", "empty"), (many, "many")):
                taken[name][where].append(one_start(build, data, options.idle if last else 0))
    return taken


def report(name, where, starts):
    print(f"{name}, {where} data folder")
    for key in ("api_versions_s", "metadata_s", "produce_s", "cpu_s"):
        values = [start[key] for start in starts]
        print(f"  {key:<18} median {statistics.median(values):.3f}, {min(values):.3f} .. "
              f"{max(values):.3f}")
    at_rest = starts[-1]["idle"]
    print(f"  idle: {at_rest['cpu_percent']:.2f} % of a core, "
          f"{at_rest['wake_ups_a_second']:.1f} wake-ups/s")
    for kind, size in sorted(at_rest["pss_mb"].items(), key=lambda item: item[1]):
        print(f"  {size:7.2f} MB {kind}")
    sys.stdout.flush()


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build"))
    parser.add_argument("--peer", type=pathlib.Path, help="another build, measured beside")
    parser.add_argument("--dir", help="folder on the disk to measure")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--partitions", type=int, default=100)
    parser.add_argument("--idle", type=float, default=10, help="seconds")
    parser.add_argument("--json", help="file for all figures")
    parser.add_argument("--quick", action="store_true", help="a smoke test")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.idle, options.partitions = 1, 0.5, 10
    options.builds = {"sluice": options.build}
    if options.peer:
        options.builds["peer"] = options.peer
    return options


def main():
    options = parse_args()
    print(f"cpus={os.cpu_count()} kernel={platform.release()} load={os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory(prefix="start_", dir=options.dir) as folder:
        taken = measure(options, folder)
    for name, by_folder in taken.items():
        for where, starts in by_folder.items():
            report(name, where, starts)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(taken, file, indent=1)


if __name__ == "__main__":
    main()
