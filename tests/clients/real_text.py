"""A large file of real text: licences, manual pages and documentation of installed packages.

Every line is a record for kcat with a key, and can be judged after it came back:

    KKKKKK<TAB>NNNNNNNN KKKKKK text of the line as it stands in the package

K is the key, before the tab, and again in the value so that a reader sees that they belong
together.
N is the line's number: unique and rising, so sorted values are the values in the order sent.

Memory stays bounded: lines flow through awk, which splits them by partition, and sort merges those.
"""
import gzip
import itertools
import pathlib
import subprocess

KEY_BYTES = 6
NUMBER_BYTES = 8
# The text is collected up to this and then repeated under other keys.
DISTINCT_BYTES_MAX = 32 << 20
DISTINCT_BYTES_MIN = 1 << 20
KEYS_A_ROUND = 1000

# Each is there on some machines: containers often leave manual pages out.
SOURCES = [("/usr/share/dict", "*"), ("/usr/share/common-licenses", "*"),
           ("/usr/share/man/man1", "*.gz"), ("/usr/share/man/man3", "*.gz"),
           ("/usr/share/doc", "*/copyright"), ("/usr/share/doc", "*/changelog*.gz"),
           ("/usr/share/perl", "**/*.pod"), ("/usr/share/perl", "**/*.pm"),
           ("/usr/share/i18n/locales", "*")]


def package_lines():
    """Lines of text files that packages installed, at most DISTINCT_BYTES_MAX of them."""
    lines = []
    total = 0
    for folder, pattern in SOURCES:
        # One kind of text must not take all the room.
        for path in sorted(pathlib.Path(folder).glob(pattern)):
            if not path.is_file() or path.is_symlink():
                continue
            try:
                text = gzip.open(path).read() if path.suffix == ".gz" else path.read_bytes()
            except OSError:
                continue
            lines.extend(text.split(b"\n"))
            total += len(text)
            if total >= DISTINCT_BYTES_MAX:
                return lines
    assert total >= DISTINCT_BYTES_MIN, f"only {total} bytes of text in the packages here"
    return lines


def write(path, size):
    """Writes lines until their values have `size` bytes; returns the number of lines."""
    lines = package_lines()
    written = 0
    number = 0
    with open(path, "wb", buffering=1 << 20) as out:
        for repeat in itertools.count():
            for index, text in enumerate(lines):
                # Neighbouring lines share a key for a while, as records of one source do.
                key = b"%06d" % (repeat * KEYS_A_ROUND + index // 16 % KEYS_A_ROUND)
                value = b"%08d %s %s" % (number, key, text)
                out.write(b"%s\t%s\n" % (key, value))
                written += len(value) + 1
                number += 1
                if written >= size:
                    return number


# "P KKKKKK value" per line: a value tells its key, a key stays in one partition, and each partition
# goes to a file of its own.
SPLIT_BY_PARTITION = r"""
BEGIN { FS = "\n" }
{
	partition = substr($0, 1, 1)
	key = substr($0, 2, 6)
	if (key != substr($0, 17, 6)) {
		print "another record's key: " $0 >"/dev/stderr"
		exit 1
	}
	if (!(key in home))
		home[key] = partition
	else if (home[key] != partition) {
		print "key " key " in partitions " home[key] " and " partition >"/dev/stderr"
		exit 1
	}
	print substr($0, 8) >(folder "/" partition)
}
"""
C_LOCALE = {"LC_ALL": "C", "PATH": "/usr/bin:/bin"}


def split(stream, folder, seconds):
    """Lines "PKKKKKKvalue" of a consumer: each partition's values go to a file of its own."""
    done = subprocess.run(["awk", "-v", f"folder={folder}", SPLIT_BY_PARTITION], stdin=stream,
                          capture_output=True, env=C_LOCALE, text=True, timeout=seconds,
                          check=False)
    assert (done.returncode, done.stderr) == (0, "")


def judge(folder, path, partitions, seconds):
    """Each partition in the order sent, and all of them together are the file."""
    parts = sorted(folder.iterdir())
    assert len(parts) == partitions
    for part in parts:
        order = subprocess.run(["sort", "-c", str(part)], env=C_LOCALE, capture_output=True,
                               text=True, timeout=seconds, check=False)
        assert (order.returncode, order.stderr) == (0, ""), "order within a partition"
    merge = subprocess.Popen(["sort", "-m", *map(str, parts)], env=C_LOCALE,
                             stdout=subprocess.PIPE)
    sent = subprocess.Popen(["cut", f"-b{KEY_BYTES + 2}-", str(path)], env=C_LOCALE,
                            stdout=subprocess.PIPE)
    with merge, sent:
        same = subprocess.run(["cmp", f"/dev/fd/{merge.stdout.fileno()}", "-"],
                              stdin=sent.stdout, pass_fds=[merge.stdout.fileno()],
                              capture_output=True, text=True, timeout=seconds, check=False)
    assert (same.returncode, same.stdout, same.stderr) == (0, "", ""), "lines sent and consumed"
