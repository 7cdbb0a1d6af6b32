#!/usr/bin/env python3
"""Sluice and its peers in one run, taking turns, and what the host can do beside them.

    bench/peers.py [--build build] [--out DIR] [--rounds 3] [--seconds 4] [--rate N] [--cores 1]
                   [--only LABEL,...] [--measure NAME,...] [--results FILE] [--quick]

Writes a folder: the result files of sluice-bench in runs/, what it had to do with brokers in
peers.json, limits.json, storage.json, catch-up.json, the page report.html, and RESULTS.md.
`--from DIR` writes the last two again from a folder that is there.  peers/README.md says what is
compared and why that is fair, peers/plan.py what is measured and in which order.  --quick shows
that all of it runs; Ctrl-C ends a run early and reports what there is.
"""
import argparse
import datetime
import json
import pathlib
import shlex
import subprocess
import sys
import time

import limits
import storage_vs_fio
from peers import peer, plan, processes, results

ROOT = pathlib.Path(__file__).resolve().parents[1]
STORAGE_SCENARIOS = ("submitted-256k", "durable-256k", "durable-16k-64p")
QUICK_MEASURES = "produce,latency,catch-up,produce-flush"
QUICK_CONTENDERS = ",".join(("sluice", *plan.PEERS))
RUN_SECONDS = 60  # of one run, at most; what takes longer is not tried again
BESIDE_SECONDS = 300
SETTLE_SECONDS, IDLE_SECONDS = 1, 2


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    parser.add_argument("--out", type=pathlib.Path, help="folder for the figures (a new one in "
                                                         ".cache/bench)")
    parser.add_argument("--dir", type=pathlib.Path, default=ROOT / ".cache" / "bench",
                        help="folder on the disk to measure (.cache/bench)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4, help="measured of each run (4)")
    parser.add_argument("--warm-up", type=int, default=1)
    parser.add_argument("--partitions", type=int, default=16)
    parser.add_argument("--rate", type=int, default=2000, help="records a second for latencies")
    parser.add_argument("--flush-rate", type=int, default=200, help="the same, flushed")
    parser.add_argument("--backlog", type=int, default=256,
                        help="MiB that a reader catches up with")
    parser.add_argument("--cores", type=int, default=1, help="of each broker (1)")
    parser.add_argument("--only", help="labels of contenders, with commas between")
    parser.add_argument("--measure", help="names of measures, with commas between")
    parser.add_argument("--peers-only", action="store_true", help="without the host's limits")
    parser.add_argument("--results", type=pathlib.Path,
                        help="also write RESULTS.md here, if it was no quick run")
    parser.add_argument("--from", dest="from_folder", type=pathlib.Path,
                        help="measure nothing; report on this folder")
    parser.add_argument("--quick", action="store_true",
                        help="one round of one second each: that it runs, figures mean nothing")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds, options.backlog = 1, 1, 8
        options.measure = options.measure or QUICK_MEASURES
        options.only = options.only or QUICK_CONTENDERS
    return options


def some(everything, names, of):
    """Those whose `of` is among the names; all, where none are given."""
    if not names:
        return tuple(everything)
    wanted = names.split(",")
    unknown = set(wanted) - {getattr(one, of) for one in everything}
    if unknown:
        sys.exit(f"no {', '.join(sorted(unknown))}; there are: "
                 + ", ".join(getattr(one, of) for one in everything))
    return tuple(one for one in everything if getattr(one, of) in wanted)


def said(done):
    return " / ".join((done.stderr or done.stdout).strip().splitlines()[-3:])


class Campaign:
    """One run of everything; `story` is what peers.json will hold."""

    def __init__(self, options):
        self.options, self.begun = options, time.monotonic()
        self.program = options.build / "bench" / "suite" / "sluice-bench"
        self.drivers = drivers(self.program)
        self.runs = options.out / "runs"
        self.too_slow = set()
        self.story = {"machine": storage_vs_fio.machine(options.dir), "commit": commit(),
                      "started": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
                      "command": self.shown(["bench/peers.py", *sys.argv[1:]]),
                      "quick": options.quick, "whole": False, "rounds": options.rounds,
                      "cores": options.cores, "seconds": options.seconds, "settings": {},
                      "measures": [], "contenders": [], "stays": [], "runs": [], "missing": []}

    def say(self, text):
        print(f"[{time.monotonic() - self.begun:5.0f} s] {text}", file=sys.stderr, flush=True)

    def shown(self, command):
        """As somebody else would type it."""
        text = shlex.join(command)
        options = self.options
        for path, name in ((self.program, "sluice-bench"), (options.build, "BUILD"),
                           (options.out, "OUT"), (options.dir, "DIR"), (ROOT, ".")):
            text = text.replace(str(path), name)
        return text

    def lacks(self, stay, measure, reason):
        self.story["missing"].append({"contender": stay.contender.label, "round": stay.round,
                                      "durability": stay.durability, "measure": measure,
                                      "reason": str(reason)})
        self.say(f"  missing: {reason}")

    # ---- one stay ----

    def load(self, stay, broker, workload, settings, *more):
        """One run of sluice-bench: its command and how it ended, None: not in time."""
        command = [*peer.on_cores(broker.client_cores), self.program, "run", "--driver",
                   stay.contender.driver, "--url", broker.url, "--workload", workload, *more]
        for key, value in (settings | {"acks": stay.contender.acks[stay.durability]}).items():
            command += ["--set", f"{key}={value}"]
        command = [str(word) for word in command]
        try:
            return command, subprocess.run(command, stdin=subprocess.DEVNULL, text=True,
                                           stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                           timeout=RUN_SECONDS)
        except subprocess.TimeoutExpired:
            return command, None

    def warm(self, stay, broker):
        seconds = 1 if self.options.quick else broker.warm_seconds
        if broker.warm_seconds:
            self.load(stay, broker, "produce", {"warmupDuration": "0s", "duration": f"{seconds}s",
                                                "subscriptionsPerTopic": 1})

    def run_measure(self, stay, broker, measure):
        file = self.runs / f"{stay.round}-{measure.name}-{stay.contender.label}.json"
        pids = [word for pid in broker.pids for word in ("--pid", pid)]
        command, done = self.load(stay, broker, measure.workload,
                                  measure.settings | {"name": measure.name}, "--label",
                                  stay.contender.label, "--data", broker.folder, "--json", file,
                                  *pids)
        if done is None:
            self.too_slow.add((stay.contender.label, measure.name))
            self.lacks(stay, measure.name, f"not done after {RUN_SECONDS} s")
            return
        if done.returncode or not file.is_file():
            self.lacks(stay, measure.name, said(done) or f"ended with {done.returncode}")
            return
        self.story["runs"].append({"contender": stay.contender.label, "round": stay.round,
                                   "measure": measure.name, "file": file.name,
                                   "command": self.shown(command)})
        self.say(f"  {measure.name}: done")

    def idle(self, broker):
        """What it takes when nobody asks it anything."""
        time.sleep(SETTLE_SECONDS)
        before, begun = processes.cpu_seconds(broker.pids), time.monotonic()
        time.sleep(0.5 if self.options.quick else IDLE_SECONDS)
        spent = processes.cpu_seconds(broker.pids) - before
        return {"idle_bytes": processes.resident_bytes(broker.pids),
                "idle_cores": spent / (time.monotonic() - begun)}

    def stay(self, stay):
        contender = stay.contender
        if contender.driver not in self.drivers:
            self.lacks(stay, "", f"sluice-bench was built without its driver {contender.driver}")
            return
        more = dict(contender.of)
        if contender.kind.name == "sluice":
            more["build"] = self.options.build
        try:
            with contender.kind(stay.durability, self.options.cores, self.options.dir,
                                **more) as broker:
                self.story["settings"][contender.kind.name] = list(broker.settings)
                self.story["stays"].append({"contender": contender.label, "round": stay.round,
                                            "durability": stay.durability,
                                            "version": broker.version,
                                            "start_s": broker.start_seconds} | self.idle(broker))
                self.warm(stay, broker)
                for measure in stay.measures:
                    if (contender.label, measure.name) in self.too_slow:
                        self.lacks(stay, measure.name, "not tried again")
                        continue
                    self.run_measure(stay, broker, measure)
        except peer.Missing as reason:
            self.lacks(stay, "", reason)

    # ---- all of it ----

    def measure(self):
        wanted = some(plan.measures(self.options), self.options.measure, "name")
        contenders = some(plan.CONTENDERS, self.options.only, "label")
        self.story["measures"] = [{"name": measure.name, "title": measure.title,
                                   "durability": measure.durability, "columns": measure.columns,
                                   "settings": measure.settings} for measure in wanted]
        self.story["contenders"] = [{"label": one.label, "note": one.note} for one in contenders]
        todo = plan.stays(self.options.rounds, contenders, wanted)
        begun = time.monotonic()
        for number, stay in enumerate(todo):
            left = (time.monotonic() - begun) / number * (len(todo) - number) if number else None
            self.say(f"{number + 1} of {len(todo)}: round {stay.round + 1}, "
                     f"{stay.contender.label}, {stay.durability}"
                     + (f"; some {left / 60:.0f} min left" if left else ""))
            self.stay(stay)
            self.keep()

    def host(self):
        options = self.options
        self.say("the host's limits")
        asked = argparse.Namespace(dir=options.dir, build=options.build, cores=options.cores,
                                   seconds=3, quick=options.quick)
        self.write("limits.json", limits.measure(limits.ready(asked)))
        self.beside("storage", "storage_vs_fio.py", "--bench",
                    options.build / "bench" / "storage_bench", "--pairs", "2", *STORAGE_SCENARIOS)
        self.beside("catch-up", "catch_up_read.py", "--build", options.build, "--pairs", "2",
                    "--gib", "1", "--partitions", "1")

    def beside(self, name, program, *arguments):
        """A program of this folder that compares one part with the host itself."""
        self.say(f"{program}, by itself")
        command = [sys.executable, ROOT / "bench" / program, *arguments, "--dir", self.options.dir,
                   "--json", self.options.out / f"{name}.json",
                   *(["--quick"] if self.options.quick else [])]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True, timeout=BESIDE_SECONDS)
            reason = said(done) if done.returncode else ""
        except subprocess.TimeoutExpired:
            reason = f"not done after {BESIDE_SECONDS} s"
        if reason:
            self.story["missing"].append({"contender": "sluice", "round": 0, "durability": "",
                                          "measure": program, "reason": reason})

    def write(self, name, content):
        (self.options.out / name).write_text(json.dumps(content, indent=1), encoding="utf-8")

    def keep(self):
        self.write("peers.json", self.story)


