"""What recorder.c has written: entries in the order in which they happened."""

import struct
from typing import NamedTuple

(
    RUN,
    OPEN,
    WRITE,
    TRUNCATE,
    ALLOCATE,
    RENAME,
    UNLINK,
    RMDIR,
    MKDIR,
    SYNC,
    SYNC_FOLDER,
    SENT,
    RECEIVED,
) = range(1, 14)
NAMES = "run open write truncate allocate rename unlink rmdir mkdir sync sync-folder sent received"
NAMES = dict(enumerate(NAMES.split(), 1))
CREATED, TRUNCATED, UNNAMED = 1, 2, 4  # of OPEN
DIRECT = 8  # of WRITE
DATA_ONLY = 1  # of SYNC
KEEP_SIZE = 1  # of ALLOCATE: fallocate's mode
HEAD = struct.Struct("<IBBHQQQHHI")


def is_on_disk(kind):
    return RUN < kind < SENT


class Entry(NamedTuple):
    kind: int
    flags: int
    port: int
    inode: int
    offset: int
    length: int
    path: str
    path2: str
    data: bytes

    @property
    def on_disk(self):
        return is_on_disk(self.kind)

    def __str__(self):
        text = NAMES[self.kind]
        if self.inode:
            text += f" #{self.inode}"
        if self.path:
            text += f" {self.path}"
        if self.path2:
            text += f" -> {self.path2}"
        if self.kind in (WRITE, ALLOCATE):
            text += f" [{self.offset}, {self.offset + (self.length or len(self.data))})"
        if self.kind == TRUNCATE:
            text += f" to {self.length}"
        return text


def read(path):
    with open(path, "rb") as file:
        content = file.read()
    entries = []
    at = 0
    while at < len(content):
        size, kind, flags, port, inode, offset, length, *sizes = HEAD.unpack_from(content, at)
        ends = [at + HEAD.size]
        for each in sizes:
            ends.append(ends[-1] + each)
        assert ends[-1] == at + size <= len(content), f"{path}: damaged at byte {at}"
        path1 = content[ends[0] : ends[1]].decode()
        path2 = content[ends[1] : ends[2]].decode()
        data = content[ends[2] : ends[3]]
        entries.append(Entry(kind, flags, port, inode, offset, length, path1, path2, data))
        at += size
    return entries


class Counter:
    """Counts the changes of the folder while they are being written down."""

    def __init__(self, path):
        self.path = path
        self.at = self.changes = 0

    def count(self):
        with open(self.path, "rb") as file:
            while True:
                file.seek(self.at)
                head = file.read(HEAD.size)
                if len(head) < HEAD.size:
                    return self.changes
                size, kind = HEAD.unpack(head)[:2]
                self.at += size
                self.changes += is_on_disk(kind)
