"""A data folder as a disk has it: what is there for sure, and what is only on its way.

Entries are applied one by one; at any time `lay_down` writes the folder as a power cut then may
leave it.  The rules:

- A file's bytes and size are sure once fsync or fdatasync of that file has returned.
- A flush of the device, which is what fdatasync of the store's unnamed file is, makes those bytes
  sure that O_DIRECT has written into settled blocks: blocks that had been written and were sure,
  inside a size that was sure.
- Names (files made, renamed, removed; folders made, removed) are sure once fsync of their folder
  has returned.  A sync of the file does not make its name sure, nor the other way round.
- Of what is not sure any subset may be there: writes each for itself, also in part by sectors of
  512 bytes, the file grown by the whole write or not at all, but nothing beyond a truncation or
  allocation that is not there; of the names of one folder those that were changed first.
- Different files and folders have nothing to do with each other.
"""

import os

import oplog

BLOCK, SECTOR = 4096, 512


class Content:
    """Bytes, and a size that may lie behind them: the rest is zeros."""

    def __init__(self, size=0, data=b""):
        self.size = size
        self.data = bytearray(data)

    def copy(self):
        return Content(self.size, self.data)

    def put(self, offset, data):
        if offset > len(self.data):
            self.data.extend(bytes(offset - len(self.data)))
        self.data[offset : offset + len(data)] = data
        self.size = max(self.size, offset + len(data))

    def resize(self, change):
        kind, size = change[0], change[1]
        if kind == "size":
            del self.data[size:]
            self.size = size
        else:
            self.size = max(self.size, size)


