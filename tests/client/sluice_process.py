"""sluice as a process.

SLUICE names the program; without it the one in the build folder is taken.
"""
import os
import pathlib
import subprocess

import harness

SECONDS = 60


def program():
    if "SLUICE" in os.environ:
        return pathlib.Path(os.environ["SLUICE"])
    for candidate in ("build/client/sluice", "build/sluice"):
        if (harness.ROOT / candidate).exists():
            return harness.ROOT / candidate
    raise FileNotFoundError("no sluice: build it, or name it in SLUICE")


class Sluice:
    """Runs the command against one address."""

    def __init__(self, address):
        self.address = address

    def command(self, *words):
        return [str(program().resolve()), "-b", self.address, *map(str, words)]

    def run(self, *words, data=None, code=0):
        """Must end with `code`; returns what it printed."""
        done = subprocess.run(self.command(*words), input=data, capture_output=True,
                              timeout=SECONDS, check=False)
        assert done.returncode == code, (words, done.returncode, done.stderr.decode())
        self.errors = done.stderr.decode()
        assert "Sanitizer" not in self.errors and "runtime error" not in self.errors, self.errors
        if code == 0:
            assert self.errors == ""
        return done.stdout

    def lines(self, *words, **options):
        return self.run(*words, **options).decode().splitlines()

    def start(self, *words, **options):
        return subprocess.Popen(self.command(*words), stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
