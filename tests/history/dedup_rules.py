"""Rules 1, 2 and 5 for records with a message id, where the topic's window is known.

Records of transactions pass the window by, and an id that was stored again, as its window had
ended, is known from there on.  Time is that of the records; but where the wall clock may be set
back and clients tell another one, it is that: from when a record was sent to when the later one was
acknowledged, which is longer than they are apart.
"""
import collections

from violation import Violation


class DedupRules:
    def __init__(self, rules):
        self.rules, self.history, self.place = rules, rules.history, rules.place
        self.known = self.place.topic in self.history.windows
        self.loosely_acked = []  # records whose acknowledgement names an offset of their batch

    def id_of(self, record):
        return self.history.dedup_of(record) if self.known else None

    def same(self, one, other):
        """Whether two records have one message id, so that one may stand for the other."""
        found = self.id_of(one)
        return found is not None and found == self.id_of(other)

    def loosely(self, record):
        """A duplicate among others in a batch is acknowledged with an offset of no meaning."""
        producer, _ = self.history.sender(record)
        if self.id_of(record) is None or producer.single:
            return False
        self.loosely_acked.append(record)
        return True

    def violations(self):
        if not self.known:
            return
        stored = collections.defaultdict(list)  # offsets by message id
        for offset in sorted(self.rules.ids):
            found = self.id_of(self.rules.ids[offset])
            if found is not None:
                stored[found].append(offset)
        yield from self.twice(stored)
        yield from self.acknowledged_elsewhere(stored)
        if any(run.final for run in self.place.runs):
            for record in self.loosely_acked:
                if self.id_of(record) not in stored:
                    yield Violation(1, f"{self.place}: {self.history.id_text(record)} was "
                                       "acknowledged, and no record with its message id is there",
                                    self.history.acked_where(record))

    def twice(self, stored):
        newest = self.newest()
        window = self.history.windows[self.place.topic]
        for offsets in stored.values():
            first = offsets[0]
            for offset in offsets[1:]:
                age = self.age(first, offset, newest)
                if window is None or (age is not None and age <= window):
                    yield Violation(5, f"{self.place} has one message id at {first} and at "
                                       f"{offset}, {age} ms apart",
                                    self.rules.fetched_where(first),
                                    self.rules.fetched_where(offset))
                first = offset

    def age(self, first, offset, newest):
        """Of a record when another was stored; None: nobody can tell."""
        producer, number = self.history.sender(self.rules.ids[first])
        if number not in producer.sent_ms:
            return newest[offset] - self.timestamp(first)
        later, later_number = self.history.sender(self.rules.ids[offset])
        acked_ms = later.acked_ms.get(later_number)
        return None if acked_ms is None else acked_ms - producer.sent_ms[number]

    def timestamp(self, offset):
        producer, number = self.history.sender(self.rules.ids[offset])
        return producer.timestamps.get(number, 0)

    def newest(self):
        """By offset, the largest timestamp stored up to there."""
        largest, found = 0, {}
        for offset in sorted(self.rules.ids):
            largest = found[offset] = max(largest, self.timestamp(offset))
        return found

    def acknowledged_elsewhere(self, stored):
        for offset, record in self.rules.acked.items():
            first = stored.get(self.id_of(record))
            if first and offset not in first:
                yield Violation(5, f"{self.place}: {self.history.id_text(record)} was acknowledged "
                                   f"at {offset}, its message id lies at {first[0]}",
                                self.history.acked_where(record),
                                self.rules.fetched_where(first[0]))
