"""A Debian 12 host in a temporary folder: made by debootstrap, booted by systemd-nspawn.

Nothing outlives it: the folder goes with the context, mounts and processes with nspawn.  While it
is prepared it shares the machine's network, to reach the mirror that the machine's own apt uses;
once booted it has only a loopback of its own, so ports are its own too.
"""
import contextlib
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

RELEASE = "bookworm"
NSPAWN = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--console=pipe",
          # DPDK asks there which drivers the kernel has; nspawn shows only some of /sys.
          "--bind-ro=/sys/module",
          # For the unit's own limits, which may be higher than the machine's.
          "--capability=CAP_SYS_RESOURCE"]
PROGRAMS = {"debootstrap": "debootstrap", "systemd-nspawn": "systemd-container"}
BOOT_SECONDS = 60
STOP_SECONDS = 30
COMMAND_SECONDS = 120
APT = ["env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C", "apt-get", "-qq", "-y",
       "--no-install-recommends"]


BEGUN = time.monotonic()


class Failure(Exception):
    """What did not work, in a sentence for the person who started the test."""


def say(text):
    """A line with the time since the start."""
    print(f"[{time.monotonic() - BEGUN:5.0f} s] {text}", flush=True)


def expect(condition, text):
    """A claim that was tried: printed, or the test is over."""
    if not condition:
        raise Failure(f"not so: {text}")
    say(f"  ok: {text}")


def check_machine(programs):
    """Root, and the programs with the packages that have them; else Failure says what is missing."""
    if os.geteuid() != 0:
        raise Failure("needs root: it makes a Debian root and boots it in namespaces")
    for program, package in programs.items():
        if not shutil.which(program):
            raise Failure(f"needs {program}, of the Debian package {package}")


def mirrors():
    """(uri, suite) of the archives with our release that the machine's apt reads."""
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)",
         "Identifier: Packages"], capture_output=True, text=True, check=False).stdout
    rows = {tuple(line.split()) for line in listed.splitlines()}
    found = sorted({(uri, suite) for uri, suite, part in rows
                    if part == "main" and suite.split("-")[0] == RELEASE})
    if not any(suite == RELEASE for _, suite in found):
        raise Failure(f"apt of this machine has no mirror with {RELEASE} main: it needs one in "
                      "its sources, and `apt-get update`")
    return found


def write_sources(root):
    """Has apt in a root read what the machine's does."""
    (root / "etc/apt/sources.list").write_text(
        "".join(f"deb {uri} {suite} main\n" for uri, suite in mirrors()))


def debootstrap(folder, cache):
    """A minimal root, out of the cache where an earlier run left one."""
    archive = cache / f"{RELEASE}.tar"
    if archive.exists():
        say(f"unpacks the minimal {RELEASE} of an earlier run ({archive})")
        run(["tar", "--extract", "--file", archive, "--directory", folder])
        return
    base = next(uri for uri, suite in mirrors() if suite == RELEASE)
    say(f"makes a minimal {RELEASE} with debootstrap (some minutes)")
    run(["debootstrap", "--variant=minbase", RELEASE, folder, base])
    cache.mkdir(parents=True, exist_ok=True)
    run(["tar", "--create", "--file", f"{archive}.new", "--directory", folder, "."])
    os.replace(f"{archive}.new", archive)


def run(words, **options):
    """Runs to the end; Failure has the end of what a failed command printed."""
    words = [str(word) for word in words]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", check=False, timeout=900, **options)
    if done.returncode:
        raise Failure(f"{' '.join(words)}: exit {done.returncode}\n{done.stdout[-3000:]}")
    return done.stdout


class Container:
    """The host; `prepare` before `boot`, `run` once it is booted."""

    def __init__(self, folder, shared):
        self.root = folder
        self.binds = [f"--bind-ro={source}:{target}" for source, target in shared.items()]
        self.nspawn = None
        self.init = None

    def prepare(self, *words):
        """Runs a command in the root, with the machine's network."""
        return run([*NSPAWN, "--resolv-conf=copy-host", *self.binds, "-D", self.root, *words],
                   stdin=subprocess.DEVNULL)

    def boot(self, log):
        """Starts systemd and waits until it has started all that it starts."""
        self.nspawn = subprocess.Popen(
            [*NSPAWN, "--private-network", *self.binds, "--boot", "-D", self.root],
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        self.wait("systemd to start", self.find_init, BOOT_SECONDS)
        self.wait("the host to have booted", lambda: self.try_run(
            "systemctl", "is-system-running").stdout.strip() in ("running", "degraded"),
            BOOT_SECONDS)

    def find_init(self):
        """The first process in the namespaces is a child of nspawn."""
        if self.nspawn.poll() is not None:
            raise Failure(f"systemd-nspawn: exit {self.nspawn.returncode}; it needs to make "
                          "namespaces and mounts")
        children = pathlib.Path(f"/proc/{self.nspawn.pid}/task/{self.nspawn.pid}/children")
        for child in children.read_text().split():
            if pathlib.Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                self.init = child
        return self.init

    def try_run(self, *words, stdin=""):
        """Runs a command on the booted host."""
        words = ["nsenter", "--target", self.init, "--all", "env", "--ignore-environment",
                 "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=/root", *words]
        try:
            return subprocess.run(words, input=stdin, capture_output=True, text=True,
                                  errors="replace", check=False, timeout=COMMAND_SECONDS)
        except subprocess.TimeoutExpired as late:
            raise Failure(f"{' '.join(words[9:])}: no end in {COMMAND_SECONDS} s") from late

    def run(self, *words, stdin=""):
        """The same, which has to succeed; returns what it printed."""
        done = self.try_run(*words, stdin=stdin)
        if done.returncode:
            raise Failure(f"{' '.join(map(str, words))}: exit {done.returncode}\n"
                          f"{(done.stdout + done.stderr)[-3000:]}")
        return done.stdout

    def wait(self, what, condition, seconds):
        """Until the condition is true."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise Failure(f"waited {seconds} s in vain for {what}")
            time.sleep(0.1)

    def stop(self):
        """Powers it off, the hard way if it does not."""
        if not self.nspawn or self.nspawn.poll() is not None:
            return
        self.nspawn.terminate()
        try:
            self.nspawn.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.nspawn.kill()
            self.nspawn.wait()


@contextlib.contextmanager
def container(cache, shared):
    """A prepared root with the machine's apt sources, removed at the end."""
    check_machine(PROGRAMS)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sluice-package-"))
    host = Container(folder / "root", shared)
    try:
        host.root.mkdir(mode=0o755)
        debootstrap(host.root, cache)
        write_sources(host.root)
        yield host
    finally:
        host.stop()
        shutil.rmtree(folder)
