#!/usr/bin/env python3
"""Produce requests a second of one shard over memif, beside dpdk-testpmd on the same device and TCP.

    bench/bypass_vs_testpmd.py --sluiced build/control/sluiced --load build/bench/request_load
                               --port-bench build/bench/port_bench [--pairs N] [--json FILE]

Each round runs testpmd (macswap), memif, udp and tcp, then the same backwards: A B B A.  The broker
(one shard, busy polling) or testpmd has one core, the generator the other.  A request is one Produce
of one 32 B record with acks=1; the log lies in --dir, a memory file system unless told otherwise.
Latencies are of a fixed rate, counted from when a request was due.  Needs two cores and the Debian
package dpdk-dev.
"""
import argparse
import contextlib
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from free_ports import free_port
from servers import end

BROKER_CORE, LOAD_CORE = "1", "0"
BROKER_IP, LOAD_IP = "10.77.0.1", "10.77.0.2"
START_SECONDS, RUN_SECONDS = 20, 60


def memif(folder, role):
    return (f"net_memif0,role={role},id=0,rsize=10,bsize=2048,socket-abstract=no,"
            f"socket={folder}/memif")


@contextlib.contextmanager
def running(command, output, ready):
    """A server process, once ready() holds; ended with the block."""
    with open(output, "w", encoding="utf-8") as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{command[0]} did not start:\n{pathlib.Path(output).read_text()}")
            time.sleep(0.05)
        yield process
    finally:
        end(process)


@contextlib.contextmanager
def broker(options):
    with tempfile.TemporaryDirectory(prefix="bypass_", dir=options.dir) as folder:
        port = free_port()
        log = pathlib.Path(folder) / "log"
        command = ["taskset", "-c", BROKER_CORE, options.sluiced, "--listen", f"127.0.0.1:{port}",
                   "--data", f"{folder}/data", "--shards", "1", "--poll", "busy",
                   "--set", "pin.threads=false", "--set", "log.retention.bytes=1GiB",
                   "--vdev", memif(folder, "server"), "--set", f"dpdk.address={BROKER_IP}/24",
                   "--set", "dpdk.exception=none"]
        with running(command, log, lambda: "ready listen=" in log.read_text()) as process:
            yield folder, port, process.pid


def load(options, kind, more):
    with broker(options) as (folder, port, pid):
        links = {
            "memif": [memif(folder, "client"), "--address", f"{LOAD_IP}/24",
                      "--to", f"{BROKER_IP}:{port}"],
            "udp": [f"udp://127.0.0.1:{port}"],
            "tcp": [f"tcp://127.0.0.1:{port}"],
        }
        run = subprocess.run(["taskset", "-c", LOAD_CORE, options.load, *links[kind], "--seconds",
                              str(options.seconds), "--broker", str(pid), *more],
                             check=True, stdout=subprocess.PIPE, text=True, timeout=RUN_SECONDS)
    return json.loads(run.stdout)


def testpmd(options):
    with tempfile.TemporaryDirectory(prefix="bypass_") as folder:
        command = [shutil.which("dpdk-testpmd"), "--no-huge", "-m", "256", "--no-pci",
                   "--no-shconf", "--no-telemetry", "--file-prefix", f"bypass{os.getpid()}",
                   "--log-level", "error", "-l", f"{LOAD_CORE},{BROKER_CORE}",
                   "--vdev", memif(folder, "server"), "--", "--forward-mode=macswap",
                   "--auto-start", "--total-num-mbufs=16384", "--rxd=1024", "--txd=1024",
                   "--burst=32"]
        log = pathlib.Path(folder) / "log"
        with running(command, log, (pathlib.Path(folder) / "memif").exists):
            time.sleep(0.5)  # it listens before it forwards
            run = subprocess.run(["taskset", "-c", LOAD_CORE, options.port_bench, "load",
                                  memif(folder, "client"), str(options.seconds),
                                  str(options.frame_bytes - 42)],  # Ethernet, IPv4 and UDP
                                 check=True, stdout=subprocess.PIPE, text=True,
                                 timeout=RUN_SECONDS)
    return float(run.stdout)


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def throughput(options):
    runs = {"testpmd": [], "memif": [], "udp": [], "tcp": []}
    for _ in range(options.pairs):
        for kind in [*runs, *reversed(runs)]:
            if kind == "testpmd":
                runs[kind].append({"rate": testpmd(options)})
            else:
                runs[kind].append(load(options, kind, []))
    rates = {kind: [run["rate"] for run in results] for kind, results in runs.items()}
    for kind, values in rates.items():
        if min(values) <= 0:
            raise SystemExit(f"nothing came back: {kind}")
    return {
        "rates": {kind: spread(values) for kind, values in rates.items()},
        "cpu_us_a_request": {kind: spread([run["cpu_us_a_request"] for run in results])
                             for kind, results in runs.items() if kind != "testpmd"},
        "shares": {f"{a}/{b}": spread([x / y for x, y in zip(rates[a], rates[b])])
                   for a, b in (("memif", "testpmd"), ("memif", "tcp"), ("udp", "tcp"))},
        "all": rates,
    }


