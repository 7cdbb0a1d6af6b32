#!/usr/bin/env python3
"""Judges what clients have logged; README.md has the events and the rules.

    tests/history/checker.py [--limit N] FOLDER-OR-LOG...

Prints each violation with the events that prove it.  It ends with 0 when there is none, 1 when
there are, 2 when a log is not a history.
"""
import argparse
import collections
import gc
import pathlib
import sys

import history as histories
import log_reader
import rules
from violation import RULES


def logs_in(paths):
    for path in map(pathlib.Path, paths):
        if path.is_dir():
            yield from sorted(path.glob("*.jsonl"))
        else:
            yield path


def judge(paths):
    """judge_logs of these files."""
    logs = [histories.Log.of_file(path) for path in logs_in(paths)]
    if not logs:
        raise histories.BadHistory(f"no logs in {', '.join(map(str, paths))}")
    return judge_logs(logs)


def judge_logs(logs):
    """The history of these logs, its violations, and what was acknowledged and never read."""
    history = histories.History()
    # What is read stays: looking for garbage among it takes a third of the time.
    gc.disable()
    try:
        for log in logs:
            log_reader.read(history, log)
        found, unread = rules.check(history)
    finally:
        gc.enable()
    return history, found, unread


def summary(history, found, unread):
    acked = sum(len(place.acked_offsets) for place in history.partitions)
    given = sum(len(run.offsets) for place in history.partitions for run in place.runs)
    commits = sum(map(len, (rows for group in history.groups.values()
                            for rows in group.commits.values())))
    text = (f"{len(found)} violations; {len(history.logs)} logs, {acked} records acknowledged, "
            f"{given} given to readers, {commits} offsets committed")
    if unread:
        text += f"; not judged, as no reader came there: {sum(unread.values())} records"
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="+")
    parser.add_argument("--limit", type=int, default=20, help="violations shown of each rule")
    options = parser.parse_args()
    try:
        history, found, unread = judge(options.paths)
    except (histories.BadHistory, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    shown = collections.Counter()
    for each in found:
        shown[each.rule] += 1
        if shown[each.rule] <= options.limit:
            print(each)
    for rule, count in shown.items():
        if count > options.limit:
            print(f"rule {rule} ({RULES[rule]}): {count - options.limit} more")
    print(summary(history, found, unread))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