def drivers(program):
    """Those that sluice-bench was built with: its list's first part, a name a line."""
    if not program.is_file():
        sys.exit(f"{program} is not built (./dev build)")
    done = subprocess.run([program, "list"], stdout=subprocess.PIPE, text=True, check=True)
    rows = done.stdout.split("\n\n")[0].splitlines()[1:]
    return [row.split()[0] for row in rows]


def commit():
    done = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty", "--abbrev=12"],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return done.stdout.strip() or "unknown"


def report(options):
    """The page and the tables, from the folder."""
    program = options.build / "bench" / "suite" / "sluice-bench"
    files = sorted((options.out / "runs").glob("*.json"))
    if files:
        done = subprocess.run([program, "report", *files, "--html", options.out / "report.html"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            print(f"no page: {said(done)}", file=sys.stderr)
    found = results.read(options.out)
    text = results.markdown(found)
    (options.out / "RESULTS.md").write_text(text, encoding="utf-8")
    if options.results and not found["quick"]:
        options.results.write_text(text, encoding="utf-8")
    print(text)
    print(f"all of it: {options.out}", file=sys.stderr)


def main():
    options = parse()
    if options.from_folder:
        options.out = options.from_folder
        report(options)
        return
    options.dir.mkdir(parents=True, exist_ok=True)
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    options.out = options.out or ROOT / ".cache" / "bench" / f"peers-{now}"
    campaign = Campaign(options)
    if options.out.exists():
        sys.exit(f"{options.out} is there already; --from reports on it")
    campaign.runs.mkdir(parents=True)
    try:
        if not options.peers_only:
            campaign.host()
        campaign.measure()
        campaign.story["whole"] = True
    except KeyboardInterrupt:
        campaign.say("stopped; what there is is reported")
    campaign.keep()
    report(options)


if __name__ == "__main__":
    main()
