"""One seed: the simulated world is run, and what its clients wrote down is judged."""

import dataclasses
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "history"))

import checker  # noqa: E402
from history import BadHistory, Log  # noqa: E402

SECONDS_MAX = 150  # the program gives up earlier
SHOWN_MAX = 3


@dataclasses.dataclass
class Verdict:
    seed: int
    wrong: list  # sentences; none: all was well
    course: str  # what tells this run from another
    log: str
    history: bytes
    events: int = 0


def logs_of(data):
    """By name: a line "NAME BYTES", then the bytes."""
    logs, at = {}, 0
    while at < len(data):
        end = data.index(b"\n", at)
        name, size = data[at:end].decode().split()
        logs[name] = data[end + 1 : end + 1 + int(size)]
        at = end + 1 + int(size)
    return logs


def scratch():
    """A new folder, in memory where there is some, that is gone at its end."""
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    return tempfile.TemporaryDirectory(prefix="sluice-sim-", dir=base)


class Runner:
    """Of one process that runs seeds, one after another; `folder` may be others' too."""

    def __init__(self, program, plant, folder):
        self.program, self.plant = program, plant
        self.history = pathlib.Path(folder) / f"history-{os.getpid()}"

    def words(self, seed):
        words = [self.program, "--seed", str(seed), "--history", str(self.history)]
        return words + (["--plant", self.plant] if self.plant else [])

    def run(self, seed):
        self.history.write_bytes(b"")
        try:
            ended = subprocess.run(
                self.words(seed),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=SECONDS_MAX,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Verdict(seed, [f"no end in {SECONDS_MAX} s"], "", "", b"")
        data = self.history.read_bytes()
        wrong = [] if ended.returncode == 0 else [self.what_it_said(ended, seed)]
        wrong += judge(data) if data or not wrong else []
        return Verdict(seed, wrong, ended.stdout.strip(), ended.stderr, data, data.count(b"\n"))

    @staticmethod
    def what_it_said(ended, seed):
        said = [
            line
            for line in ended.stderr.splitlines()
            if line.startswith(f"seed {seed}: ") and " turns " not in line
        ]
        return said[-1] if said else f"ended with {ended.returncode}"


def judge(data):
    """Sentences about what was wrong."""
    try:
        logs = [Log.of_bytes(name, lines) for name, lines in logs_of(data).items()]
        _, found, _ = checker.judge_logs(logs)
    except (BadHistory, ValueError) as error:
        return [f"not a history: {error}"]
    return [str(each) for each in found[:SHOWN_MAX]]


def keep(verdict, folder):
    """What a person wants to see of it, as files."""
    folder = pathlib.Path(folder) / f"seed-{verdict.seed}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, lines in logs_of(verdict.history).items():
        (folder / name).write_bytes(lines)
    (folder / "broker.log").write_text(verdict.log)
    (folder / "wrong").write_text("\n".join(verdict.wrong) + "\n")
    return folder
