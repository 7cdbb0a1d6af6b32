#!/usr/bin/env python3
"""Power cuts on a recorded write log.

    campaign.py --seed N [--seconds S] [--again N] [--folder DIR]

Records a life of a broker's data folder, then cuts the power before and after each change of it:
lays the folder down as the cut may leave it (all that was not sure is lost; all of it is there;
names without contents; contents without names; and --samples drawn ones), starts on it and judges
what is there by what clients had been told.  Then starts a broker on --again drawn ones of these
folders, records what it makes of them, and cuts the power at each change of that.  Ends with 1 when
something was wrong, and prints how to see exactly that cut again.

What was wrong is printed as it is found.  What was done is kept beside the recording: with the same
--folder a campaign that was interrupted, or had --seconds, goes on where it was.
"""

import argparse
import json
import multiprocessing
import os
import pathlib
import random
import shutil
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "broker"))

from plants import PLANTS  # noqa: E402
from progress import SHOWN_MAX, Progress  # noqa: E402
from recording import TOPICS, Recording  # noqa: E402
from starts import Recover  # noqa: E402
from walk import FIXED, Walk, begun_on, chooser_of  # noqa: E402


def scratch():
    """A new folder in memory where that has room."""
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    if base and shutil.disk_usage(base).free < 1 << 30:
        base = None
    return tempfile.mkdtemp(prefix="sluice-cuts-", dir=base)


# ---- recordings ----


def check_played_back(recording):
    """Nothing was missed: the whole recording makes the folder that the broker has left."""
    walk = Walk(recording)
    walk.go_to(len(walk.entries))
    again = recording / "again"
    walk.disk.lay_down(str(again), FIXED["all"])
    left, made = (sorted(each.rglob("*")) for each in (recording / "data", again))
    same = [path.relative_to(recording / "data") for path in left] == [
        path.relative_to(again) for path in made
    ] and all(a.is_dir() or a.read_bytes() == b.read_bytes() for a, b in zip(left, made))
    shutil.rmtree(again)
    if not same:
        sys.exit(f"campaign.py: {recording}: played back it makes another folder")
    return walk


def record(folder, options):
    folder.mkdir(parents=True)
    Recording(folder, options.seed, options.lives, options.changes, options.plant).make()
    walk = check_played_back(folder)
    print(f"recorded: {walk.changes} changes in {options.lives} lives, {walk.facts.told} answers")
    return folder


def record_again(folder, options, parent, point, variant):
    """A broker's life on what a cut has left; what it says of it that is wrong."""
    folder.mkdir(parents=True)
    begin = {
        "recording": str(parent),
        "seed": options.seed,
        "point": point,
        "variant": variant,
    }
    (folder / "begin.json").write_text(json.dumps(begin), "ascii")
    disk, facts = begun_on(**begin)
    disk.lay_down(str(folder / "data"), FIXED["all"])
    recording = Recording(folder, f"{options.seed}/{point}", lives=2, changes=40, facts=facts)
    try:
        recording.make()
    except AssertionError as error:
        return [f"broker: {error}"]
    check_played_back(folder)
    return [f"broker: {what}" for what in recording.wrong]


def points_with_topics(recording):
    """Where a second life has what its clients want."""
    walk = Walk(recording)
    return [point for point in walk.points() if TOPICS.keys() <= walk.facts.by_name.keys()]


# ---- cuts ----


class Cuts:
    """Of one recording, by one worker: lays folders down, and starts on them."""

    def __init__(self, walk, recover):
        self.walk, self.start = walk, Recover(recover)
        self.folder = scratch()
        self.reports = {}  # by variant: what the disk was, and the report of a start on it

    def close(self):
        self.start.close()
        shutil.rmtree(self.folder)

    def wrong(self, variant, chooser):
        """What is wrong after this cut, now."""
        state = self.walk.disk.state(chooser)
        known, report = self.reports.get(variant, (None, None))
        if state is None or state != known:
            report = self.report(chooser)
            self.reports[variant] = state, report
        return self.walk.facts.judge(report)

    def report(self, chooser):
        place = f"{self.folder}/data"
        try:
            self.walk.disk.lay_down(place, chooser)
            return self.start.report(place)
        finally:
            shutil.rmtree(place, ignore_errors=True)


