"""Rule 1 where files are damaged: what the broker says is lost, and readers who were told so.

A reader that was refused what lies at its position passes over what is quarantined there.  Nothing
may be quarantined but records whose bytes were damaged, and who was given nothing of them must have
been told.
"""
import bisect

from violation import Violation


class Ranges:
    """Offsets, of [from, to) one by one added."""

    def __init__(self, rows=()):
        self.starts, self.ends = [], []
        for first, after in sorted(rows):
            if self.ends and first <= self.ends[-1]:
                self.ends[-1] = max(self.ends[-1], after)
            else:
                self.starts.append(first)
                self.ends.append(after)

    def cover(self, first, after):
        at = bisect.bisect_right(self.starts, first) - 1
        return first >= after or (at >= 0 and after <= self.ends[at])

    def __contains__(self, offset):
        return self.cover(offset, offset + 1)

    def between(self, first, after):
        """What is left of [first, after) without these."""
        for start, end in zip(self.starts, self.ends):
            if end <= first:
                continue
            if start >= after:
                break
            if start > first:
                yield first, start
            first = max(first, end)
        if first < after:
            yield first, after


class QuarantineRules:
    def __init__(self, place):
        self.place = place
        self.lost = Ranges((first, after) for first, after, _ in place.quarantined)

    def violations(self):
        damaged = Ranges(self.place.damaged)
        for first, after, where in self.place.quarantined:
            if not damaged.cover(first, after):
                yield Violation(1, f"{self.place}: offsets {first} to {after - 1} are quarantined, "
                                   "and not all of them were damaged", where)
        for run in self.place.runs:
            yield from self.told(run)

    def told(self, run):
        for first, after, where in run.told:
            if not self.lost.cover(first, after):
                yield Violation(1, f"{self.place}: {run.session.client} was refused offsets "
                                   f"{first} to {after - 1}, and not all of them are quarantined",
                                where)

    @staticmethod
    def not_told(run, first, after):
        """What is left of [first, after) that the reader was not told to be lost."""
        return Ranges((start, end) for start, end, _ in run.told).between(first, after)
