#!/usr/bin/env python3
"""The OCI image: built of the tree by its recipe, run under the default seccomp profile.

    tests/package/image.py [--cache FOLDER]

Needs root, podman and runc.  The base image is a minimal Debian that debootstrap makes from the
mirror of this machine's apt, so no image is fetched; all storage is in a temporary folder.  Ends
with 1 when something is not as it should be.
"""
import argparse
import contextlib
import json
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from container import Failure, check_machine, debootstrap, expect, run, say, write_sources

SOURCE = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = {"debootstrap": "debootstrap", "podman": "podman", "runc": "runc"}
PROFILE = pathlib.Path("/usr/share/containers/seccomp.json")
READY_SECONDS = 60


class Podman:
    """podman with storage of its own."""

    def __init__(self, folder):
        self.words = ["podman", "--root", folder / "storage", "--runroot", folder / "run",
                      "--cgroup-manager=cgroupfs", "--events-backend=file", "--runtime=runc"]

    def run(self, *words, **options):
        """What it printed."""
        return run([*self.words, *words], **options)

    def build_from(self, tar, *words):
        """Builds with what a command writes as the context."""
        with subprocess.Popen([tar], stdout=subprocess.PIPE) as context:
            self.run("build", *words, "-", stdin=context.stdout)


@contextlib.contextmanager
def podman():
    """For as long as the context: containers are ended and storage is deleted after it."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sluice-image-"))
    found = Podman(folder)
    try:
        yield found, folder
    finally:
        found.run("rm", "--all", "--force", "--time=0")
        found.run("rmi", "--all", "--force")
        shutil.rmtree(folder)


def refuses_io_uring(profile):
    """Whether a seccomp profile lets nobody call io_uring, as Docker's and podman's do."""
    rules = json.loads(profile.read_text())
    allowed = {name for rule in rules["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW"
               for name in rule["names"]}
    return rules["defaultAction"] != "SCMP_ACT_ALLOW" and "io_uring_setup" not in allowed


def build(engine, folder, cache):
    """Base image and ours."""
    base = folder / "base"
    base.mkdir()
    debootstrap(base, cache)
    write_sources(base)
    run(["tar", "--create", "--file", folder / "base.tar", "--directory", base, "."])
    engine.run("import", folder / "base.tar", "localhost/base")
    say("builds the image from source (some minutes)")
    # In a chroot: what is built needs no container around it, but the mirror.
    engine.build_from(SOURCE / "hw/package/tree", "--isolation=chroot", "--network=host",
                      "--build-arg", "BASE=localhost/base", "--tag", "sluice",
                      "--file", SOURCE / "hw/package/Containerfile")


def logs(engine):
    """What the broker has said, on both streams."""
    return engine.run("logs", "broker")


def use(engine):
    """Starts it as a user would, produces, consumes, stops."""
    expect(refuses_io_uring(PROFILE), f"the default profile {PROFILE} refuses io_uring")
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    # More than the machine has cannot be given where root has not all rights.
    engine.run("run", "--detach", "--name=broker", "--network=none",
               f"--ulimit=nofile={most}:{most}", "--ulimit=nproc=4096:4096", "sluice")
    end = time.monotonic() + READY_SECONDS
    while " ready " not in logs(engine):
        if time.monotonic() > end:
            raise Failure(f"not ready in {READY_SECONDS} s:\n{logs(engine)}")
        time.sleep(0.2)
    said = logs(engine)
    expect("io_uring refused" in said and "io=sync" in said,
           "it starts without io_uring, and says so")
    status = engine.run("exec", "broker", "cat", "/proc/1/status")
    expect("\nSeccomp:\t2\n" in status, "under a seccomp filter")
    expect("\nCapEff:\t0000000000000000\n" in status, "without any capability")
    engine.run("exec", "broker", "sh", "-c", "echo hello | sluice produce greetings")
    got = engine.run("exec", "broker", "sluice", "consume", "greetings", "--exit")
    expect(got == "hello\n", "a record goes in and comes out")
    engine.run("stop", "--time=30", "broker")
    expect("stopped" in logs(engine).splitlines()[-1], "it stops when it is asked to")
    code = engine.run("inspect", "--format={{.State.ExitCode}}", "broker").strip()
    expect(code == "0", "with exit code 0")


def main():
    """Command line and exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--cache", type=pathlib.Path, default=pathlib.Path(".cache/package"))
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        check_machine(PROGRAMS)
        with podman() as (engine, folder):
            build(engine, folder, args.cache)
            use(engine)
    except Failure as failure:
        print(f"image-test: {failure}", file=sys.stderr)
        return 1
    say("the image starts where io_uring is refused")
    return 0


if __name__ == "__main__":
    sys.exit(main())
