#!/usr/bin/env python3
"""Produce requests to one broker, without and with thousands of group members beside them.

    bench/groups_beside_produce.py [--build DIR] [--groups N] [--members N] [--protocol NAME]
                                   [--link tcp|udp] [--pairs N] [--seconds N] [--rate N]
                                   [--shards N] [--dir DIR] [--json FILE] [--quick]

A: request_load alone.  B: request_load while the members of group_load send heartbeats, commit and
rebalance.  C: those members alone.  One round is A B C C B A in one broker, each a run as fast as
the broker answers and, but for C, one at a fixed rate, for the latencies.

Shards are pinned to a core each and the clients have the other cores, with the coordinator; where
those are few, what the members take from request_load shows in its rate.  So the number to look at
is the CPU time of the shards' threads for a million produced requests: in A, in B, and in B less
what the members' own requests took in C.  (A shard with nothing to do spins a moment before it
sleeps: with less to do besides, C has more of that than B.)  The threads' times are the kernel's, to
the nanosecond; "rest" is io_uring's workers and threads of DPDK.
"""
import argparse
import contextlib
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from free_ports import free_port
from servers import end

START_SECONDS, SETTLE_SECONDS, RUN_SECONDS = 20, 120, 120
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def broker(options):
    with tempfile.TemporaryDirectory(prefix="groups_", dir=options.dir) as folder:
        port = free_port()
        log = pathlib.Path(folder) / "log"
        with open(log, "w", encoding="utf-8") as out:
            process = subprocess.Popen(
                [options.build / "control" / "sluiced", "--listen", f"127.0.0.1:{port}",
                 "--data", f"{folder}/data", "--shards", str(options.shards),
                 "--set", "log.retention.bytes=1GiB"], stdout=out, stderr=out)
        try:
            limit = time.monotonic() + START_SECONDS
            while "ready listen=" not in log.read_text():
                if process.poll() is not None or time.monotonic() > limit:
                    raise SystemExit(f"the broker did not start:\n{log.read_text()}")
                time.sleep(0.05)
            yield process.pid, port
        finally:
            end(process)


# ---- what the broker takes ----

def tasks(pid):
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # io_uring's workers come and go
            yield (task / "comm").read_text().strip(), task


def cpu_seconds(pid):
    """By what a thread is for; all of it, of threads that have ended too, is "all"."""
    spent = {"shards": 0.0, "coordinator": 0.0, "control": 0.0}
    for name, task in tasks(pid):
        role = {"coordinator": "coordinator", "sluiced": "control"}.get(name)
        role = "shards" if name.startswith("shard") else role
        if role:
            spent[role] += int((task / "schedstat").read_text().split()[0]) / 1e9
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    spent["all"] = (int(fields[11]) + int(fields[12])) / CLOCK_TICKS
    return spent


def resident_kib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise SystemExit("the broker has ended")


def client_cores(pid):
    """Those without a shard of its own; all, where that leaves none."""
    shards = [os.sched_getaffinity(int(task.name)) for name, task in tasks(pid)
              if name.startswith("shard")]
    pinned = set().union(*(cores for cores in shards if len(cores) == 1))
    return sorted(os.sched_getaffinity(0) - pinned or os.sched_getaffinity(0))


class Metered:
    """CPU seconds of the broker within the block, by thread."""

    def __init__(self, pid):
        self.pid = pid

    def __enter__(self):
        self.begun, self.before = time.monotonic(), cpu_seconds(self.pid)
        return self

    def __exit__(self, *failure):
        after = cpu_seconds(self.pid)
        self.seconds = time.monotonic() - self.begun
        self.cpu = {role: after[role] - self.before[role] for role in after}
        everything = self.cpu.pop("all")
        self.cpu["rest"] = max(0.0, everything - sum(self.cpu.values()))


# ---- the loads ----

