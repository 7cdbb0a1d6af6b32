"""What happened before what in different logs, where no clock is looked at.

The harness measures all logs twice, one pass after the other: what lies in a log before the first
pass ended happened before what was written to any log after the second began.  That is a cut.
"""
import bisect


class Cuts:
    def __init__(self):
        self.sizes = []  # (bytes by log's name, the same a little later), in the order of time
        self.lines = {}  # by log's name: (lines before each cut, lines not after it)

    def add(self, before, after):
        self.sizes.append((before, after))

    def find_lines(self, logs):
        """Turns the bytes of all cuts into lines."""
        for log in logs:
            before = [sizes.get(log.name, 0) for sizes, _ in self.sizes]
            after = [sizes.get(log.name, 0) for _, sizes in self.sizes]
            lines = lines_within(log, sorted({*before, *after}))
            self.lines[log.name] = ([lines[each][0] for each in before],
                                    [lines[each][1] for each in after])

    def first_after(self, where):
        """Index of the first cut that this event happened before, or how many there are."""
        return bisect.bisect_left(self.lines[where.log.name][0], where.line)

    def last_before(self, where):
        """Index of the last cut that this event happened after, or -1."""
        return bisect.bisect_left(self.lines[where.log.name][1], where.line) - 1


def lines_within(log, sizes):
    """By size: lines that are whole within that many bytes, lines that have begun there."""
    found, lines, at = {}, 0, 0
    with log.open() as file:
        for size in sizes:
            data = file.read(size - at)
            lines += data.count(b"\n")
            at = size
            found[size] = lines, lines + bool(data and not data.endswith(b"\n"))
    return found
