"""Rules 1, 3 and 6 where a reader was given nothing of some offsets of a partition.

A record that some reader was given, or whose producer was told its offset, explains a gap only for
a read_committed reader, and only where its transaction is not committed.  Of the other offsets
each may be a marker, one for each transaction that wrote here; a record that did not become
visible and of which nobody tells the offset; or a duplicate that was left out of its batch.
"""
import bisect

from compaction_rules import CompactionRules
from quarantine_rules import QuarantineRules
from violation import Violation


class GapRules:
    def __init__(self, rules, uncommitted):
        """`uncommitted`: how many records were sent here in transactions without a commit."""
        self.rules, self.history, self.place = rules, rules.history, rules.place
        self.known = sorted({*rules.ids, *rules.acked})
        hidden = sum(not self.may_be_read(each) for each in self.known)
        markers = self.place.transactions + self.place.dedup_sent - len(self.place.dedup_ids)
        self.compaction = CompactionRules(rules) if self.place.compacted else None
        # How many offsets without a known record there may be, by whether readers are
        # read_committed, and those found so far.
        self.allowed = {False: markers, True: markers + max(uncommitted - hidden, 0)}
        self.unknown = {False: set(), True: set()}

    def record(self, offset):
        found = self.rules.ids.get(offset)
        return self.rules.acked[offset] if found is None else found

    def may_be_read(self, offset):
        """By a read_committed reader."""
        transaction = self.history.transaction_of(self.record(offset))
        return transaction is None or transaction.is_committed()

    def between(self, first, after):
        return self.known[bisect.bisect_left(self.known, first):
                          bisect.bisect_left(self.known, after)]

    def gap(self, run, first, after, where):
        """`run` was given nothing of first <= offset < after."""
        first = max(first, self.place.deleted_before)
        for start, end in QuarantineRules.not_told(run, first, after):
            yield from self.unexplained(run, start, end, where)

    def unexplained(self, run, first, after, where):
        known = self.between(first, after)
        if self.place.compacted:
            yield from self.compaction.missing(run, known, where)
            return
        wanted = [each for each in known if not run.committed_only or self.may_be_read(each)]
        yield from self.passed_over(run, wanted, where)
        if not self.explained(run, first, after, known):
            yield Violation(3, f"{self.place}: nothing explains that {run.session.client} was "
                               f"given no record at offsets {first} to {after - 1}",
                            where, self.rules.fetched_where(first))

    def passed_over(self, run, wanted, where):
        acked, other = [], []
        for each in wanted:
            (acked if each in self.rules.acked else other).append(each)
        for offsets in filter(None, (acked, other)):
            record = self.record(offsets[0])
            transaction = self.history.transaction_of(record)
            isolated = run.committed_only and transaction is not None
            if offsets is other and self.place.gaps and not isolated:
                continue
            kind = "acknowledged records" if offsets is acked else "records that others were given"
            proof = self.history.acked_where(record) if offsets is acked else (
                self.rules.fetched_where(offsets[0]))
            yield Violation(6 if isolated else 1 if offsets is acked else 3,
                            f"{self.place}: {len(offsets)} {kind} were passed over for "
                            f"{run.session.client}, as {self.history.id_text(record)} at "
                            f"{offsets[0]}" + (f" of {transaction}" if isolated else ""),
                            proof, transaction.proof() if isolated else None, where)

    def explained(self, run, first, after, known):
        """Whether the offsets of which no record is known are few enough."""
        count = after - first - len(known)
        if not count or self.place.gaps or self.place.dedup_retried:
            return True
        unknown, allowed = self.unknown[run.committed_only], self.allowed[run.committed_only]
        if count > allowed:
            return False
        unknown.update(set(range(first, after)) - set(known))
        return len(unknown) <= allowed