class File:
    def __init__(self, unnamed, sure=None):
        self.unnamed = unnamed
        self.sure = sure or Content()
        self.settled = set(range(-(-len(self.sure.data) // BLOCK)))  # numbers of blocks
        self.pending = []  # ("write", offset, bytes, direct), ("size", new), ("grow", new)

    def sync(self):
        for change in self.pending:
            self._apply(change)
        self.pending = []

    def _apply(self, change):
        if change[0] != "write":
            self.sure.resize(change)
            self.unsettle_behind(self.sure.size)
            return
        _, offset, data, _ = change
        self.sure.put(offset, data)
        self.settled.update(range(offset // BLOCK, -(-(offset + len(data)) // BLOCK)))

    def unsettle_behind(self, size):
        last = -(-size // BLOCK)
        self.settled = {block for block in self.settled if block < last}

    def truncate(self, size):
        """What lay behind is not settled from now on, though it may still be there after a cut."""
        self.pending.append(("size", size))
        self.unsettle_behind(size)

    def flush_device(self):
        """Writes, or the parts of them, that lie in settled blocks."""
        left = []
        for change in self.pending:
            if change[0] != "write" or not change[3]:
                left.append(change)
                continue
            for start, piece, settled in self._by_settled(change[1], change[2]):
                if settled:
                    self.sure.put(start, piece)
                else:
                    left.append(("write", start, piece, True))
        self.pending = left

    def _by_settled(self, offset, data):
        start = offset
        end = offset + len(data)
        while start < end:
            settled = start // BLOCK in self.settled
            stop = start
            while stop < end and (stop // BLOCK in self.settled) == settled:
                stop = min(end, (stop // BLOCK + 1) * BLOCK)
            yield start, data[start - offset : stop - offset], settled
            start = stop

    def content_with(self, chooser):
        if not self.pending:
            return self.sure
        content = self.sure.copy()
        limit = None  # nothing is there beyond a change of size that is not
        for change, share in zip(self.pending, chooser.changes(self.pending)):
            if change[0] != "write":
                if limit is None and share is None:
                    limit = min(content.size, change[1])
                elif limit is None:
                    content.resize(change)
                continue
            if share is None:
                continue
            pieces, size = share
            if limit is None:
                content.resize(("grow", size))
            end = content.size if limit is None else limit
            for offset, data in pieces:
                if data := data[: max(0, end - offset)]:
                    content.put(offset, data)
        return content


class Folder:
    def __init__(self):
        self.sure = {}
        self.now = {}
        self.pending = []  # ("put", name, node), ("drop", name), ("rename", from, to)

    def change(self, *change):
        self.pending.append(change)
        rename(self.now, change)

    def sync(self):
        for change in self.pending:
            rename(self.sure, change)
        self.pending = []

    def names_with(self, chooser):
        if not self.pending:
            return self.sure
        names = dict(self.sure)
        for change in self.pending[: chooser.names(len(self.pending))]:
            rename(names, change)
        return names


def rename(names, change):
    if change[0] == "put":
        names[change[1]] = change[2]
    elif change[0] == "drop":
        names.pop(change[1])
    else:
        names[change[2]] = names.pop(change[1])


# ---- what a cut leaves of what is not sure ----


class Fixed:
    """All or nothing of names, all or nothing of contents."""

    def __init__(self, names, contents):
        self.all_names, self.all_contents = names, contents

    def names(self, count):
        return count if self.all_names else 0

    def changes(self, pending):
        for change in pending:
            yield _whole(change) if self.all_contents else None


class Sample:
    """Drawn: how much of each folder's and file's changes, and of torn writes which sectors."""

    def __init__(self, random):
        self.random = random

    def names(self, count):
        return self.random.choice((0, count, self.random.randint(0, count)))

    def changes(self, pending):
        random = self.random
        keep = random.choice((0.1, 0.5, 0.9))
        for change in pending:
            drawn = random.random()
            if change[0] == "write" and drawn < 0.3:
                grown = change[1] + len(change[2]) if random.random() < 0.5 else 0
                yield self._torn(change[1], change[2]), grown
            else:
                yield _whole(change) if random.random() < keep else None

    def _torn(self, offset, data):
        """Some of the sectors."""
        random = self.random
        cuts = list(range((offset // SECTOR + 1) * SECTOR, offset + len(data), SECTOR))
        starts = [offset, *cuts]
        ends = [*cuts, offset + len(data)]
        how = random.choice(("first", "last", "any"))
        at = random.randrange(len(starts) + 1)
        for index, (start, end) in enumerate(zip(starts, ends)):
            kept = {"first": index < at, "last": index >= at, "any": random.random() < 0.5}[how]
            if kept:
                yield start, data[start - offset : end - offset]


def _whole(change):
    """The pieces of a write, and the size that the file then has at least."""
    if change[0] != "write":
        return [], 0
    return [(change[1], change[2])], change[1] + len(change[2])


class Disk:
    def __init__(self):
        self.root = Folder()
        self.files = {}  # by inode, as long as it is the number of one of them
        self.changed = self.synced = 0  # how often anything was, so far

    def _folder(self, path):
        node = self.root
        for name in path.split("/") if path else ():
            node = node.now[name]
        return node

    def _place(self, path):
        parent, _, name = path.rpartition("/")
        return self._folder(parent), name

    def apply(self, entry):
        """True where something has become sure."""
        getattr(self, "_" + oplog.NAMES[entry.kind].replace("-", "_"))(entry)
        sync = entry.kind in (oplog.SYNC, oplog.SYNC_FOLDER)
        self.synced += sync
        self.changed += not sync
        return sync

    def state(self, chooser):
        """Equal for cuts that leave the same; None where nothing is known of that."""
        if not isinstance(chooser, Fixed):
            return None
        names, contents = chooser.all_names, chooser.all_contents
        if names and contents:
            return "all", self.changed
        if not names and not contents:
            return "none", self.synced
        return names, contents, self.changed, self.synced

    def _open(self, entry):
        if entry.flags & (oplog.CREATED | oplog.UNNAMED):
            self.files[entry.inode] = File(bool(entry.flags & oplog.UNNAMED))
        if entry.flags & oplog.CREATED:
            folder, name = self._place(entry.path)
            folder.change("put", name, self.files[entry.inode])
        if not entry.flags & oplog.UNNAMED:
            # A folder that was there before the recording has files without a number yet.
            folder, name = self._place(entry.path)
            self.files.setdefault(entry.inode, folder.now[name])
        if entry.flags & oplog.TRUNCATED:
            self.files[entry.inode].truncate(0)

    def _write(self, entry):
        direct = bool(entry.flags & oplog.DIRECT)
        self.files[entry.inode].pending.append(("write", entry.offset, entry.data, direct))

    def _truncate(self, entry):
        self.files[entry.inode].truncate(entry.length)

    def _allocate(self, entry):
        assert entry.flags in (0, oplog.KEEP_SIZE), "of fallocate only what adds room"
        if not entry.flags & oplog.KEEP_SIZE:
            self.files[entry.inode].pending.append(("grow", entry.offset + entry.length))

    def _rename(self, entry):
        folder, old = self._place(entry.path)
        other, new = self._place(entry.path2)
        assert folder is other, "names stay in their folder"
        folder.change("rename", old, new)

    def _unlink(self, entry):
        folder, name = self._place(entry.path)
        folder.change("drop", name)

    _rmdir = _unlink

    def _mkdir(self, entry):
        folder, name = self._place(entry.path)
        folder.change("put", name, Folder())

    def _sync(self, entry):
        file = self.files[entry.inode]
        if file.unnamed and not file.pending:
            for each in self.files.values():
                if each.pending:
                    each.flush_device()
        file.sync()

    def _sync_folder(self, entry):
        self._folder(entry.path).sync()

    def lay_down(self, path, chooser):
        """The folder as a cut may leave it; `path` must not exist."""
        _lay_folder(self.root, path, chooser)

    def after_cut(self, chooser):
        """The disk that a start after such a cut finds."""
        disk = Disk()
        disk.root = _cut_folder(self.root, chooser)
        return disk


def _lay_folder(folder, path, chooser):
    os.mkdir(path)
    for name, node in folder.names_with(chooser).items():
        target = f"{path}/{name}"
        if isinstance(node, Folder):
            _lay_folder(node, target, chooser)
            continue
        content = node.content_with(chooser)
        fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        os.write(fd, content.data)
        if content.size != len(content.data):
            os.ftruncate(fd, content.size)
        os.close(fd)


def _cut_folder(folder, chooser):
    after = Folder()
    for name, node in folder.names_with(chooser).items():
        if isinstance(node, Folder):
            after.sure[name] = _cut_folder(node, chooser)
        else:
            after.sure[name] = File(unnamed=False, sure=node.content_with(chooser).copy())
    after.now = dict(after.sure)
    return after
