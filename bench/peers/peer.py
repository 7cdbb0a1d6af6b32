"""What all peers have in common: a folder, ports, cores, a start that is timed, and an end.

A peer is a context manager: inside the block it answers on `url`, and `pids` are its processes.

    made -> entered: `start` has started its processes -> `answered` was true once: ready -> ended

It lives in a folder of its own that goes with it.  Its processes get SIGTERM at the end of the
block, SIGKILL when they outlive that by a while, and SIGTERM when we die without having seen them
off.  What cannot run here raises Missing with the reason.
"""
import argparse
import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

# HOST and free_port are for the peers too.
from free_ports import free_port
from servers import HOST, end

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "peers"
START_SECONDS, END_SECONDS, FETCH_SECONDS = 90, 30, 600
ANSWER_SECONDS = 2
DURABILITIES = ("default", "flush")
EXIT_MISSING = 77


class Missing(Exception):
    """This peer cannot run on this machine, in this durability class; says why."""


def split_cores(count):
    """(the broker's cores, the clients'): the last ones and the others; all, where none is left."""
    cores = sorted(os.sched_getaffinity(0))
    if not 1 <= count <= len(cores):
        raise Missing(f"{count} cores asked for, {len(cores)} there")
    return cores[-count:], cores[:-count] or cores


def on_cores(cores):
    return ["taskset", "-c", ",".join(map(str, cores))]


def program(name, package):
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/go/bin")
    if not path:
        raise Missing(f"{name} is not installed (Debian package {package})")
    return path


def first_line(command):
    """What a program says of its version."""
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=START_SECONDS)
    return done.stdout.splitlines()[0].strip()


def fetched(name, made_from, fetch):
    """The folder CACHE/name, which `fetch(folder)` fills unless it was made from the same words."""
    folder, stamp = CACHE / name, CACHE / f"{name}.stamp"
    if folder.is_dir() and stamp.is_file() and stamp.read_text() == made_from:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        fetch(folder)
    except subprocess.CalledProcessError as error:
        said = " / ".join((error.stderr or "").split("\n")[-3:])
        raise Missing(f"{name} could not be fetched: {said or error}") from error
    except subprocess.TimeoutExpired as error:
        raise Missing(f"{name} could not be fetched: {error}") from error
    stamp.write_text(made_from)
    return folder


def run_fetch(command, **more):
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   stderr=subprocess.PIPE, text=True, timeout=FETCH_SECONDS, **more)


def exchange(port, request, enough):
    """Sends; what comes back, as soon as enough(it) is true, or b"" where nobody answers."""
    answer = b""
    with contextlib.suppress(OSError):
        with socket.create_connection((HOST, port), timeout=ANSWER_SECONDS) as connection:
            connection.sendall(request)
            while not enough(answer):
                piece = connection.recv(4096)
                if not piece:
                    return b""
                answer += piece
            return answer
    return b""


class Peer:
    """What one peer says of itself; a subclass per broker."""

    name = ""  # of its command, and how results call it
    driver = ""  # of sluice-bench
    durabilities = DURABILITIES
    never = ""  # why a durability is not among them
    settings = ()  # that differ from its defaults, in words
    warm_seconds = 0  # of load before anything is measured, where a start is not representative

    def __init__(self, durability="default", cores=1, folder=None):
        if durability not in DURABILITIES:
            raise ValueError(f"no durability {durability}")
        if durability not in self.durabilities:
            raise Missing(self.never)
        self.durability = durability
        self.cores, self.client_cores = split_cores(cores)
        self.parent = pathlib.Path(folder) if folder else CACHE / "data"
        self.processes, self.version, self.start_seconds = [], "", 0.0
        self.find()

    # ---- of the subclass ----

    def find(self):
        """Finds or fetches programs, sets `version`; Missing."""
        raise NotImplementedError

    def prepare(self):
        """What is done once in a broker's life: its time is not the start's."""

    def start(self):
        """Starts processes in self.folder by `spawn`; the last one is the broker's."""
        raise NotImplementedError

    def answered(self):
        """Whether the broker answers a request of its protocol."""
        raise NotImplementedError

    @property
    def url(self):
        """As its driver understands it."""
        raise NotImplementedError

    # ---- of all ----

    @property
    def pids(self):
        return [process.pid for process in self.processes]

    def spawn(self, command, **environment):
        """In a session of its own: Ctrl-C is for us, who then end it in order."""
        with open(self.log, "a", encoding="utf-8") as log:
            self.processes.append(subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", *on_cores(self.cores), *map(str, command)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
                env=os.environ | {"HOME": str(self.folder)} | environment, start_new_session=True))

    def __enter__(self):
        self.parent.mkdir(parents=True, exist_ok=True)
        self.holder = tempfile.TemporaryDirectory(prefix=f"{self.name}_", dir=self.parent)
        self.folder = pathlib.Path(self.holder.name)
        self.log = self.folder / "log"
        try:
            self.prepare()
            begun = time.monotonic()
            self.start()
            self.wait_ready(begun + START_SECONDS)
            self.start_seconds = time.monotonic() - begun
        except BaseException:
            self.__exit__()
            raise
        return self

    def wait_ready(self, limit):
        while not self.answered():
            ended = any(process.poll() is not None for process in self.processes)
            if ended or time.monotonic() > limit:
                raise Missing(f"{self.name} did not start: {self.log_end()}")
            time.sleep(0.005)

    def log_end(self):
        return " / ".join(self.log.read_text(errors="replace").splitlines()[-5:])

    def __exit__(self, *failure):
        for process in reversed(self.processes):
            end(process, END_SECONDS)
        self.processes = []
        self.holder.cleanup()


# ---- as a command ----

def interrupted(*_):
    raise KeyboardInterrupt


def parser(kind):
    options = argparse.ArgumentParser(
        description=f"{kind.name} on loopback, in a temporary folder, until Ctrl-C.")
    options.add_argument("--durability", choices=DURABILITIES, default="default",
                         help="when a write is acknowledged: as the broker does it by default, or "
                              "after a flush to the disk")
    options.add_argument("--cores", type=int, default=1, help="how many it may use (1)")
    options.add_argument("--dir", help="folder for its folder, on the disk to measure "
                                       "(.cache/peers/data)")
    return options


def command(kind, options=None):
    """Runs the peer in the foreground; its one line on standard output says that it is ready."""
    options = options or parser(kind).parse_args()
    more = {name: value for name, value in vars(options).items()
            if name not in ("durability", "cores", "dir")}
    signal.signal(signal.SIGTERM, interrupted)
    try:
        with kind(options.durability, options.cores, options.dir, **more) as peer:
            print(f"ready {peer.name} url={peer.url} pid={','.join(map(str, peer.pids))} "
                  f"cores={','.join(map(str, peer.cores))} durability={peer.durability} "
                  f"start_s={peer.start_seconds:.3f} version={peer.version}", flush=True)
            while all(process.poll() is None for process in peer.processes):
                time.sleep(0.2)
            sys.exit(f"{peer.name} has ended: {peer.log_end()}")
    except Missing as reason:
        print(f"missing {kind.name}: {reason}", file=sys.stderr)
        sys.exit(EXIT_MISSING)
    except KeyboardInterrupt:
        pass
