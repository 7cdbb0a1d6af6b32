#!/usr/bin/env python3
"""The life of the Debian packages on a clean host, as an operator would see it.

    tests/package/lifecycle.py PACKAGES NEWER-PACKAGES [--cache FOLDER] [--log FILE]

A minimal Debian 12 is booted with systemd.  The packages are installed by apt, the unit runs as it
stands, records come and go by `sluice` and kcat; then the newer packages, a step back, removal,
and purge, each with a look at what has to be kept.  Prints what it does; ends with 1 when
something is not as it should be.  Needs root; leaves nothing behind but the cache of the
minimal root.
"""
import argparse
import pathlib
import re
import resource
import signal
import sys
import tempfile

from container import APT, Failure, container, expect, run, say

NAMES = ("libsluice0", "sluice-broker", "sluice-tools")
# The packages of DPDK's drivers that a virtual NIC takes.
DRIVERS = ("librte-bus-vdev23", "librte-mempool-ring23", "librte-net-memif23", "librte-net-tap23")
KEPT = "conf.d/50-kept.conf"


def packages_in(folder):
    """The .deb of each package that is installed, by its name on the host."""
    found = []
    for name in NAMES:
        of_name = sorted(folder.glob(f"{name}_*.deb"))
        if len(of_name) != 1:
            raise Failure(f"{folder} has {len(of_name)} packages {name}, wanted one: "
                          "hw/package/build makes them")
        found.append(of_name[0].name)
    return found


def version_of(folder):
    """The version in the packages' names."""
    return packages_in(folder)[0].split("_")[1]


class Life:
    """One host and what was stored on it; `places` are the folders' names there."""

    def __init__(self, host, places):
        self.host = host
        self.places = places
        self.stored = []

    def apt(self, *words):
        """apt-get on the booted host, which has no network: what it needs was fetched before."""
        return self.host.run(*APT, *words)

    def apt_install(self, folder, *words):
        """Installs the packages of a folder."""
        self.apt("install", *words,
                 *(f"{self.places[folder]}/{name}" for name in packages_in(folder)))

    def installed_version(self):
        """What dpkg says is installed, empty for nothing."""
        done = self.host.try_run("dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}",
                                 "sluice-broker")
        status, _, version = done.stdout.partition(" ")
        return version if status == "installed" else ""

    def unit(self, what, name="sluiced"):
        """A property of a unit."""
        return self.host.run("systemctl", "show", "-P", what, name).strip()

    def produce(self, word):
        """One record by each of the two clients."""
        for client, words in (("sluice", ["sluice", "produce", "kept"]),
                              ("kcat", ["kcat", "-b", "127.0.0.1:9092", "-P", "-t", "kept",
                                        "-X", "acks=all"])):
            self.host.run("timeout", "20", *words, stdin=f"{word} by {client}\n")
            self.stored.append(f"{word} by {client}")

    def consume(self):
        """Both clients read everything that was ever stored, in order."""
        for words in (["sluice", "consume", "kept", "--exit"],
                      ["kcat", "-q", "-b", "127.0.0.1:9092", "-C", "-t", "kept", "-e"]):
            got = self.host.run("timeout", "20", *words).splitlines()
            expect(got == self.stored, f"{words[0]} reads all {len(self.stored)} records")

    def runs(self):
        """The unit is up: it said READY, or systemd would still call it activating."""
        self.host.wait("sluiced.service to be active", lambda: self.host.try_run(
            "systemctl", "is-active", "sluiced").stdout.strip() == "active", 30)
        expect(self.unit("SubState") == "running", "sluiced.service is active: it said READY")

    def install(self, folder):
        """From nothing to a broker that serves."""
        say("installs the packages with apt")
        self.apt_install(folder)
        self.runs()

    def is_confined(self):
        """The unit's process has the rights that its file says, and no others."""
        process = f"/proc/{self.unit('MainPID')}"
        status = self.host.run("cat", f"{process}/status")
        limits = self.host.run("cat", f"{process}/limits")
        owner = self.host.run("stat", "-c", "%U", process).strip()
        expect(owner == "sluice", "it runs as the user sluice")
        expect(re.search(r"^CapEff:\s+0+$", status, re.M), "it has no capability")
        expect(re.search(r"^NoNewPrivs:\s+1$", status, re.M) and
               re.search(r"^Seccomp:\s+2$", status, re.M), "it gets none, and a system call filter")
        wanted = int(self.unit("LimitNOFILE"))
        # Without CAP_SYS_RESOURCE of its own a machine gives no more than it has.
        given = int(re.search(r"^Max open files\s+(\d+) ", limits, re.M).group(1))
        machine = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        expect(given in (wanted, machine), f"{given} open files ({wanted} wanted)")
        ready = self.host.run("journalctl", "-u", "sluiced", "-o", "cat")
        expect("io=uring" in ready, "within all that it uses io_uring")

    def obeys(self):
        """Reload, a setting in conf.d, stop and start."""
        say("reloads, restarts, stops")
        before = self.unit("MainPID")
        (self.host.root / "etc/sluice" / KEPT).write_text("num.partitions = 1\n")
        self.host.run("systemctl", "reload", "sluiced")
        self.runs()
        expect(self.unit("MainPID") == before, "a reload leaves the process")
        self.host.run("systemctl", "restart", "sluiced")
        expect(self.unit("MainPID") != before, "a restart takes a new one")
        self.host.run("systemctl", "stop", "sluiced")
        expect(self.unit("Result") == "success", "it stops in time, with success")
        self.host.run("systemctl", "start", "sluiced")
        self.runs()

    def drives_a_nic(self):
        """The other unit: a port of shared memory, whose other frames a TAP takes to the kernel."""
        say("starts the unit for a NIC of its own")
        settings = self.host.root / "etc/sluice/conf.d/60-nic.conf"
        settings.write_text("dpdk.port = net_memif0,role=server,id=0,socket-abstract=no,"
                            "socket=/var/lib/sluice/memif\n"
                            "dpdk.address = 192.0.2.7/24\ndpdk.exception = tap\n")
        self.host.run("systemctl", "start", "sluiced-dpdk")
        expect(self.unit("ActiveState") == "inactive", "starting it has stopped the other")
        status = self.host.run("cat", f"/proc/{self.unit('MainPID', 'sluiced-dpdk')}/status")
        # Bit 12 is CAP_NET_ADMIN.
        expect(re.search(r"^CapEff:\s+0{12}1000$", status, re.M), "it has CAP_NET_ADMIN alone")
        expect("sluice0" in self.host.run("ls", "/sys/class/net"),
               "with it, and /dev/net/tun, it has made an interface")
        settings.unlink()
        self.host.run("systemctl", "start", "sluiced")
        expect(self.unit("ActiveState", "sluiced-dpdk") == "inactive", "and back again")

    def goes_to(self, folder, words, what):
        """Another version over this one: the broker restarts, nothing is lost."""
        say(f"{what} to {version_of(folder)}")
        before = self.unit("MainPID")
        self.produce(f"before the {what}")
        self.apt_install(folder, *words)
        expect(self.installed_version() == version_of(folder), "that version is installed")
        self.runs()
        expect(self.unit("MainPID") != before, f"the {what} restarted the broker")
        expect((self.host.root / "etc/sluice" / KEPT).exists(), "the operator's settings are kept")
        self.consume()

    def removed(self):
        """What remove leaves."""
        say("removes the packages")
        self.apt("remove", *NAMES)
        expect(not self.installed_version(), "they are gone")
        expect(not self.host.try_run("pgrep", "-x", "sluiced").stdout,
               "the broker has been stopped")
        expect((self.host.root / "etc/sluice/sluice.conf").exists() and
               (self.host.root / "etc/sluice" / KEPT).exists(), "settings are left")
        expect((self.host.root / "var/lib/sluice/topics").exists(), "data is left")

    def purged(self):
        """What purge leaves."""
        say("purges the packages")
        told = self.apt("purge", *NAMES)
        expect(not (self.host.root / "etc/sluice").exists(), "settings are gone")
        expect((self.host.root / "var/lib/sluice/topics").exists() and
               "/var/lib/sluice is kept" in told, "data is kept, and purge says so")
        left = self.host.run("find", "/etc", "/lib", "/usr", "/var", "-xdev", "-name", "*sluice*",
                             "-not", "-path", "/var/lib/sluice*",
                             "-not", "-path", "/var/cache/apt/*").split()
        expect(not left, f"no other file of ours is left {left}")


