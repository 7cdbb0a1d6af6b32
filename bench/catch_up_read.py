#!/usr/bin/env python3
"""A consumer that reads a log from its start, beside what the disk and loopback TCP can give.

    bench/catch_up_read.py [--build DIR] [--dir DIR] [--gib N] [--partitions 1,16] [--pairs N]
                           [--shards N] [--buffer-bytes N] [--peer BUILD] [--json FILE] [--quick]

Before each run the broker is started anew, so that its tail buffers are empty, and what the kernel's
page cache has of the log is dropped.  A: catch_up_load, one Fetch at a time over one connection, as a consumer
does.  B: fio reads the same files one after the other (io_uring, O_DIRECT, 1 MiB, four under way),
and iperf3 sends as much over loopback.  Rounds are A B B A; a round's figures are the means of its
two runs.  What counts is A against the lesser of the two B of its round, the median over the rounds
with the smallest and the largest, and the broker's CPU seconds a GB.  With --peer another build
takes its turns in the same rounds, over the same data.
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
import tempfile
import time

from free_ports import free_port
from servers import end

START_SECONDS, RUN_SECONDS = 20, 300
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
TOPIC = "catch-up"


def run(command):
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, check=True,
                          timeout=RUN_SECONDS)
    return done.stdout.decode()


def run_json(command):
    text = run(command)
    return json.loads(text[text.index("{"):])


# ---- the broker ----

@contextlib.contextmanager
def broker(options, build, data):
    port = free_port()
    with tempfile.NamedTemporaryFile("w+", encoding="utf-8") as log:
        process = subprocess.Popen(
            [build / "control" / "sluiced", "--listen", f"127.0.0.1:{port}", "--data", data,
             "--shards", str(options.shards),
             "--set", f"log.buffer.bytes={options.buffer_bytes}"], stdout=log, stderr=log)
        try:
            limit = time.monotonic() + START_SECONDS
            while "ready listen=" not in pathlib.Path(log.name).read_text(encoding="utf-8"):
                if process.poll() is not None or time.monotonic() > limit:
                    log.seek(0)
                    raise SystemExit(f"the broker did not start:\n{log.read()}")
                time.sleep(0.05)
            yield process.pid, f"127.0.0.1:{port}"
        finally:
            end(process)


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


def fill(options, data, partitions):
    with broker(options, options.build, data) as (_, address):
        run([options.build / "client" / "sluice", "-b", address, "topic", "create", TOPIC,
             "--partitions", partitions])
        return run_json([options.build / "bench" / "catch_up_load", "fill", address, "--partitions",
                         partitions, "--bytes", int(options.gib * 2**30)])["bytes"]


def segments(data):
    return sorted(pathlib.Path(data).glob("topics/*/*/*.log"))


def drop_cached(data):
    for file in segments(data):
        descriptor = os.open(file, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


# ---- one run of each ----

def run_reader(options, build, data, partitions, size):
    drop_cached(data)
    with broker(options, build, data) as (pid, address):
        before = cpu_seconds(pid)
        result = run_json([options.build / "bench" / "catch_up_load", "read", address,
                           "--partitions", partitions, "--bytes", size])
        cpu = cpu_seconds(pid) - before
    if result["bytes"] != size:
        raise SystemExit(f"{result['bytes']} bytes of {size} were read")
    return {"mb_per_s": result["mb_per_s"], "cpu_s_per_gb": cpu / (size / 1e9)}


def run_fio(data, size):
    """Each file as far as there is something in it."""
    drop_cached(data)
    files = [file for file in segments(data) if file.stat().st_size > 1 << 20]
    result = run_json(["fio", "--name=read", "--ioengine=io_uring", "--direct=1", "--rw=read",
                       "--bs=1M", "--iodepth=4", "--readonly", "--file_service_type=sequential",
                       "--filename=" + ":".join(map(str, files)), f"--io_size={size}",
                       "--output-format=json"])
    return {"mb_per_s": result["jobs"][0]["read"]["bw_bytes"] / 1e6}


def run_iperf(size):
    port = free_port()
    server = subprocess.Popen(["iperf3", "-s", "-1", "-B", "127.0.0.1", "-p", str(port)],
                              stdout=subprocess.DEVNULL)
    try:
        for _ in range(100):
            time.sleep(0.02)
            client = subprocess.run(["iperf3", "-c", "127.0.0.1", "-p", str(port), "-n", str(size),
                                     "-J"], stdout=subprocess.PIPE, timeout=RUN_SECONDS, check=False)
            if client.returncode == 0:
                break
        else:
            raise SystemExit("iperf3 does not run")
    finally:
        end(server)
    return {"mb_per_s": json.loads(client.stdout)["end"]["sum_received"]["bits_per_second"] / 8e6}


# ---- rounds ----

def one_round(options, data, partitions, size):
    taken = {"sluice": [], "peer": [], "fio": [], "iperf3": []}
    for who in ("a", "b", "b", "a"):
        if who == "b":
            taken["fio"].append(run_fio(data, size))
            taken["iperf3"].append(run_iperf(size))
            continue
        for name, build in options.builds if taken["fio"] else reversed(options.builds):
            taken[name].append(run_reader(options, build, data, partitions, size))
    return {name: {key: statistics.fmean(one[key] for one in ones) for key in ones[0]}
            for name, ones in taken.items() if ones}


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def summary(rounds, names):
    result = {f"{name}_mb_per_s": spread([one[name]["mb_per_s"] for one in rounds])
              for name in [*names, "fio", "iperf3"]}
    for name in names:
        result[f"{name}_cpu_s_per_gb"] = spread([one[name]["cpu_s_per_gb"] for one in rounds])
        result[f"{name}_share"] = spread(
            [one[name]["mb_per_s"] / min(one["fio"]["mb_per_s"], one["iperf3"]["mb_per_s"])
             for one in rounds])
    if len(names) > 1:
        for key in ("mb_per_s", "cpu_s_per_gb"):
            result[f"sluice_to_peer_{key}"] = spread(
                [one["sluice"][key] / one["peer"][key] for one in rounds])
    return result


def measure(options, partitions):
    with tempfile.TemporaryDirectory(prefix="catch_up_", dir=options.dir) as folder:
        data = f"{folder}/data"
        size = fill(options, data, partitions)
        rounds = [one_round(options, data, partitions, size) for _ in range(options.pairs)]
    result = summary(rounds, [name for name, _ in options.builds])
    print(f"{partitions} partition(s), {size / 1e9:.2f} GB")
    for key, figures in result.items():
        print(f"  {key:<24} {figures['median']:>9.3f} ({figures['min']:.3f} .. "
              f"{figures['max']:.3f})", flush=True)
    return {"partitions": partitions, "bytes": size, "summary": result, "rounds": rounds}


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build"))
    parser.add_argument("--peer", type=pathlib.Path, help="another build, measured beside")
    parser.add_argument("--dir", help="folder on the disk to measure")
    parser.add_argument("--gib", type=float, default=2, help="size of the log")
    parser.add_argument("--partitions", default="1,16")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--buffer-bytes", default="512MiB", help="log.buffer.bytes")
    parser.add_argument("--json", help="file for all figures")
    parser.add_argument("--quick", action="store_true", help="a smoke test; says nothing of speed")
    options = parser.parse_args()
    if options.quick:
        options.gib, options.pairs, options.partitions = 1 / 64, 1, "2"
    options.builds = [("sluice", options.build)]
    if options.peer:
        options.builds.append(("peer", options.peer))
    return options


def main():
    options = parse_args()
    for program in ("fio", "iperf3"):
        if not shutil.which(program):
            raise SystemExit(f"{program} is not installed (Debian package {program})")
    report = {"cpus": os.cpu_count(), "kernel": platform.release(),
              "load_average": os.getloadavg()[0]}
    print(" ".join(f"{key}={value}" for key, value in report.items()))
    report["results"] = [measure(options, int(number))
                         for number in options.partitions.split(",")]
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(report, file, indent=1)


if __name__ == "__main__":
    main()
