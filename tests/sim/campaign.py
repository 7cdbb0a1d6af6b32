#!/usr/bin/env python3
"""Seeds of the simulated world, many at a time.

    campaign.py --program SLUICED_SIM [--seeds N] [--first S] [--seconds T] [--plant NAME]
    campaign.py --program SLUICED_SIM --seed S [--plant NAME]
    campaign.py --program SLUICED_SIM --plants

Runs seeds on all cores, has tests/history judge what each left, and shows how it gets on.  Of a seed
that failed it says what was wrong and how to see it again, and keeps its logs.  With --seed that one
alone, with all that the broker logged.  With --plants each planted bug until a seed finds it.  Ends
with 1 where something was found (a plant: was not).
"""

import argparse
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import runs

TICK_SECONDS = 10
FINDINGS_MAX = 20
PLANT_SEEDS_MAX = 2000

worker = None


def begin(*options):
    # Control-C is for the parent, which ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    global worker
    worker = runs.Runner(*options)


def run_one(seed):
    verdict = worker.run(seed)
    if not verdict.wrong:
        verdict.history, verdict.log = b"", ""
    return verdict


def verdicts(options, plant, seeds):
    """As they come."""
    with runs.scratch() as folder:
        settings = options.program, plant, folder
        with multiprocessing.Pool(options.jobs, begin, settings) as pool:
            yield from pool.imap_unordered(run_one, seeds)


def again(seed, plant):
    return f"./dev sim --seed {seed}" + (f" --plant {plant}" if plant else "")


def tell(options, verdict, plant):
    folder = runs.keep(verdict, options.keep)
    print(f"seed {verdict.seed}: WRONG; again: {again(verdict.seed, plant)}")
    for each in verdict.wrong:
        print(f"  {each}")
    print(f"  logs: {folder}", flush=True)


def campaign(options):
    """0 or 1."""
    begun = last = time.monotonic()
    done = failed = events = 0
    seeds = range(options.first, options.first + options.seeds)
    for verdict in verdicts(options, options.plant, seeds):
        done, events = done + 1, events + verdict.events
        if verdict.wrong:
            failed += 1
            tell(options, verdict, options.plant)
        now = time.monotonic()
        if now - last >= TICK_SECONDS:
            last = now
            rate = done / (now - begun)
            print(f"{done} of {options.seeds} seeds, {failed} wrong, {rate:.1f} seeds/s", flush=True)
        if failed >= FINDINGS_MAX:
            print(f"{failed} wrong: enough")
            break
        if options.seconds and now - begun >= options.seconds:
            break
    seconds = time.monotonic() - begun
    print(f"{events} events of clients in {seconds:.0f} s, {seconds / max(done, 1) * 1000:.0f} ms a seed")
    print(f"{done - failed} passed, {failed} failed")
    return 1 if failed or not done else 0


def one(options):
    with runs.scratch() as folder:
        verdict = runs.Runner(options.program, options.plant, folder).run(options.seed)
    sys.stdout.write(verdict.log)
    print(verdict.course)
    if not verdict.wrong:
        print(f"seed {verdict.seed}: well, {verdict.events} events of clients")
        return 0
    tell(options, verdict, options.plant)
    return 1


# ---- planted bugs ----


def plants_of(program):
    listed = subprocess.run([program, "--plants"], capture_output=True, text=True, check=True)
    return listed.stdout.split()


def find(options, plant):
    """The first verdict that finds it, in the order in which they came, and how many ran."""
    seeds = range(options.first, options.first + PLANT_SEEDS_MAX)
    count = 0
    for count, verdict in enumerate(verdicts(options, plant, seeds), 1):
        if verdict.wrong and is_well(options, verdict.seed):
            return verdict, count
    return None, count


def is_well(options, seed):
    """Without any plant."""
    with runs.scratch() as folder:
        return not runs.Runner(options.program, None, folder).run(seed).wrong


def plants(options):
    missed = 0
    names = [options.plant] if options.plant else plants_of(options.program)
    for name in names:
        begun = time.monotonic()
        verdict, count = find(options, name)
        seconds = time.monotonic() - begun
        if verdict:
            print(f"{name}: found after {count} seeds, {seconds:.0f} s; {again(verdict.seed, name)}")
            print(f"    {verdict.wrong[0].splitlines()[0]}", flush=True)
        else:
            missed += 1
            print(f"{name}: NOT found in {count} seeds, {seconds:.0f} s", flush=True)
    print(f"{len(names) - missed} passed, {missed} failed")
    return 1 if missed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", required=True)
    parser.add_argument("--seeds", type=int, default=20000)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--seconds", type=float, help="end after so long")
    parser.add_argument("--seed", type=int, help="this one alone, and all about it")
    parser.add_argument("--plant", help="with this bug")
    parser.add_argument("--plants", action="store_true", help="is each planted bug found?")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--keep", default=".cache/sim", help="folder for what failed")
    options = parser.parse_args()
    if options.plants:
        return plants(options)
    return one(options) if options.seed is not None else campaign(options)


if __name__ == "__main__":
    sys.exit(main())
