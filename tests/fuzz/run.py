#!/usr/bin/env python3
"""Runs every fuzz target for a bounded time.

    run.py BUILD_FOLDER [SECONDS_EACH | total:SECONDS] [TARGET ...]

BUILD_FOLDER was set up with clang and -Dfuzz=true, and is built.  Two targets run at a time.  Of a
total, each target gets an equal part, and four seconds at least.  What libFuzzer
learns stays in BUILD_FOLDER/tests/fuzz/corpus and is where the next run begins.  Fails when an input
crashes, hangs, leaks or takes too much memory; the input is then saved under regressions/<target>/, where
`meson test` replays it from then on.
"""
import concurrent.futures
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SECONDS = '60'
SECONDS_MIN = 4  # of a total
AT_ONCE = 2
INPUT_SECONDS = 10  # at most for one input
OPTIONS = [f'-timeout={INPUT_SECONDS}', '-rss_limit_mb=2048', '-malloc_limit_mb=256',
           '-print_final_stats=1', '-max_len=8192']
GRACE_SECONDS = 120  # reading the seeds, and the input under way


def folders(build, target):
    """Where new inputs go, then where others are read."""
    corpus = build / 'tests/fuzz/corpus' / target
    corpus.mkdir(parents=True, exist_ok=True)
    others = [HERE / 'seeds' / target, HERE / 'regressions' / target,
              build / 'tests/fuzz/generated_seeds' / target]
    return [corpus] + [folder for folder in others if folder.is_dir()]


def slow(program, path):
    """Whether an input takes too long by itself too, and not for want of a processor."""
    try:
        done = subprocess.run([program, path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, errors='replace', timeout=GRACE_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return True
    took = re.search(r'^Executed .* in (\d+) ms', done.stdout, re.MULTILINE)
    return done.returncode != 0 or not took or int(took.group(1)) > 1000 * INPUT_SECONDS


def saved(program, crashes, target):
    """The inputs that failed, moved to where tests replay them."""
    moved = []
    for path in sorted(crashes.iterdir()):
        if path.name.startswith('timeout-') and not slow(program, path):
            continue
        folder = HERE / 'regressions' / target
        folder.mkdir(parents=True, exist_ok=True)
        moved.append(shutil.move(path, folder / path.name))
    return moved


def run(build, target, seconds):
    crashes = build / 'tests/fuzz/crashes' / target
    shutil.rmtree(crashes, ignore_errors=True)
    crashes.mkdir(parents=True)
    command = [build / 'tests/fuzz' / f'{target}_fuzz', f'-max_total_time={seconds}',
               f'-artifact_prefix={crashes}/', *OPTIONS, *folders(build, target)]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors='replace', timeout=seconds + GRACE_SECONDS, check=False)
        code, output = done.returncode, done.stdout
    except subprocess.TimeoutExpired as late:
        code, output = -1, (late.stdout or b'').decode(errors='replace')
    executed = re.search(r'number_of_executed_units:\s*(\d+)', output)
    edges = re.findall(r'cov: (\d+)', output)
    return target, code, int(executed.group(1)) if executed else 0, edges, output, crashes


def seconds_each(text, targets):
    """"60" is for each; "total:60" is for all together."""
    if not text.startswith('total:'):
        return int(text)
    return max(SECONDS_MIN, int(text[len('total:'):]) * AT_ONCE // len(targets))


def main():
    build = Path(sys.argv[1]).resolve()
    targets = sys.argv[3:] or sorted(path.name[:-len('_fuzz.c')] for path in HERE.glob('*_fuzz.c'))
    seconds = seconds_each(sys.argv[2] if len(sys.argv) > 2 else SECONDS, targets)
    failed = total = 0
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        results = pool.map(lambda target: run(build, target, seconds), targets)
        for target, code, executed, edges, output, crashes in results:
            alarms = any(crashes.iterdir())
            inputs = saved(build / 'tests/fuzz' / f'{target}_fuzz', crashes, target)
            # Where all that it complained of was in want of a processor, it has passed.
            bad = bool(inputs) or executed == 0 or (code != 0 and not alarms)
            failed += bad
            total += executed
            print(f'fuzz {target}: {executed} runs in {seconds} s, {edges[-1] if edges else 0} '
                  f'edges: {"FAILED" if bad else "ok"}', flush=True)
            if bad:
                print(output[-6000:], *inputs, sep='\n', flush=True)
    print(f'fuzz: {total} runs of {len(targets)} targets')
    print(f'{len(targets) - failed} passed, {failed} failed')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
