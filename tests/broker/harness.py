"""Runs a `sluiced` for a test: on a free port, in a folder of its own, ended by its process id.

    broker = Broker(tmp_path)
    broker.start()
    ... broker.address, broker.port ...
    broker.kill()           # SIGKILL, as a crash of the process
    broker.start()          # the same data, the same port
    broker.stop()           # SIGTERM; it must end with 0

SLUICED names the program, SLUICED_IO the I/O backend (uring, sync or auto).  The log of all runs is
one file, `broker.log_text()`.
"""
import os
import pathlib
import re
import signal
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
READY = re.compile(r"\bready listen=(\S+):(\d+) (.*)")
# A sanitizer's build on a loaded machine is slow; a broker that hangs is found all the same.
START_SECONDS = 60
STOP_SECONDS = 60


def program():
    """The sluiced to test: $SLUICED, or what a build left in build/."""
    named = os.environ.get("SLUICED")
    candidates = [named] if named else [ROOT / "build/sluiced", ROOT / "build/control/sluiced"]
    for candidate in candidates:
        if os.access(candidate, os.X_OK):
            return str(pathlib.Path(candidate).resolve())
    raise FileNotFoundError(f"no sluiced at {candidates}; set SLUICED or run ./dev build")


def io_backend():
    return os.environ.get("SLUICED_IO", "auto")


def wait_until(what, seconds, condition, interval=0.02):
    """Returns the first true value of condition(), fails with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(interval)


class Broker:
    def __init__(self, folder, *, io=None, shards=2, settings=None, arguments=(), env=None):
        self.folder = pathlib.Path(folder)
        self.data = self.folder / "data"
        self.log = self.folder / "sluiced.log"
        self.io = io or io_backend()
        self.shards = shards
        self.settings = dict(settings or {})
        self.arguments = list(arguments)
        self.env = dict(env or {})
        self.host = "127.0.0.1"
        self.port = 0
        self.process = None
        self._log_start = 0

    # ---- what a test asks ----

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    @property
    def pid(self):
        return self.process.pid

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    def log_text(self):
        """All that it wrote to standard error, of every run."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def log_of_this_run(self):
        with open(self.log, "rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def cpu_seconds(self):
        """User and system time that the process has used."""
        # The name, in brackets, may hold spaces.
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_bytes(self):
        """Resident memory."""
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"^VmRSS:\s+(\d+) kB", status, re.M).group(1)) * 1024

    def open_files(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    # ---- its life ----

    def command(self):
        words = [program(), "--listen", f"{self.host}:{self.port}", "--data", str(self.data),
                 "--shards", str(self.shards), "--io", self.io]
        for key, value in self.settings.items():
            words += ["--set", f"{key}={value}"]
        return words + self.arguments

    def spawn(self):
        """Starts it and does not wait: for runs that are expected to fail."""
        assert not self.running
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.log, "ab") as log:
            self._log_start = log.tell()
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env={**os.environ, **self.env})
        return self.process

    def start(self):
        """Starts it and waits until it says that it is ready; later starts keep the port."""
        self.spawn()

        def ready():
            found = READY.search(self.log_of_this_run())
            if not found and not self.running:
                raise AssertionError(f"sluiced ended with {self.process.returncode}:\n"
                                     f"{self.log_of_this_run()}")
            return found

        try:
            self.port = int(wait_until("sluiced is ready", START_SECONDS, ready).group(2))
        except AssertionError:
            self.discard()
            raise
        return self

    def stop(self):
        """SIGTERM; it must drain and end with 0."""
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.discard()
            raise AssertionError(f"sluiced does not stop:\n{self.log_of_this_run()}") from None
        assert code == 0, f"sluiced ended with {code}:\n{self.log_of_this_run()}"

    def kill(self):
        """SIGKILL, as when the process crashes or is shot; it must have been alive."""
        assert self.running, f"sluiced has ended by itself:\n{self.log_of_this_run()}"
        self.process.kill()
        self.process.wait()

    def restart(self):
        self.stop()
        return self.start()

    def discard(self):
        """For cleaning up: ends it whatever its state, and judges nothing."""
        if self.running:
            self.process.kill()
            self.process.wait()

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, trace):
        # A test that fails already must not be hidden behind the way the broker ends.
        if kind is not None:
            self.discard()
        elif self.running:
            self.stop()
        else:
            raise AssertionError(f"sluiced ended with {self.process.returncode}:\n"
                                 f"{self.log_of_this_run()}")
