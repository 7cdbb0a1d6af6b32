#!/usr/bin/env python3
"""What this host can do: its disk by fio, its loopback by iperf3, frames on a memif by testpmd.

    bench/limits.py --dir DIR [--build build] [--cores 1] [--seconds 3] [--json FILE] [--quick]

No broker can be faster than these, so a report has them beside its figures.  The disk is written
and read in one stream, past the page cache; `flush` waits for stable storage after each 1 MiB.
iperf3's sender has the broker's cores and its receiver the clients', as a broker that is read from.
testpmd (macswap) answers port_bench over the virtual device that a broker with --vdev would have.
What is not there is missing, with the reason.
"""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import bypass_vs_testpmd
import storage_vs_fio
from peers import peer

ROOT = pathlib.Path(__file__).resolve().parents[1]
MB = 1e6
RUN_SECONDS = 120
START_SECONDS = 20


def fio(options, folder, *more):
    """MB/s of one run."""
    command = [peer.program("fio", "fio"), "--name=limit", f"--directory={folder}",
               "--filename=limit", "--ioengine=io_uring", "--direct=1", "--iodepth=8",
               f"--size={options.bytes}", f"--runtime={options.seconds}", "--output-format=json",
               *more]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=RUN_SECONDS, check=True)
    job = storage_vs_fio.fio_json(done.stdout)["jobs"][0]
    return max(job["read"]["bw_bytes"], job["write"]["bw_bytes"]) / MB


def disk(options):
    with tempfile.TemporaryDirectory(prefix="limits_", dir=options.dir) as folder:
        written = fio(options, folder, "--rw=write", "--bs=256k")
        return {
            "disk_write_mb_per_s": written,
            "disk_flush_mb_per_s": fio(options, folder, "--rw=write", "--bs=1m", "--iodepth=1",
                                       "--fdatasync=1", "--overwrite=1"),
            # The file is whole now: overwriting has laid it out.
            "disk_read_mb_per_s": fio(options, folder, "--rw=read", "--bs=256k"),
        }


def listens(port):
    """Without a connection, which iperf3 would take for its one client."""
    wanted = f"{port:04X}"
    rows = pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(row.split()[1].endswith(":" + wanted) and row.split()[3] == "0A" for row in rows)


def loopback(options):
    iperf, port = peer.program("iperf3", "iperf3"), str(peer.free_port())
    broker, clients = peer.split_cores(options.cores)
    with subprocess.Popen([*peer.on_cores(broker), iperf, "-s", "-1", "-4", "-B", peer.HOST, "-p",
                           port], stdout=subprocess.DEVNULL) as server:
        try:
            limit = time.monotonic() + START_SECONDS
            while not listens(int(port)) and time.monotonic() < limit:
                time.sleep(0.02)
            command = [*peer.on_cores(clients), iperf, "-c", peer.HOST, "-p", port, "-R", "-J",
                       "-t", str(options.seconds)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=RUN_SECONDS,
                                  check=True)
        finally:
            server.terminate()
    return {"loopback_mb_per_s":
            json.loads(done.stdout)["end"]["sum_received"]["bits_per_second"] / 8 / MB}


def packets(options):
    if not shutil.which("dpdk-testpmd"):
        raise peer.Missing("dpdk-testpmd is not installed (Debian package dpdk-dev)")
    if os.cpu_count() < 2:
        raise peer.Missing("one core: testpmd and its generator need one each")
    options.port_bench = options.build / "bench" / "port_bench"
    if not options.port_bench.is_file():
        raise peer.Missing(f"{options.port_bench} is not built")
    rate = bypass_vs_testpmd.testpmd(options)
    if rate <= 0:
        raise peer.Missing("no frame came back in that time")
    return {"testpmd_frames_per_s": rate}


def measure(options):
    """Figures by name, and by what is missing why."""
    found, missing = {}, {}
    for part in (disk, loopback, packets):
        try:
            found |= part(options)
        except (peer.Missing, subprocess.SubprocessError, SystemExit, OSError) as reason:
            missing[part.__name__] = str(reason)
    return {"figures": found, "missing": missing, "seconds": options.seconds,
            "load_average": os.getloadavg()[0]}


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--dir", required=True, help="folder on the disk to measure")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    parser.add_argument("--cores", type=int, default=1, help="of the broker (1)")
    parser.add_argument("--seconds", type=int, default=3, help="of each measurement")
    parser.add_argument("--json", type=pathlib.Path, help="file for the figures")
    parser.add_argument("--quick", action="store_true", help="one second each")
    return parser.parse_args()


def ready(options):
    """What the parts read, from what was asked for."""
    options.bytes, options.frame_bytes = 4 << 30, 122
    if options.quick:
        options.bytes, options.seconds = 256 << 20, 1
    return options


def main():
    options = ready(parse())
    report = measure(options)
    for name, figure in report["figures"].items():
        print(f"{name:24} {figure:12.0f}")
    for name, reason in report["missing"].items():
        print(f"{name:24} missing: {reason}")
    if options.json:
        options.json.write_text(json.dumps(report, indent=1), encoding="utf-8")
    sys.exit(0 if report["figures"] else peer.EXIT_MISSING)


if __name__ == "__main__":
    main()
