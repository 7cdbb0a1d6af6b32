#!/usr/bin/env python3
"""The storage engine beside fio: same disk, same block size, same durability, same run.

    storage_vs_fio.py --bench build/bench/storage_bench --dir DIR [--pairs 5] [--quick] [SCENARIO...]

Each pair runs engine, fio, fio, engine (A B B A), so that a drift of the machine meets both alike;
a pair's figures are the means of its two runs, and what counts is their ratio: its median over the
pairs, with the smallest and the largest.  Absolute figures of one run mean little.

What is compared with what is told in README.md beside this file.
"""
import argparse
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

MIB = 1 << 20
BANDWIDTH_AIM = 0.95
CPU_AIM = 1.2


class Scenario:
    """One comparison.

    files: of fio, and partitions of the engine; baseline: "fresh", fio appends to files it has
    just made (unwritten extents, as a new log has), or "written", it overwrites blocks that were
    written before the clock started.
    """

    def __init__(self, name, ack, block, depth, files=1, mbytes=0, seconds=0.0, baseline="fresh",
                 rounds=False):
        self.name, self.ack, self.block, self.depth = name, ack, block, depth
        self.files, self.mbytes, self.seconds = files, mbytes, seconds
        self.baseline, self.rounds = baseline, rounds

    def quick(self):
        self.mbytes = min(self.mbytes, 32) or 32
        self.seconds = min(self.seconds, 0.3) or 0.3
        return self


def scenarios():
    kib = 1024
    return [
        Scenario("submitted-256k", "submitted", 256 * kib, 8, mbytes=4096, seconds=2),
        Scenario("submitted-16k", "submitted", 16 * kib, 32, mbytes=2048, seconds=2),
        Scenario("submitted-16k-64p", "submitted", 16 * kib, 64, files=64, mbytes=2048, seconds=2),
        Scenario("durable-256k", "durable", 256 * kib, 8, mbytes=4096, seconds=2),
        Scenario("durable-256k-64p", "durable", 256 * kib, 64, files=64, mbytes=4096, seconds=2),
        Scenario("durable-16k", "durable", 16 * kib, 32, mbytes=2048, seconds=2),
        Scenario("durable-16k-64p", "durable", 16 * kib, 64, files=64, mbytes=2048, seconds=2),
        Scenario("durable-16k-one", "durable", 16 * kib, 1, mbytes=2048, seconds=2),
        Scenario("durable-16k-one-written", "durable", 16 * kib, 1, mbytes=512, seconds=2,
                 baseline="written"),
        Scenario("durable-4k-1000p", "durable", 4 * kib, 1000, files=1000, mbytes=1000, seconds=2,
                 baseline="written", rounds=True),
    ]


# ---- one run of each ----

def run_engine(args, scenario, folder):
    command = [args.bench, "--dir", folder, "--io", args.io, "--ack", scenario.ack,
               "--batch", str(scenario.block), "--partitions", str(scenario.files),
               "--depth", str(scenario.depth), "--bytes", str(scenario.mbytes * MIB),
               "--seconds", str(scenario.seconds)]
    if scenario.rounds:
        command.append("--rounds")
    if args.quick:
        command += ["--buffer-bytes", str(32 * MIB)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=args.timeout)
    return json.loads(done.stdout)


def fio_command(scenario, folder, appends_per_flush):
    command = ["fio", "--name=fio", f"--directory={folder}", "--ioengine=io_uring", "--direct=1",
               "--rw=write", f"--bs={scenario.block}", f"--iodepth={scenario.depth}",
               f"--size={scenario.mbytes * MIB}", f"--nrfiles={scenario.files}",
               f"--openfiles={scenario.files}", "--file_service_type=roundrobin:1",
               "--output-format=json"]
    if scenario.ack == "durable":
        command.append(f"--fdatasync={max(1, round(appends_per_flush))}")
    if scenario.baseline == "written":
        command.append("--overwrite=1")
    return command


