#!/usr/bin/env python3
"""What `meson install` leaves: files, units, the library as others see it.

    tests/package/install_tree_test.py --build DIR

Installs a built folder into a temporary one.  What systemd's own tools say of units needs them on
the machine; without, those tests are skipped.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
UNITS = ("sluiced.service", "sluiced-dpdk.service")
BUILD = None


def run(*words, **options):
    """What a command printed on both streams; it has to succeed."""
    done = subprocess.run([str(word) for word in words], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False, timeout=60, **options)
    if done.returncode:
        raise AssertionError(f"{words}: exit {done.returncode}\n{done.stdout}")
    return done.stdout


def build_options():
    """The folders that the build was set up with."""
    listed = json.loads((BUILD / "meson-info/intro-buildoptions.json").read_text())
    return {row["name"]: row["value"] for row in listed}


def directives(unit):
    """The unit's values by name, each a list as a directive may stand there several times."""
    found = {}
    for line in unit.read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def milliseconds(text):
    """A time as sluice.conf writes it."""
    number, unit = re.fullmatch(r"(\d+)([a-z]*)", text).groups()
    return int(number) * {"": 1, "ms": 1, "s": 1000, "min": 60000, "h": 3600000}[unit]


class InstallTree(unittest.TestCase):
    """One installation for all tests."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="sluice-install-")
        cls.tree = pathlib.Path(cls.folder.name) / "tree"
        run("meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir", cls.tree)
        options = build_options()
        cls.prefix = cls.tree / options["prefix"].lstrip("/")
        cls.lib = cls.prefix / options["libdir"]
        cls.etc = pathlib.Path(f"{cls.tree}{pathlib.Path(options['prefix'], options['sysconfdir'])}")
        cls.units = (pathlib.Path(f"{cls.tree}{options['systemd_unit_dir']}")
                     if options["systemd_unit_dir"] else cls.prefix / "lib/systemd/system")

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def test_every_part_of_an_installation_is_there(self):
        wanted = [self.etc / "sluice/sluice.conf", self.lib / "libsluice.so",
                  self.lib / "pkgconfig/libsluice.pc", *(self.units / unit for unit in UNITS)]
        wanted += [self.prefix / path for path in (
            "bin/sluice", "bin/sluice-bench", "bin/sluiced", "include/sluice.h",
            "lib/sysusers.d/sluice-broker.conf", "lib/tmpfiles.d/sluice-broker.conf",
            "libexec/sluice/vfio-access", "share/man/man1/sluice.1",
            "share/sluice/monitoring/alerts.yml", "share/sluice/monitoring/dashboard.json",
            "share/man/man1/sluice-bench.1", "share/man/man8/sluiced.8",
            "share/bash-completion/completions/sluice.bash",
            "share/fish/vendor_completions.d/sluice.fish",
            "share/zsh/vendor-completions/_sluice")]
        self.assertEqual([str(path) for path in wanted if not path.exists()], [])

    def test_the_installed_settings_are_accepted(self):
        config = self.etc / "sluice/sluice.conf"
        run(self.prefix / "bin/sluiced", "--config", config, "--check")
        self.assertEqual(re.findall(r"^[a-z].*", config.read_text(), re.M),
                         ["data = /var/lib/sluice"])

    def test_a_stop_is_given_more_time_than_draining_takes(self):
        config = (self.etc / "sluice/sluice.conf").read_text()
        drain = milliseconds(re.search(r"^#shutdown\.drain\.ms = (\S+)", config, re.M).group(1))
        for unit in UNITS:
            stop = milliseconds(directives(self.units / unit)["TimeoutStopSec"][0])
            self.assertGreater(stop, 2 * drain, unit)

    def test_units_notify_are_watched_and_exclude_each_other(self):
        for unit, other in (UNITS, UNITS[::-1]):
            found = directives(self.units / unit)
            self.assertEqual(found["Type"], ["notify"])
            self.assertIn("WatchdogSec", found)
            self.assertEqual(found["Conflicts"], [other])
            self.assertEqual(found["User"], ["sluice"])

    def test_only_the_unit_with_a_nic_has_rights_and_devices(self):
        plain, dpdk = (directives(self.units / unit) for unit in UNITS)
        self.assertEqual((plain["CapabilityBoundingSet"], plain["AmbientCapabilities"],
                          plain["PrivateDevices"]), ([""], [""], ["yes"]))
        self.assertEqual((dpdk["CapabilityBoundingSet"], dpdk["AmbientCapabilities"]),
                         (["CAP_NET_ADMIN"], ["CAP_NET_ADMIN"]))
        self.assertEqual(sorted(dpdk["DeviceAllow"]),
                         ["/dev/net/tun rw", "/dev/vfio/vfio rw", "/dev/vhost-net rw",
                          "char-vfio rw"])

    @unittest.skipUnless(shutil.which("systemd-analyze"), "no systemd-analyze")
    def test_systemd_accepts_and_rates_the_units(self):
        moved = pathlib.Path(self.folder.name) / "units"
        moved.mkdir()
        prefix = str(self.prefix)[len(str(self.tree)):]
        units = (*UNITS, "sluice-tune.service")
        for unit in units:
            text = (self.units / unit).read_text()
            for word in ("bin", "libexec"):
                text = text.replace(f"{prefix}/{word}/", f"{self.prefix}/{word}/")
            (moved / unit).write_text(text)
        self.assertEqual(run("systemd-analyze", "verify", "--man=no",
                             *(moved / unit for unit in units)), "")
        for unit, worst in zip(UNITS, (1.6, 2.2)):
            run("systemd-analyze", "security", "--offline=true", "--no-pager",
                f"--threshold={worst * 10:.0f}", moved / unit)

    @unittest.skipUnless(shutil.which("systemd-sysusers") and os.geteuid() == 0,
                         "no systemd-sysusers, or not root")
    def test_the_user_and_the_folders_can_be_made(self):
        root = pathlib.Path(self.folder.name) / "root"
        (root / "etc").mkdir(parents=True)
        for what, tool, words in (("sysusers", "systemd-sysusers", []),
                                  ("tmpfiles", "systemd-tmpfiles", ["--create"])):
            run(tool, f"--root={root}", *words,
                self.copied(self.prefix / f"lib/{what}.d/sluice-broker.conf", root, what))
        user = next(line.split(":") for line in (root / "etc/passwd").read_text().splitlines()
                    if line.startswith("sluice:"))
        data = (root / "var/lib/sluice").stat()
        self.assertEqual((data.st_uid, data.st_mode & 0o777), (int(user[2]), 0o750))

    @staticmethod
    def copied(path, root, what):
        """Its name within a root where the tool looks for it."""
        folder = root / f"usr/lib/{what}.d"
        folder.mkdir(parents=True)
        shutil.copy(path, folder)
        return path.name

    def test_the_library_shows_its_versioned_functions_only(self):
        shown = run("nm", "--dynamic", "--defined-only", self.lib / "libsluice.so").split("\n")
        names = [line.split()[-1] for line in shown if line and " A " not in line]
        self.assertGreater(len(names), 20)
        self.assertEqual([name for name in names
                          if not re.fullmatch(r"sluice_\w+@@SLUICE_\d+\.\d+", name)], [])
        self.assertEqual(os.readlink(self.lib / "libsluice.so"), "libsluice.so.0")

    def test_the_examples_build_against_the_installation(self):
        environment = dict(os.environ, PKG_CONFIG_LIBDIR=str(self.lib / "pkgconfig"),
                           PKG_CONFIG_SYSROOT_DIR=str(self.tree))
        flags = run("pkg-config", "--cflags", "--libs", "libsluice", env=environment).split()
        for example in ("consumer", "producer"):
            run("cc", "-o", pathlib.Path(self.folder.name) / example,
                SOURCE / f"client/examples/{example}.c", *flags,
                "-Wl,--allow-shlib-undefined")

    @unittest.skipUnless(shutil.which("man"), "no man")
    def test_the_manual_pages_format_without_a_warning(self):
        for page in self.prefix.glob("share/man/man*/*"):
            said = subprocess.run(["man", "--warnings", "-l", page], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE, text=True, check=False, timeout=60,
                                  env=dict(os.environ, MANROFFSEQ="", MANWIDTH="80"))
            self.assertEqual((said.returncode, said.stderr), (0, ""), page.name)

    def test_the_bash_completion_is_valid_shell(self):
        run("bash", "-n", self.prefix / "share/bash-completion/completions/sluice.bash")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=pathlib.Path, required=True)
    arguments, rest = parser.parse_known_args()
    BUILD = arguments.build.resolve()
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)
