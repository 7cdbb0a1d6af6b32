"""A large file of real text: licences, manual pages and documentation of installed packages.

Every line is a record for kcat with a key, and can be judged after it came back:

    KKKKKK<TAB>NNNNNNNN KKKKKK text of the line as it stands in the package

K is the key, before the tab, and again in the value so that a reader sees that they belong
together.
N is the line's number: unique and rising, so sorted values are the values in the order sent.
"""
import gzip
import itertools
import pathlib

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