def run_measured(command, timeout):
    """Standard output and the CPU seconds of the command, io_uring's workers included: they are
    threads of it, which fio's own figures leave out."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdout=output)
        deadline = time.monotonic() + timeout
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > deadline:
                process.kill()
            time.sleep(0.02)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)
        output.seek(0)
        return output.read().decode(), usage.ru_utime + usage.ru_stime


def fio_json(text):
    return json.loads(text[text.index("{"):])


def fio_start_cost(scenario, timeout):
    """CPU seconds of a fio that opens the same number of files and writes one block to each."""
    with tempfile.TemporaryDirectory(prefix="fio.", dir=scenario.folder) as folder:
        size = scenario.block * scenario.files
        command = [part for part in fio_command(scenario, folder, 1)
                   if not part.startswith(("--size", "--fdatasync", "--overwrite"))]
        return run_measured(command + [f"--size={size}"], timeout)[1]


def run_fio(args, scenario, folder, appends_per_flush, start_cost):
    with tempfile.TemporaryDirectory(prefix="fio.", dir=folder) as own:
        command = fio_command(scenario, own, appends_per_flush)
        if scenario.baseline == "written":
            subprocess.run(command + ["--create_only=1"], check=True, stdout=subprocess.DEVNULL,
                           timeout=args.timeout)
        text, cpu = run_measured(command + [f"--runtime={scenario.seconds}"], args.timeout)
        write = fio_json(text)["jobs"][0]["write"]
        total = write["io_bytes"]
        return {"mb_per_s": write["bw_bytes"] / 1e6,
                "cpu_s_per_gb": max(cpu - start_cost, 0.0) / (total / 1e9)}


# ---- pairs ----

def mean(results, key):
    return statistics.fmean(result[key] for result in results)


def run_pair(args, scenario, folder, start_cost):
    first = run_engine(args, scenario, folder)
    per_flush = first["appends_per_flush"] or 1
    fio = [run_fio(args, scenario, folder, per_flush, start_cost) for _ in range(2)]
    engine = [first, run_engine(args, scenario, folder)]
    pair = {"fdatasync_every": round(per_flush)}
    for key in ("mb_per_s", "cpu_s_per_gb"):
        pair["engine_" + key] = mean(engine, key)
        pair["fio_" + key] = mean(fio, key)
        pair["ratio_" + key] = (pair["engine_" + key] / pair["fio_" + key]
                                if pair["fio_" + key] else float("nan"))
    pair["engine_runs"] = engine
    return pair


def summary(pairs, key):
    values = [pair[key] for pair in pairs]
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def run_scenario(args, scenario, folder):
    scenario.folder = folder
    start_cost = min(fio_start_cost(scenario, args.timeout) for _ in range(3))
    pairs = []
    for number in range(args.pairs):
        print(f"  {scenario.name}: pair {number + 1} of {args.pairs}", file=sys.stderr)
        pairs.append(run_pair(args, scenario, folder, start_cost))
    keys = [f"{who}_{what}" for who in ("engine", "fio", "ratio")
            for what in ("mb_per_s", "cpu_s_per_gb")]
    return {"name": scenario.name, "ack": scenario.ack, "block_bytes": scenario.block,
            "depth": scenario.depth, "partitions": scenario.files, "baseline": scenario.baseline,
            "summary": {key: summary(pairs, key) for key in keys}, "pairs": pairs}


# ---- what it ran on ----

def first_match(path, pattern):
    try:
        with open(path) as file:
            found = re.search(pattern, file.read(), re.MULTILINE)
            return found.group(1).strip() if found else "unknown"
    except OSError:
        return "unknown"


def device_of(folder):
    number = os.stat(folder).st_dev
    return os.path.realpath(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")


def mount_of(folder):
    """File system and options, of the longest mount point that the folder lies below."""
    best = ("", "unknown", "")
    with open("/proc/self/mounts") as mounts:
        for line in mounts:
            _, point, kind, options = line.split()[:4]
            inside = os.path.realpath(folder) + "/"
            if inside.startswith(point.rstrip("/") + "/") and len(point) >= len(best[0]):
                best = (point, kind, options)
    return best[1:]


def machine(folder):
    kind, options = mount_of(folder)
    device = device_of(folder)
    return {
        "cpu": first_match("/proc/cpuinfo", r"^model name\s*:\s*(.*)$"),
        "cpus": os.cpu_count(),
        "memory_kib": first_match("/proc/meminfo", r"^MemTotal:\s*(\d+)"),
        "kernel": platform.release(),
        "file_system": kind,
        "mount_options": options,
        "device": os.path.basename(device),
        "device_cache": first_match(device + "/queue/write_cache", r"(.*)"),
        "fio": subprocess.run(["fio", "--version"], stdout=subprocess.PIPE,
                              check=True).stdout.decode().strip(),
        "load_average": os.getloadavg()[0],
    }


# ---- the report ----

def cell(figures):
    return f"{figures['median']:.2f} ({figures['min']:.2f}-{figures['max']:.2f})"


def verdict(result):
    bandwidth = result["summary"]["ratio_mb_per_s"]["median"]
    cpu = result["summary"]["ratio_cpu_s_per_gb"]["median"]
    missed = []
    if bandwidth < BANDWIDTH_AIM:
        missed.append("bandwidth")
    if cpu > CPU_AIM:
        missed.append("cpu")
    return "misses " + ", ".join(missed) if missed else "meets both"


def print_head(report):
    print(" ".join(f"{key}={value!r}" for key, value in report["machine"].items()))
    print(f"aim: bandwidth at least {BANDWIDTH_AIM} of fio's, CPU per byte at most {CPU_AIM} of it;"
          f" {report['pairs']} pairs, median (min-max)\n")
    print(f"{'scenario':<24} {'MB/s':>7} {'fio':>7} {'bandwidth ratio':>18} {'CPU s/GB':>9} "
          f"{'fio':>7} {'CPU ratio':>18}  against the aim", flush=True)


def print_row(result):
    figures = result["summary"]
    print(f"{result['name']:<24} {figures['engine_mb_per_s']['median']:>7.0f} "
          f"{figures['fio_mb_per_s']['median']:>7.0f} {cell(figures['ratio_mb_per_s']):>18} "
          f"{figures['engine_cpu_s_per_gb']['median']:>9.3f} "
          f"{figures['fio_cpu_s_per_gb']['median']:>7.3f} "
          f"{cell(figures['ratio_cpu_s_per_gb']):>18}  {verdict(result)}", flush=True)


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--bench", required=True, help="path of storage_bench")
    parser.add_argument("--dir", required=True, help="folder on the disk to measure")
    parser.add_argument("--io", choices=["uring", "sync"], default="uring")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--timeout", type=float, default=120, help="seconds, of one run")
    parser.add_argument("--json", help="file for all figures")
    parser.add_argument("--quick", action="store_true",
                        help="a smoke test: one pair of tiny runs, ratios mean nothing")
    parser.add_argument("scenario", nargs="*", help="names or beginnings of names; all when none")
    args = parser.parse_args()
    if args.quick:
        args.pairs = 1
    return args


def chosen(args):
    found = [s for s in scenarios()
             if not args.scenario or any(s.name.startswith(name) for name in args.scenario)]
    if not found:
        sys.exit("no such scenario; there are: " + ", ".join(s.name for s in scenarios()))
    return [s.quick() for s in found] if args.quick else found


def main():
    args = parse_args()
    if not shutil.which("fio"):
        sys.exit("fio is not installed (Debian package fio)")
    report = {"machine": machine(args.dir), "pairs": args.pairs, "scenarios": []}
    with tempfile.TemporaryDirectory(prefix="storage_vs_fio.", dir=args.dir) as folder:
        print_head(report)
        for scenario in chosen(args):
            report["scenarios"].append(run_scenario(args, scenario, folder))
            print_row(report["scenarios"][-1])
    if args.json:
        with open(args.json, "w") as file:
            json.dump(report, file, indent=1)


if __name__ == "__main__":
    main()