def variants_of(options):
    return [*FIXED, *(f"sample-{index}" for index in range(options.samples))]


def work(recording, options, number, done, tell):
    """One worker's points, as many as there is time for and were not done; `tell` takes each point,
    its cuts and its findings."""
    walk = Walk(recording)
    cuts = Cuts(walk, options.recover)
    variants = variants_of(options)
    begun = time.monotonic()
    for point in walk.points():
        share = (point + 1) / (len(walk.entries) + 1)
        behind = options.seconds and time.monotonic() - begun > options.seconds * share
        if point % options.workers != number or point in done or behind:
            continue
        findings = [
            (point, variant, what)
            for variant in variants
            for what in cuts.wrong(variant, chooser_of(variant, options.seed, point))
        ]
        tell({"point": point, "share": share, "cuts": len(variants), "findings": findings})
        if options.first and findings:
            break
    cuts.close()


def run_workers(recording, options):
    """All points, cuts and findings of a recording, with those of earlier runs."""
    progress = Progress(recording, options)
    results = multiprocessing.SimpleQueue()

    def one(number):
        work(recording, options, number, progress.done, results.put)
        results.put(None)

    workers = [
        multiprocessing.Process(target=one, args=(number,)) for number in range(options.workers)
    ]
    for worker in workers:
        worker.start()
    ended = 0
    while ended < len(workers):
        if results.empty():
            time.sleep(0.02)
            if any(worker.exitcode for worker in workers):
                sys.exit("campaign.py: a worker has failed")
        elif (told := results.get()) is None:
            ended += 1
        else:
            progress.take(told)
    progress.close()
    return progress.points, progress.cuts, sorted(progress.findings)


def campaign(recording, options):
    """Cuts of one recording: points, cuts, findings."""
    found = run_workers(recording, options)
    if found[2]:
        point, variant, _ = found[2][0]
        print(
            f"again: {sys.argv[0]} --seed {options.seed} --recording {recording} "
            f"--cut {point} --variant {variant}",
            flush=True,
        )
    return found


def second_life(recording, options, number, point, variant):
    """Points, cuts and findings of one; it is kept where something was wrong."""
    second = recording.parent / f"second-{number}"
    shutil.rmtree(second, ignore_errors=True)
    wrong = record_again(second, options, recording, point, variant)
    for what in wrong[:SHOWN_MAX]:
        print(f"  second life {number}, after cut {point} {variant}: {what}", flush=True)
    points, cuts, findings = campaign(second, options)
    if not findings and not wrong:
        shutil.rmtree(second)
    return points, cuts, findings + [[point, variant, what] for what in wrong]


def campaign_again(recording, options):
    """Cuts of second lives, on what cuts have left; those of earlier runs count."""
    rng = random.Random(options.seed)
    eligible = points_with_topics(recording)
    begun = time.monotonic()
    total = [0, 0, []]
    for number in range(options.again):
        point, variant = rng.choice(eligible), rng.choice(variants_of(options))
        done = recording / f"second-{number}.json"
        if done.exists():
            found = json.loads(done.read_text("ascii"))
        else:
            found = second_life(recording, options, number, point, variant)
            done.write_text(json.dumps(found), "ascii")
        total = [old + new for old, new in zip(total, found)]
        print(
            f"  second life {number + 1} of {options.again}, after cut {point} {variant}: "
            f"{total[1]} cuts, {len(total[2])} findings so far, "
            f"{time.monotonic() - begun:.0f} s",
            flush=True,
        )
    return total


# ---- proof that it finds something ----


