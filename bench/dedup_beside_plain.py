#!/usr/bin/env python3
"""A topic with a dedup window beside one without: records a second, and the broker's CPU.

    bench/dedup_beside_plain.py [--build DIR] [--pairs N] [--seconds N] [--values BYTES,...]
                                [--batch BYTES] [--known PERCENT] [--acks N] [--shards N]
                                [--dir DIR] [--json FILE] [--quick]

Both get the same: dedup_load's batches of uncompressed records, each with an id in a header.  A: no
window.  B: dedup.enable=true and else the defaults.  A round is A B B A in one broker, each on a new
topic.  Shards are pinned to a core each and the generator has the others.
"""
import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys

from groups_beside_produce import RUN_SECONDS, Metered, broker, client_cores, spread

OVERHEAD_BYTES = 35  # of a record with its id


def sluice(options, port, *words):
    subprocess.run([options.build / "client" / "sluice", *words, "-b", f"127.0.0.1:{port}"],
                   check=True, stdout=subprocess.DEVNULL, timeout=RUN_SECONDS)


def load(options, pid, port, cores, topic, value_bytes):
    records = max(1, options.batch // (value_bytes + OVERHEAD_BYTES))
    with Metered(pid) as metered:
        run = subprocess.run(
            ["taskset", "-c", ",".join(map(str, cores)), options.build / "bench" / "dedup_load",
             f"127.0.0.1:{port}", "--topic", topic, "--records", str(records),
             "--value", str(value_bytes), "--known", str(options.known),
             "--acks", str(options.acks), "--seconds", str(options.seconds)],
            check=True, stdout=subprocess.PIPE, text=True, timeout=RUN_SECONDS)
    found = json.loads(run.stdout) | {"cpu": metered.cpu}
    found["shards_us"] = metered.cpu["shards"] * 1e6 / found["records"]
    found["all_us"] = sum(metered.cpu.values()) * 1e6 / found["records"]
    return found


def one_round(options, pid, port, cores, value_bytes, number):
    runs = {"A": [], "B": []}
    for index, which in enumerate("ABBA"):
        topic = f"{which.lower()}-{value_bytes}-{number}-{index}"
        sluice(options, port, "topic", "create", topic, "-c",
               f"dedup.enable={'true' if which == 'B' else 'false'}")
        runs[which].append(load(options, pid, port, cores, topic, value_bytes))
        sluice(options, port, "topic", "delete", topic)
    return runs


def show(value_bytes, rounds):
    print(f"values of {value_bytes} bytes: median (smallest .. largest)")
    for name, key, scale, digits in (("records/s, thousands", "rate", 1e-3, 0),
                                     ("shards' CPU s a million", "shards_us", 1, 3),
                                     ("the broker's CPU s a million", "all_us", 1, 3)):
        a, b = ([run[key] * scale for one in rounds for run in one[which]] for which in "AB")
        ratios = [statistics.mean(run[key] for run in one["B"]) /
                  statistics.mean(run[key] for run in one["A"]) for one in rounds]
        print(f"  {name:28} {spread(a, digits):>28}  {spread(b, digits):>28}   "
              f"B/A {spread(ratios)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=pathlib.Path,
                        default=pathlib.Path(__file__).resolve().parents[1] / "build")
    parser.add_argument("--pairs", type=int, default=5, help="rounds of A B B A")
    parser.add_argument("--seconds", type=int, default=2, help="of each run")
    parser.add_argument("--values", default="100,1000", help="bytes of a record's value")
    parser.add_argument("--batch", type=int, default=16384, help="bytes of a batch, about")
    parser.add_argument("--known", type=int, default=0, help="of a hundred ids, sent before")
    parser.add_argument("--acks", type=int, default=1)
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--dir", default="/dev/shm" if os.path.isdir("/dev/shm") else None)
    parser.add_argument("--json", help="file for the report")
    parser.add_argument("--quick", action="store_true", help="that it runs; figures mean nothing")
    options = parser.parse_args()
    if options.quick:
        options.pairs, options.seconds = 1, 1
    sizes = [int(each) for each in options.values.split(",")]
    found = {size: [] for size in sizes}
    with broker(options) as (pid, port):
        cores = client_cores(pid)
        for number in range(options.pairs):
            for size in sizes:
                found[size].append(one_round(options, pid, port, cores, size, number))
    print(f"{platform.machine()}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}; "
          f"{options.shards} shard(s), batches of {options.batch} bytes, acks={options.acks}, "
          f"{options.known} % known")
    for size in sizes:
        show(size, found[size])
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
