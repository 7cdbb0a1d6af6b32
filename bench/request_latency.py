#!/usr/bin/env python3
"""Latency of small produce requests over memif, udp:// and tcp:// to one broker, in one run.

    bench/request_latency.py [--build DIR] [--requests N] [--bytes N] [--poll busy|adaptive]
                             [--data DIR]

The broker has one shard and a memif, the client is bound to the last processor; the broker has the
others.  With --poll busy (the default) the shard never sleeps, and over memif neither does the
client.  Two processors at least, with nothing else to do: the machine's own noise is in p99 and
p99.9.  What the shard stores it hands to the kernel between requests, so the disk matters: --data
/dev/shm is an append in memory, the default is where temporary files are.
"""
import argparse
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile
import time

from free_ports import free_port
from servers import end

ROOT = pathlib.Path(__file__).resolve().parents[1]
START_SECONDS = 30
TOPIC = "latency"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    parser.add_argument("--requests", type=int, default=100000)
    parser.add_argument("--bytes", type=int, default=32)
    parser.add_argument("--poll", choices=["busy", "adaptive"], default="busy")
    parser.add_argument("--data", help="the broker's folder is made in this one")
    return parser.parse_args()


def start_broker(wanted, folder, port, cpus):
    log = folder / "log"
    memif = f"id=0,socket-abstract=no,socket={folder}/memif"
    with open(log, "wb") as out:
        broker = subprocess.Popen(
            ["taskset", "-c", ",".join(map(str, cpus)), wanted.build / "control" / "sluiced",
             "--listen", f"127.0.0.1:{port}", "--data", folder / "data", "--shards", "1",
             "--poll", wanted.poll, "--vdev", f"net_memif0,role=server,{memif}",
             "--set", "dpdk.address=10.77.0.1/24", "--set", "dpdk.exception=none",
             "--set", "num.partitions=1"], stdout=out, stderr=out)
    deadline = time.monotonic() + START_SECONDS
    while "ready listen=" not in log.read_text():
        if broker.poll() is not None or time.monotonic() > deadline:
            broker.kill()
            broker.wait()
            sys.exit(f"the broker did not start:\n{log.read_text()}")
        time.sleep(0.05)
    return broker, (f"dpdk:net_memif0,role=client,{memif}?address=10.77.0.2/24"
                    f"&peer=10.77.0.1:{port}&poll={wanted.poll}")


def main():
    wanted = arguments()
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        sys.exit("needs two processors: one for the broker's shard, one for the client")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sluice-latency-", dir=wanted.data))
    port = free_port()
    broker, memif = start_broker(wanted, folder, port, cpus[:-1])
    try:
        print(f"{platform.machine()}, {len(cpus)} processors, load {os.getloadavg()[0]:.1f}; "
              f"{wanted.bytes} B records, acks=1, one under way, poll={wanted.poll}, "
              f"data in {folder.parent}", flush=True)
        return subprocess.run(
            [wanted.build / "bench" / "request_latency", str(cpus[-1]), str(wanted.requests),
             str(wanted.bytes), TOPIC, memif, f"udp://127.0.0.1:{port}",
             f"tcp://127.0.0.1:{port}"], check=False).returncode
    finally:
        end(broker)
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
