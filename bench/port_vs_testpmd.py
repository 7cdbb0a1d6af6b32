#!/usr/bin/env python3
"""Datagrams a second that a port turns round, beside dpdk-testpmd swapping MAC addresses.

    bench/port_vs_testpmd.py --bench build/bench/port_bench [--seconds N] [--pairs N] [--bytes N]

Both sit at the same end of a memif whose other end is a generator; they take turns A B B A, and the
share of the port in testpmd's rate is the median of the pairs.  Needs two cores and the Debian
package dpdk-dev.
"""
import argparse
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time


def wait_for(path, process):
    for _ in range(200):
        if path.exists():
            return
        if process.poll() is not None:
            raise SystemExit(f"{process.args[0]} ended with {process.returncode}")
        time.sleep(0.05)
    raise SystemExit(f"{path} did not appear")


def server(kind, bench, vdev, core):
    if kind == "testpmd":
        command = [shutil.which("dpdk-testpmd"), "--no-huge", "-m", "256", "--no-pci",
                   "--no-shconf", "--no-telemetry", "--file-prefix", f"bench{os.getpid()}",
                   "--log-level", "error", "-l", f"{1 - core},{core}", "--vdev", vdev, "--",
                   "--forward-mode=macswap", "--auto-start", "--total-num-mbufs=16384",
                   "--rxd=1024", "--txd=1024", "--burst=32"]
    else:
        command = ["taskset", "-c", str(core), bench, "echo", vdev]
        command += ["zero"] if kind == "zero" else []
    # testpmd ends when its input does.
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)


def measure(kind, options, folder):
    socket = pathlib.Path(folder) / "memif"
    socket.unlink(missing_ok=True)
    words = f"id=0,rsize=10,bsize=2048,socket-abstract=no,socket={socket}"
    process = server(kind, options.bench, f"net_memif0,role=server,{words}", 1)
    try:
        wait_for(socket, process)
        time.sleep(0.5)  # testpmd listens before it forwards
        run = subprocess.run(["taskset", "-c", "0", options.bench, "load",
                              f"net_memif0,role=client,{words}", str(options.seconds),
                              str(options.bytes)], check=True, capture_output=True, text=True)
    finally:
        process.kill()
        process.wait()
    return float(run.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bench", required=True, help="the program port_bench")
    parser.add_argument("--seconds", type=int, default=3, help="of each measurement")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--bytes", type=int, default=80, help="of UDP payload")
    options = parser.parse_args()
    if not shutil.which("dpdk-testpmd"):
        sys.exit("needs dpdk-testpmd: apt-get install dpdk-dev")
    rates = {"testpmd": [], "port": [], "zero": []}
    with tempfile.TemporaryDirectory(prefix="port_bench_") as folder:
        for pair in range(options.pairs):
            order = ["testpmd", "port", "zero"]
            for kind in order if pair % 2 == 0 else reversed(order):
                rates[kind].append(measure(kind, options, folder))
    print(f"{options.bytes} B of payload, million datagrams a second, and share of testpmd")
    for kind, name in (("testpmd", "testpmd macswap"), ("port", "port, echo"),
                       ("zero", "port, echo, no UDP checksum sent")):
        shares = sorted(a / b for a, b in zip(rates[kind], rates["testpmd"]))
        print(f"{name:34} {statistics.median(rates[kind]) / 1e6:7.2f}   "
              f"{statistics.median(shares):.2f} ({shares[0]:.2f} .. {shares[-1]:.2f})")


if __name__ == "__main__":
    main()
