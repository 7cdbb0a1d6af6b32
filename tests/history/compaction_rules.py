"""Rules 1 and 2 for a compacted partition, of whose records the keys are told.

A record may be gone once a later one has its key; the last one of each key stays, but a tombstone,
which goes after a while, when nothing is left that it hides.  What was sent with a key and never
acknowledged or read may have been that later one.  A record whose key is not told may be gone.
"""
import bisect
import collections

from violation import Violation


class CompactionRules:
    def __init__(self, rules):
        self.rules, self.history, self.place = rules, rules.history, rules.place
        self.offsets = collections.defaultdict(list)  # of what is known, by key
        for offset in sorted({*rules.ids, *rules.acked}):
            key = self.key_at(offset)
            if key is not None:
                self.offsets[key].append(offset)
        self.possible = self.find_possible()

    def record(self, offset):
        found = self.rules.ids.get(offset)
        return self.rules.acked[offset] if found is None else found

    def key_at(self, offset):
        producer, number = self.history.sender(self.record(offset))
        return producer.keys.get(number)

    def is_tombstone(self, offset):
        producer, number = self.history.sender(self.record(offset))
        return number in producer.tombstones

    def find_possible(self):
        """Keys of records of which nobody knows whether they were ever stored."""
        known = {*self.rules.ids.values(), *self.rules.acked.values()}
        return {key for key, records in self.place.keyed.items()
                if not known.issuperset(records)}

    def missing(self, run, known, where):
        """`run` passed over these offsets of known records."""
        last = self.last_given(run)
        for offset in known:
            key = self.key_at(offset)
            if key is None or self.is_tombstone(offset) or key in self.possible:
                continue
            if last.get(key, -1) > offset or self.superseded(run, key, offset):
                continue
            acked = offset in self.rules.acked
            record = self.record(offset)
            yield Violation(1, f"{self.place}: {run.session.client} was not given "
                               f"{self.history.id_text(record)} at {offset}, and no later record "
                               "of its key",
                            self.history.acked_where(record) if acked
                            else self.rules.fetched_where(offset), where)

    def last_given(self, run):
        """By key, the highest offset that this run was given."""
        return {self.key_at(offset): offset for offset in run.offsets}

    def superseded(self, run, key, offset):
        """By a tombstone that may be gone itself, by what the run was told is lost, or, where it did
        not come to its end, by what it would have been given."""
        later = self.offsets[key][bisect.bisect_right(self.offsets[key], offset):]
        return any(run.end is None or self.is_tombstone(each) or self.was_lost(run, each)
                   for each in later)

    @staticmethod
    def was_lost(run, offset):
        return any(first <= offset < after for first, after, _ in run.told)

    def hidden_again(self, run):
        """What a tombstone hides is there, and the tombstone is not."""
        if not run.final:
            return
        given, last = set(run.offsets), self.last_given(run)
        for key, offsets in self.offsets.items():
            newest = offsets[-1]
            if (self.is_tombstone(newest) and newest not in given and key in last
                    and not self.was_lost(run, newest)):
                record = self.record(newest)
                yield Violation(2, f"{self.place}: the tombstone {self.history.id_text(record)} at "
                                   f"{newest} is gone, and the record at {last[key]} that it "
                                   "hides is there",
                                self.history.acked_where(record) if newest in self.rules.acked
                                else self.rules.fetched_where(newest),
                                run.where(run.offsets.index(last[key])))