def latency(options):
    """The median run of three; one that did not keep its rate says nothing of latency."""
    result = {}
    for kind in ("memif", "udp", "tcp"):
        runs = [load(options, kind, ["--rate", str(options.rate)])
                for _ in range(1 if options.quick else 3)]
        for run in runs:
            run["kept"] = run["rate"] >= 0.99 * options.rate
        run = sorted(runs, key=lambda run: run["p50_us"])[len(runs) // 2]
        result[kind] = {key: run[key] for key in ("rate", "p50_us", "p99_us", "p99_9_us", "max_us",
                                                  "late_p99_us", "requests", "kept")}
    return result


def show(report):
    print("requests (testpmd: frames) a second, in thousands: median (smallest .. largest)")
    for kind, of in report["rates"].items():
        cpu = report["cpu_us_a_request"].get(kind)
        print(f"  {kind:14} {of['median'] / 1e3:9.0f} ({of['min'] / 1e3:.0f} .. "
              f"{of['max'] / 1e3:.0f})" + (f"   CPU {cpu['median']:.2f} us each" if cpu else ""))
    print("shares")
    for pair, of in report["shares"].items():
        print(f"  {pair:14} {of['median']:9.3f} ({of['min']:.3f} .. {of['max']:.3f})")
    print("latency in us at a fixed rate: p50, p99, p99.9, largest")
    for kind, of in report["latency"].items():
        print(f"  {kind:14} {of['p50_us']:9.1f} {of['p99_us']:9.1f} {of['p99_9_us']:9.1f} "
              f"{of['max_us']:9.1f}   {of['rate']:.0f}/s" + ("" if of["kept"] else ", not kept"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sluiced", required=True)
    parser.add_argument("--load", required=True, help="the program request_load")
    parser.add_argument("--port-bench", required=True, help="the program port_bench")
    parser.add_argument("--pairs", type=int, default=3, help="rounds of A B B A")
    parser.add_argument("--seconds", type=int, default=3, help="of each measurement")
    parser.add_argument("--rate", type=int, default=50000, help="for the latencies")
    parser.add_argument("--frame-bytes", type=int, default=122, help="of testpmd's frames")
    parser.add_argument("--dir", default="/dev/shm" if os.path.isdir("/dev/shm") else None)
    parser.add_argument("--json", help="file for the report")
    parser.add_argument("--quick", action="store_true", help="that it runs; figures mean nothing")
    options = parser.parse_args()
    if not shutil.which("dpdk-testpmd") or os.cpu_count() < 2:
        print("needs dpdk-testpmd (apt-get install dpdk-dev) and two cores", file=sys.stderr)
        sys.exit(77)
    if options.quick:
        options.pairs, options.seconds, options.rate = 1, 1, 2000
    report = throughput(options)
    report["latency"] = latency(options)
    report["machine"] = {"cores": os.cpu_count(), "kernel": platform.release(),
                         "load": os.getloadavg()}
    show(report)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(report, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