def finds(what, folder, options):
    """Whether a planted bug is found, in a few seconds or, failing that, with more cuts."""
    options.plant, options.first = PLANTS[what], True
    options.lives, options.changes = 3, 200
    recording = record(folder, options)
    for options.seconds in (10, None):
        found = run_workers(recording, options)
        if found[2]:
            print(f"found: {what}: cut {' '.join(map(str, found[2][0]))}", flush=True)
            shutil.rmtree(folder)
            return True
    print(f"NOT found: {what}", flush=True)
    return False


def prove(options):
    """Whether all planted bugs are found."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="powercut-"))
    found = [finds(what, folder / str(number), options) for number, what in enumerate(PLANTS)]
    print(f"{sum(found)} of {len(found)} planted bugs found")
    return all(found)


def verdict(what, found, begun):
    points, cuts, findings = found
    seconds = time.monotonic() - begun
    print(
        f"{what}: {cuts} cuts at {points} points in {seconds:.0f} s "
        f"({cuts / seconds * 60:.0f} a minute), {len(findings)} findings",
        flush=True,
    )
    return not findings


def show(recording, options):
    """One cut once more; its folder is kept."""
    walk = Walk(recording).go_to(options.cut)
    for entry in [each for each in walk.entries[: options.cut] if each.on_disk][-15:]:
        print(f"  {entry}")
    kept = recording / f"cut-{options.cut}-{options.variant}"
    shutil.rmtree(kept, ignore_errors=True)
    walk.disk.lay_down(str(kept), chooser_of(options.variant, options.seed, options.cut))
    cuts = Cuts(walk, options.recover)
    wrong = cuts.wrong(options.variant, chooser_of(options.variant, options.seed, options.cut))
    cuts.close()
    print(f"as the cut has left it: {kept}")
    print("\n".join(wrong or ["nothing is wrong"]))
    return not wrong


def parse(arguments):
    program = pathlib.Path(os.environ.get("SLUICED", "build/sluiced")).resolve()
    nearby = [parent / "tests/powercut/recover" for parent in program.parents]
    recover = next((str(path) for path in nearby if path.exists()), None)
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, help="time for the cuts of a recording; else all")
    parser.add_argument("--samples", type=int, default=4, help="drawn cuts a point (4)")
    parser.add_argument("--again", type=int, default=0, help="cut folders to live on (0)")
    parser.add_argument("--lives", type=int, default=6, help="of the broker (6)")
    parser.add_argument("--changes", type=int, default=600, help="of the folder, a life (600)")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="side by side")
    parser.add_argument("--recording", type=pathlib.Path, help="one that was made before")
    parser.add_argument("--folder", type=pathlib.Path, help="for the recording; see above")
    parser.add_argument("--cut", type=int, help="show this one only")
    parser.add_argument("--variant", default="none", help="with --cut")
    parser.add_argument("--plant", help="a call that lies, see recorder.c")
    parser.add_argument("--plants", action="store_true", help="find each of plants.py instead")
    parser.add_argument("--first", action="store_true", help="each worker ends with a finding")
    parser.add_argument("--recover", default=recover, help="the program of recover.c")
    options = parser.parse_args(arguments)
    if options.recover is None:
        parser.error("no program `recover`: build it, or name it with --recover")
    return options


def recording_of(options):
    """One that is there already, or a new one."""
    if options.recording:
        return options.recording.resolve()
    if options.folder and (options.folder / "first/recorded").exists():
        return (options.folder / "first").resolve()
    folder = options.folder or pathlib.Path(tempfile.mkdtemp(prefix="powercut-"))
    recording = record(folder.resolve() / "first", options)
    (recording / "recorded").touch()
    return recording


def main(arguments=None):
    options = parse(arguments)
    if options.plants:
        return 0 if prove(options) else 1
    recording = recording_of(options)
    if options.cut is not None:
        return 0 if show(recording, options) else 1
    begun = time.monotonic()
    right = verdict("cuts", campaign(recording, options), begun)
    if options.again:
        begun = time.monotonic()
        right &= verdict("cuts of second lives", campaign_again(recording, options), begun)
    if right and not options.recording and not options.folder:
        shutil.rmtree(recording.parent)
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
