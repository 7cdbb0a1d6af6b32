"""What strace has seen of a broker's calls on its data folder, counted as the recorder would."""

import collections
import pathlib
import re

CALL = re.compile(r"^(\w+)\((.*)\)\s+= (-?\d+|\?)")
KINDS = {
    "write": ("write", "pwrite64", "writev", "pwritev", "pwritev2"),
    "truncate": ("ftruncate",),
    "allocate": ("fallocate",),
    "rename": ("rename", "renameat", "renameat2"),
    "mkdir": ("mkdir", "mkdirat"),
    "unlink": ("unlink", "unlinkat"),
    "rmdir": ("rmdir",),
    "sync": ("fsync", "fdatasync"),
    "open": ("open", "openat"),
}
KIND_OF = {call: kind for kind, calls in KINDS.items() for call in calls}
# They change nothing.
HARMLESS = set(
    "access close execve faccessat faccessat2 fadvise64 fcntl flock fstat fstatfs getdents64 ioctl "
    "lseek newfstatat pread64 preadv preadv2 read readlink stat statfs statx".split()
)


def command(prefix):
    """What to put before the broker's command: a file a thread, PREFIX.tid; not its parent, so that
    signals go to the broker."""
    return ["strace", "-D", "-ff", "-y", "-s", "4096", "-o", str(prefix)]


def _kind(call, arguments):
    if call == "open" and "O_DIRECTORY" in arguments:
        return None
    if call == "unlink" and "AT_REMOVEDIR" in arguments:
        return "rmdir"
    return call


def count(prefix, folder):
    """Calls that have changed or synced what is below the folder, by kind; and the names of those
    that nobody here knows."""
    below = re.compile(re.escape(str(folder)) + r'[/>"]')
    itself = f'"{folder}"'
    counted, unknown = collections.Counter(), set()
    for path in pathlib.Path(prefix).parent.glob(pathlib.Path(prefix).name + ".*"):
        for line in path.read_text("utf-8", "replace").splitlines():
            found = CALL.match(line)
            if not found or not below.search(found[2]) or found[3].startswith("-"):
                continue
            call = found[1]
            if call in HARMLESS or call == "mmap" and "MAP_PRIVATE" in found[2]:
                continue
            if call not in KIND_OF:
                unknown.add(call)
            elif kind := _kind(KIND_OF[call], found[2]):
                counted[kind] += not (kind == "mkdir" and itself in found[2])
    return counted, unknown