def same_programs(folder, newer):
    """Built in two folders, the programs are the same byte for byte."""
    digests = []
    for packages in (folder, newer):
        with tempfile.TemporaryDirectory() as unpacked:
            for name in packages_in(packages):
                run(["dpkg-deb", "--extract", packages / name, unpacked])
            files = sorted(pathlib.Path(unpacked, "usr").glob("bin/*"))
            files += sorted(pathlib.Path(unpacked, "usr/lib").glob("*/libsluice.so.*.*.*"))
            digests.append(run(["sha256sum", *[file.relative_to(unpacked)
                                                       for file in files]], cwd=unpacked))
    expect(digests[0] == digests[1] and digests[0].count("\n") == 4,
           "the programs of both builds are the same, byte for byte")


def live(folder, newer, cache, log):
    """The whole life."""
    same_programs(folder, newer)
    places = {folder: "/packages", newer: "/newer-packages"}
    with container(cache, places) as host:
        say("adds systemd, kcat and some DPDK drivers, fetches what the packages depend on")
        host.prepare(*APT, "update")
        host.prepare(*APT, "install", "systemd-sysv", "procps", "kcat", *DRIVERS)
        host.prepare(*APT, "install", "--download-only",
                     *(f"/packages/{name}" for name in packages_in(folder)))
        say("boots it")
        host.boot(log)
        life = Life(host, places)
        try:
            life.install(folder)
            life.is_confined()
            life.produce("after the installation")
            life.consume()
            life.obeys()
            life.drives_a_nic()
            life.consume()
            life.goes_to(newer, [], "upgrade")
            life.goes_to(folder, ["--allow-downgrades"], "downgrade")
            life.removed()
            life.install(folder)
            life.consume()
            life.purged()
        except Failure:
            print(host.try_run("journalctl", "--no-pager", "-n", "40", "-u", "sluiced*").stdout, file=sys.stderr)
            raise


def main():
    """Command line and exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("packages", type=pathlib.Path)
    parser.add_argument("newer", type=pathlib.Path)
    parser.add_argument("--cache", type=pathlib.Path, default=pathlib.Path(".cache/package"))
    parser.add_argument("--log", type=argparse.FileType("w"), default="/dev/null",
                        help="for what the booted host prints")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        live(args.packages.resolve(), args.newer.resolve(), args.cache, args.log)
    except Failure as failure:
        print(f"package-test: {failure}", file=sys.stderr)
        return 1
    say("installed, upgraded, removed and purged as they should be")
    return 0


if __name__ == "__main__":
    sys.exit(main())