def produce(options, pid, port, cores, *more):
    with Metered(pid) as metered:
        run = subprocess.run(
            ["taskset", "-c", ",".join(map(str, cores)),
             options.build / "bench" / "request_load", f"{options.link}://127.0.0.1:{port}",
             "--seconds", str(options.seconds), "--warm-up", "0", *more],
            check=True, stdout=subprocess.PIPE, text=True, timeout=RUN_SECONDS)
    return json.loads(run.stdout) | {"cpu": metered.cpu, "took": metered.seconds}


class Members:
    """group_load within the block, from when all groups have settled."""

    def __init__(self, options, port, cores):
        command = ["taskset", "-c", ",".join(map(str, cores)),
                   options.build / "bench" / "group_load", f"127.0.0.1:{port}", "--seconds", "0",
                   "--groups", str(options.groups), "--members", str(options.members),
                   "--protocol", options.protocol, "--settle", str(SETTLE_SECONDS),
                   "--topic", f"members-{options.protocol}"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)

    def read(self):
        watch = threading.Timer(SETTLE_SECONDS + RUN_SECONDS, self.process.kill)
        watch.start()
        line = self.process.stdout.readline()
        watch.cancel()
        if not line:
            raise SystemExit("group_load has ended")
        return json.loads(line)

    def report(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.read()

    def __enter__(self):
        self.settled = self.read()
        return self

    def __exit__(self, *failure):
        self.process.stdin.close()  # all members leave
        try:
            self.process.wait(RUN_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def both(options, pid, port, cores):
    return {"fast": produce(options, pid, port, cores),
            "paced": produce(options, pid, port, cores, "--rate", str(options.rate))}


def members_alone(options, pid):
    with Metered(pid) as metered:
        time.sleep(options.seconds)
    return {"cpu": metered.cpu, "took": metered.seconds}


def one_round(options, pid, port, cores, runs):
    runs["A"].append(both(options, pid, port, cores))
    before_kib = resident_kib(pid)
    with Members(options, port, cores) as members:
        runs["settled"].append(members.settled | {
            "kib_a_member": (resident_kib(pid) - before_kib) / options.groups / options.members})
        time.sleep(1)
        members.report()  # what came before counts elsewhere
        runs["B"].append(both(options, pid, port, cores))
        runs["members"].append(members.report())
        runs["C"] += [members_alone(options, pid), members_alone(options, pid)]
        runs["members alone"].append(members.report())
        runs["B"].append(both(options, pid, port, cores))
        runs["members"].append(members.report())
    runs["A"].append(both(options, pid, port, cores))
    runs["resident_kib"].append(resident_kib(pid))


# ---- what it says ----

def shards_us(run):
    return run["cpu"]["shards"] * 1e6 / run["requests"]


def ratios(runs, value):
    return [value(b) / value(a) for a, b in zip(runs["A"], runs["B"])]


def spread(values, digits=2):
    return (f"{statistics.median(values):.{digits}f} "
            f"({min(values):.{digits}f} .. {max(values):.{digits}f})")


def show_produce(runs):
    print("produce: median (smallest .. largest)              A                             B")
    for name, kind, value, digits in (
            ("requests/s, thousands", "fast", lambda run: run["rate"] / 1e3, 1),
            ("p50 us, at a fixed rate", "paced", lambda run: run["p50_us"], 0),
            ("p99 us", "paced", lambda run: run["p99_us"], 0),
            ("shards' CPU s a million", "fast", shards_us, 2),
            ("... at a fixed rate", "paced", shards_us, 2)):
        a, b = ([value(run[kind]) for run in runs[which]] for which in "AB")
        print(f"  {name:26} {spread(a, digits):>28}  {spread(b, digits):>28}   "
              f"B/A {spread([y / x for x, y in zip(a, b)])}")
    alone = [run["cpu"]["shards"] / run["took"] for run in runs["C"]]
    own = statistics.median(alone)
    less = [(run["fast"]["cpu"]["shards"] - own * run["fast"]["took"]) * 1e6
            / run["fast"]["requests"] for run in runs["B"]]
    a = [shards_us(run["fast"]) for run in runs["A"]]
    print(f"  {'... less the members own':26} {'':>28}  {spread(less):>28}   "
          f"B/A {spread([y / x for x, y in zip(a, less)])}")


def show_threads(runs):
    print("the broker's CPU, % of one core: median")
    for name, chosen in (("A, as fast as it goes", [run["fast"] for run in runs["A"]]),
                         ("B, as fast as it goes", [run["fast"] for run in runs["B"]]),
                         ("A, fixed rate", [run["paced"] for run in runs["A"]]),
                         ("B, fixed rate", [run["paced"] for run in runs["B"]]),
                         ("C, the members alone", runs["C"])):
        shares = {role: statistics.median(run["cpu"][role] / run["took"] for run in chosen) * 100
                  for role in chosen[0]["cpu"]}
        print(f"  {name:26}" + "".join(f"  {role} {of:.1f}" for role, of in shares.items()))


def show_members(runs):
    print("the members, medians: beside produce, alone")
    for name, digits in (("heartbeats", 0), ("commits", 0), ("joins", 0), ("rebalances", 1),
                         ("heartbeat_p50_ms", 2), ("heartbeat_p99_ms", 1), ("commit_p50_ms", 2),
                         ("assembly_p50_ms", 1), ("assembly_p99_ms", 1), ("rebalance_p99_ms", 0)):
        both_of = [statistics.median(run[name] for run in runs[kind])
                   for kind in ("members", "members alone")]
        print(f"  {name:26} {both_of[0]:.{digits}f}, {both_of[1]:.{digits}f}")
    errors = {}
    for run in runs["members"] + runs["members alone"] + runs["settled"]:
        for code, count in run["errors"].items():
            errors[code] = errors.get(code, 0) + count
    print(f"  errors: {errors or 'none'}")
    print(f"  all joined and settled in s: {spread([run['seconds'] for run in runs['settled']])}; "
          f"KiB of the broker a member: {runs['settled'][0]['kib_a_member']:.1f} in round 1; "
          f"resident after each round: {[kib // 1024 for kib in runs['resident_kib']]} MiB")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=pathlib.Path,
                        default=pathlib.Path(__file__).resolve().parents[1] / "build")
    parser.add_argument("--groups", type=int, default=200)
    parser.add_argument("--members", type=int, default=50, help="of each group")
    parser.add_argument("--protocol", choices=["classic", "consumer"], default="classic")
    parser.add_argument("--link", choices=["tcp", "udp"], default="tcp")
    parser.add_argument("--pairs", type=int, default=3, help="rounds of A B C C B A")
    parser.add_argument("--seconds", type=int, default=4, help="of each measurement")
    parser.add_argument("--rate", type=int, default=20000, help="for the latencies")
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--dir", default="/dev/shm" if os.path.isdir("/dev/shm") else None)
    parser.add_argument("--json", help="file for the report")
    parser.add_argument("--quick", action="store_true", help="that it runs; figures mean nothing")
    options = parser.parse_args()
    if options.quick:
        options.pairs, options.seconds, options.rate = 1, 1, 1000
        options.groups, options.members = 4, 5
    runs = {"A": [], "B": [], "C": [], "settled": [], "members": [], "members alone": [],
            "resident_kib": []}
    with broker(options) as (pid, port):
        cores = client_cores(pid)
        for _ in range(options.pairs):
            one_round(options, pid, port, cores, runs)
    print(f"{platform.machine()}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}; "
          f"{options.shards} shard(s), produce over {options.link} (paced: {options.rate}/s); "
          f"{options.groups} groups of {options.members}, {options.protocol}")
    show_produce(runs)
    show_threads(runs)
    show_members(runs)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(runs, indent=1), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
