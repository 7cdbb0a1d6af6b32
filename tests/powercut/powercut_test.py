#!/usr/bin/env python3
"""Power cuts in the time that every run of the tests has: what the broker leaves is right, and the
bugs that it could have would be found."""

import collections
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "broker"))

import campaign  # noqa: E402
import oplog  # noqa: E402
import syscalls  # noqa: E402
from disk import Disk, Fixed, Sample  # noqa: E402
from progress import Progress  # noqa: E402
from recording import Recording  # noqa: E402

# Found within a few seconds; `campaign.py --plants` has all.
QUICK_PLANTS = (
    "records are answered before their segment is flushed",
    "a new segment's name is not synced",
    "the folder's mark is renamed before it is flushed",
)


def options(*arguments):
    return campaign.parse(["--seed", "7", "--lives", "2", *arguments])


def entry(kind, flags=0, inode=0, offset=0, length=0, path="", path2="", data=b""):
    return oplog.Entry(kind, flags, 0, inode, offset, length, path, path2, data)


def opened(path, inode):
    return entry(oplog.OPEN, oplog.CREATED, inode, path=path)


def written(inode, offset, data):
    return entry(oplog.WRITE, oplog.DIRECT, inode, offset, data=data)


NOTHING = Fixed(names=False, contents=False)
NAMES = Fixed(names=True, contents=False)
ALL = Fixed(names=True, contents=True)
SYNC_ROOT = entry(oplog.SYNC_FOLDER)


class DiskTest(unittest.TestCase):
    """The model of a disk, by hand."""

    def setUp(self):
        self.disk = Disk()
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    def apply(self, *entries):
        for each in entries:
            self.disk.apply(each)

    def after(self, chooser):
        """Contents by name after a cut now."""
        folder = self.folder / "cut"
        self.disk.lay_down(str(folder), chooser)
        found = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
        shutil.rmtree(folder)
        return found

    def test_without_a_sync_all_may_be_lost_or_there(self):
        self.apply(opened("a", 1), written(1, 0, b"x"))
        self.assertEqual(self.after(NOTHING), {})
        self.assertEqual(self.after(NAMES), {"a": b""})
        self.assertEqual(self.after(ALL), {"a": b"x"})

    def test_a_sync_of_the_file_makes_no_name_sure_and_one_of_the_folder_no_bytes(self):
        self.apply(opened("a", 1), written(1, 0, b"x"), entry(oplog.SYNC, inode=1))
        self.assertEqual(self.after(NOTHING), {})
        self.apply(SYNC_ROOT, written(1, 1, b"y"))
        self.assertEqual(self.after(NOTHING), {"a": b"x"})

    def test_a_rename_that_is_not_sure_leaves_the_old_names(self):
        self.apply(opened("a", 1), opened("a.new", 2), SYNC_ROOT)
        self.apply(written(2, 0, b"new"), entry(oplog.SYNC, inode=2))
        self.apply(entry(oplog.RENAME, path="a.new", path2="a"))
        self.assertEqual(self.after(NOTHING), {"a": b"", "a.new": b"new"})
        self.assertEqual(self.after(NAMES), {"a": b"new"})

    def test_names_of_one_folder_come_in_their_order(self):
        self.apply(opened("a", 1), opened("b", 2), opened("c", 3))
        seen = {
            frozenset(self.after(Sample(random.Random(seed)))) for seed in range(50)
        }
        self.assertEqual(seen, {frozenset("abc"[:count]) for count in range(4)})

    def test_a_flush_of_the_device_covers_settled_blocks_only(self):
        self.apply(opened("a", 1), SYNC_ROOT, entry(oplog.OPEN, oplog.UNNAMED, 9))
        self.apply(written(1, 0, bytes(4096)), entry(oplog.SYNC, inode=1))
        self.apply(written(1, 0, b"x" * 8192), entry(oplog.SYNC, inode=9))
        self.assertEqual(self.after(NOTHING), {"a": b"x" * 4096})

    def test_blocks_behind_a_truncation_are_settled_no_more(self):
        self.apply(opened("a", 1), SYNC_ROOT, entry(oplog.OPEN, oplog.UNNAMED, 9))
        self.apply(written(1, 0, bytes(8192)), entry(oplog.SYNC, inode=1))
        self.apply(entry(oplog.TRUNCATE, inode=1, length=4096), written(1, 0, b"x" * 8192))
        self.apply(entry(oplog.SYNC, inode=9))
        self.assertEqual(self.after(ALL), {"a": b"x" * 8192})
        self.assertEqual(self.after(NOTHING), {"a": b"x" * 4096 + bytes(4096)})

    def test_nothing_is_there_beyond_a_truncation_that_is_not(self):
        self.apply(opened("a", 1), written(1, 0, b"old"), entry(oplog.SYNC, inode=1), SYNC_ROOT)
        self.apply(entry(oplog.TRUNCATE, inode=1, length=0), written(1, 0, b"newer"))
        seen = {self.after(Sample(random.Random(seed)))["a"] for seed in range(80)}
        self.assertEqual(seen, {b"old", b"", b"newer", bytes(5)})

    def test_a_write_is_torn_at_sectors(self):
        self.apply(opened("a", 1), written(1, 0, bytes(1024)), entry(oplog.SYNC, inode=1))
        self.apply(SYNC_ROOT, written(1, 0, b"x" * 1024))
        seen = {self.after(Sample(random.Random(seed)))["a"] for seed in range(80)}
        sectors = (bytes(512), b"x" * 512)
        self.assertEqual(seen, {first + second for first in sectors for second in sectors})


class ProgressTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    def test_what_was_done_before_an_interruption_is_not_done_again(self):
        told = [{"point": at, "share": 0.5, "cuts": 8, "findings": []} for at in range(3)]
        told[1]["findings"] = [[1, "none", "gone"]]
        first = Progress(self.folder, options())
        for each in told[:2]:
            first.take(each)
        first.file.write('{"point": 7, "cu')
        first.close()
        second = Progress(self.folder, options())
        second.take(told[2])
        second.close()
        third = Progress(self.folder, options())
        self.addCleanup(third.close)
        self.assertEqual((third.done, third.cuts), ({0, 1, 2}, 24))
        self.assertEqual(third.findings, [[1, "none", "gone"]])


class CampaignTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="powercut-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def record(self, *arguments):
        chosen = options(*arguments)
        return campaign.record(self.folder / "first", chosen), chosen

    def test_what_was_told_is_there_after_every_cut(self):
        recording, chosen = self.record("--lives", "4", "--changes", "150", "--seconds", "5")
        points, _, findings = campaign.campaign(recording, chosen)
        self.assertEqual(findings, [])
        self.assertGreater(points, 0)

    def test_a_start_on_a_cut_folder_may_be_cut_itself(self):
        recording, chosen = self.record("--changes", "150", "--seconds", "3", "--again", "1")
        points, _, findings = campaign.campaign_again(recording, chosen)
        self.assertEqual(findings, [])
        self.assertGreater(points, 0)

    def test_the_recorder_misses_no_call(self):
        if not shutil.which("strace"):
            self.skipTest("no strace")
        trace = self.folder / "trace"
        prefix = syscalls.command(trace)
        try:
            subprocess.run([*prefix[:-1], "/dev/null", "true"], check=True, capture_output=True)
        except subprocess.CalledProcessError:
            self.skipTest("strace is not allowed here")
        recording = self.folder / "first"
        recording.mkdir()
        Recording(recording, 7, lives=2, changes=100, prefix=prefix).make()
        counted, unknown = syscalls.count(trace, recording / "data")
        self.assertEqual(unknown, set())
        names = {each: oplog.NAMES[each].removesuffix("-folder") for each in oplog.NAMES}
        entries = [each for each in oplog.read(recording / "oplog") if each.on_disk]
        self.assertEqual(counted, collections.Counter(names[each.kind] for each in entries))

    def test_planted_bugs_are_found(self):
        for number, what in enumerate(QUICK_PLANTS):
            with self.subTest(what):
                self.assertTrue(campaign.finds(what, self.folder / str(number), options()))


if __name__ == "__main__":
    unittest.main(verbosity=2)
