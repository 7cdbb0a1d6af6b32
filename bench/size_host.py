#!/usr/bin/env python3
"""What this host can do: starts a broker of its own and measures it with sluice-bench.

    bench/size_host.py [--build build] [--dir DIR] [--cores N] [--durability default|flush]
                       [--out DIR] [FLAG OF sluice-bench run...]

The broker's data lies in a folder below DIR, which has to be on the disk that matters, and goes
with it.  Without --workload it runs produce, consume, latency and mixed, a minute altogether.  The
report is written to DIR/report: results.json and report.html.
"""
import argparse
import os
import pathlib
import subprocess
import sys

from peers import peer
from peers.sluice import Sluice

WORKLOADS = ("produce", "consume", "latency", "mixed")
ACKS = {"default": "1", "flush": "all"}


def parse():
    parser = argparse.ArgumentParser(
        description="Measures a broker of its own; other flags go to `sluice-bench run`.",
        allow_abbrev=False)
    parser.add_argument("--build", default="build", help="build folder (build)")
    parser.add_argument("--dir", default=".cache/bench", help="on the disk to be measured")
    parser.add_argument("--cores", type=int, default=max(1, (os.cpu_count() or 1) - 1),
                        help="of the broker (all but one)")
    parser.add_argument("--durability", choices=ACKS, default="flush",
                        help="default: acks=1; flush: acks=all (flush)")
    parser.add_argument("--out", help="folder for the report (DIR/report)")
    parser.add_argument("--json", help="the results (OUT/results.json)")
    parser.add_argument("--html", help="the charts (OUT/report.html)")
    return parser.parse_known_args()


def main():
    options, flags = parse()
    folder = pathlib.Path(options.dir)
    out = pathlib.Path(options.out or folder / "report")
    out.mkdir(parents=True, exist_ok=True)
    json, html = options.json or out / "results.json", options.html or out / "report.html"
    if not any(flag.split("=")[0] == "--workload" for flag in flags):
        flags = [word for name in WORKLOADS for word in ("--workload", name)] + flags
    try:
        with Sluice(options.durability, options.cores, folder, options.build) as broker:
            pids = [word for pid in broker.pids for word in ("--pid", str(pid))]
            done = subprocess.run(
                [pathlib.Path(options.build) / "bench/suite/sluice-bench", "run", "--url",
                 broker.url, *pids, "--set", f"acks={ACKS[options.durability]}", "--data", folder,
                 "--json", json, "--html", html, *flags],
                check=False)
    except peer.Missing as why:
        sys.exit(f"size_host: {why}")
    if done.returncode == 0:
        print(f"{html} has the charts, {json} the figures")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
