"""Rule 6 (aborted or dirty read) for one partition, and rule 7 (atomicity) for all of them.

A transaction whose commit nobody has asked for is not committed, one that was answered is; what
became of another shows where a read_committed reader was given a record of it, or where an offset
was seen as committed that only it has sent.
"""
import collections
import itertools

from history import ABORTED, COMMITTED, NOWHERE, UNKNOWN
from violation import Violation


class IsolationRules:
    """Rule 6: what read_committed readers were given of one partition, and its last stable
    offset."""

    def __init__(self, rules):
        self.rules, self.history, self.place = rules, rules.history, rules.place
        self.runs = [run for run in self.place.runs if run.committed_only]

    def violations(self):
        yield from self.aborted()
        if self.place.stable or self.runs:
            seen = list(self.seen())
            yield from self.fell_in_one_log(seen)
            yield from self.against_cuts(seen)

    def aborted(self):
        told = set()
        for run in self.runs:
            for index, record in enumerate(run.ids):
                transaction = self.history.transaction_of(record)
                if transaction and transaction.outcome == ABORTED and transaction not in told:
                    told.add(transaction)
                    yield Violation(6, f"{self.place}: {run.session.client} was given "
                                       f"{self.history.id_text(record)} of {transaction}, which "
                                       "is not committed",
                                    self.history.sent_where(record), transaction.proof(),
                                    run.where(index))

    def seen(self):
        """(the stable offset was there or beyond, where, whether it was just there)."""
        for offset, where in self.place.stable:
            yield offset, where, True
        for run in self.runs:
            for at in range(0, len(run.lines), 2):
                after = run.lines[at + 2] if at + 2 < len(run.lines) else len(run.offsets)
                yield run.offsets[after - 1] + 1, run.where(after - 1), False

    def fell_in_one_log(self, seen):
        highest = {}  # by log: (offset, where)
        for offset, where, exact in sorted(seen, key=lambda each: each[1].line):
            before = highest.setdefault(where.log.name, (offset, where))
            if exact and offset < before[0]:
                yield self.fell(before, (offset, where))
            if offset > before[0]:
                highest[where.log.name] = offset, where

    def fell(self, before, now):
        return Violation(6, f"{self.place}: the last stable offset was {before[0]} at least, then "
                            f"{now[0]}", before[1], now[1])

    def against_cuts(self, seen):
        """What was seen before a cut holds for what was asked for after it."""
        cuts = self.history.cuts
        if not cuts.sizes:
            return
        floors = [(-1, None)] * (len(cuts.sizes) + 1)
        for offset, where, _ in seen:
            at = cuts.first_after(where)
            floors[at] = max(floors[at], (offset, where), key=lambda each: each[0])
        floors = list(itertools.accumulate(floors[:-1], lambda a, b: max(a, b, key=lambda x: x[0])))
        for offset, where, exact in seen:
            # Asked for after the event before: that one has to be behind the cut.
            at = cuts.last_before(where.before())
            if exact and at >= 0 and offset < floors[at][0]:
                yield self.fell(floors[at], (offset, where))
        yield from self.still_open(floors)

    def still_open(self, floors):
        first = {}  # offset by transaction
        for offset in sorted(self.rules.ids):
            transaction = self.history.transaction_of(self.rules.ids[offset])
            if transaction and transaction.is_committed():
                first.setdefault(transaction, offset)
        for transaction, offset in first.items():
            at = self.history.cuts.last_before(transaction.ending)
            if at >= 0 and floors[at][0] > offset:
                yield Violation(6, f"{self.place}: the last stable offset was {floors[at][0]} at "
                                   f"least while {transaction} with a record at {offset} was open",
                                self.rules.fetched_where(offset), floors[at][1],
                                transaction.ending)


class AtomicityRules:
    """Rule 7, once for a history.  It is made before other rules ask what is committed."""

    def __init__(self, history):
        self.history = history
        self.given = set()  # records of transactions, to read_committed readers
        self.read_whole = set()  # indices of partitions that such a reader has read to the end
        self.uncommitted = collections.Counter()  # records by index of the partition
        self.results = collections.defaultdict(dict)  # by partition: record by the source's offset
        self.doubled = []  # (first result, second)
        self.outputs = set()  # indices of partitions that transactions wrote to
        self.sent_offsets = collections.defaultdict(list)  # transactions by group, place, offset
        self.groups = set()  # names of those that transactions have sent offsets to
        if not history.transactions:
            return
        self.look_at_readers()
        self.look_at_offsets()
        self.count()

    def look_at_readers(self):
        for place in self.history.partitions:
            for run in place.runs:
                if not run.committed_only:
                    continue
                if run.final and (run.start or 0) <= place.deleted_before:
                    self.read_whole.add(place.index)
                for index, record in enumerate(run.ids):
                    transaction = self.history.transaction_of(record)
                    if transaction:
                        self.given.add(record)
                        transaction.visible = transaction.visible or run.where(index)

    def look_at_offsets(self):
        for transaction in self.history.transactions:
            for row in transaction.offsets:
                self.sent_offsets[row].append(transaction)
                self.groups.add(row[0])
        for group in self.history.groups.values():
            for place, rows in group.seen.items():
                for seen in rows:
                    asked = self.only_from_transactions(group, place, seen)
                    if len(asked) == 1 and asked[0].outcome == UNKNOWN:
                        asked[0].visible = asked[0].visible or seen.where

    @staticmethod
    def needs_no_transaction(group, place, seen):
        return (seen.offset <= 0 or seen.offset in group.asked.get(place, ())
                or seen.offset in group.resets.get(place, ()))

    def only_from_transactions(self, group, place, seen):
        """Transactions of which one has to be committed, as this offset was seen."""
        if self.needs_no_transaction(group, place, seen):
            return []
        asked = self.sent_offsets.get((group.name, place, seen.offset), [])
        return [each for each in asked if each.outcome != ABORTED] or asked

    def count(self):
        for transaction in self.history.transactions:
            for record in transaction.records:
                producer, number = self.history.sender(record)
                place = producer.places[number]
                self.outputs.add(place)
                if not transaction.is_committed():
                    self.uncommitted[place] += 1
                if record in self.given and number in producer.sources:
                    source, offset = producer.sources[number]
                    first = self.results[source].setdefault(offset, record)
                    if first != record:
                        self.doubled.append((first, record))

    def given_where(self, record):
        for place in self.history.partitions:
            for run in place.runs:
                if run.committed_only and record in run.ids:
                    return run.where(run.ids.index(record))
        return None

    # ---- the rule ----

    def violations(self):
        for transaction in self.history.transactions:
            if transaction.is_committed():
                yield from self.torn(transaction)
                yield from self.without_offsets(transaction)
        for group in self.history.groups.values():
            yield from self.unasked_offsets(group)
        for first, second in self.doubled:
            yield Violation(7, f"{self.history.id_text(first)} and {self.history.id_text(second)} "
                               "were made from one record, and both are committed",
                            self.history.sent_where(first), self.given_where(first),
                            self.history.sent_where(second), self.given_where(second))

    def torn(self, transaction):
        missing = [record for record in transaction.records if record not in self.given
                   and self.place_of(record) in self.read_whole]
        if not missing:
            return
        whole = transaction.visible is None
        yield Violation(6 if whole else 7,
                        f"{transaction} is committed, and {len(missing)} of its "
                        f"{len(transaction.records)} records were given to no reader, as "
                        f"{self.history.id_text(missing[0])}",
                        transaction.proof(), transaction.visible,
                        self.history.sent_where(missing[0]))

    def place_of(self, record):
        producer, number = self.history.sender(record)
        return producer.places[number]

    def without_offsets(self, transaction):
        for name, place, offset in transaction.offsets:
            seen = self.last_seen(self.history.groups[name], place)
            if seen and seen.offset < offset and not self.history.groups[name].resets.get(place):
                yield Violation(7, f"{transaction} is committed with offset {offset} of "
                                   f"{self.history.partitions[place]} for group {name}, which "
                                   f"is at {seen.offset} in the end",
                                transaction.proof(), transaction.visible, seen.where)

    @staticmethod
    def last_seen(group, place):
        return next((each for each in reversed(group.seen.get(place, ())) if each.final), None)

    def unasked_offsets(self, group):
        """What was seen committed was sent in a transaction that is committed."""
        for place, rows in group.seen.items():
            for seen in rows:
                asked = self.only_from_transactions(group, place, seen)
                text = (f"group {group.name}: {self.history.partitions[place]} was seen committed "
                        f"up to {seen.offset}, which ")
                if asked and all(each.outcome == ABORTED for each in asked):
                    yield Violation(7, f"{text}only {asked[0]} has sent, and it is not committed",
                                    asked[0].proof(), seen.where)
                # Who commits without a transaction tells of it too late for this.
                elif (not asked and group.name in self.groups and not group.asked
                      and not self.needs_no_transaction(group, place, seen)):
                    yield Violation(9, f"{text}nobody has sent", seen.where)

    def processed(self, rules):
        """What a group has committed of a partition by transactions has its results, and nothing
        else has."""
        place, results = rules.place, self.results.get(rules.place.index, {})
        if not self.outputs <= self.read_whole or place.index not in self.sources():
            return
        for group in self.groups_of(place.index):
            seen = self.last_seen(group, place.index)
            if seen is None:
                continue
            early = next((each for each in results if each >= seen.offset), None)
            if early is not None:
                yield Violation(7, f"{place} offset {early} has a committed result, and group "
                                   f"{group.name} is at {seen.offset} in the end",
                                self.history.sent_where(results[early]), seen.where)
            missing = [each for each in rules.ids if each < seen.offset and each not in results
                       and rules.gaps.may_be_read(each)]
            if missing:
                yield Violation(7, f"group {group.name} is at {seen.offset} of {place} in the end, "
                                   f"and {len(missing)} records before that have no result, as "
                                   f"{min(missing)}",
                                rules.fetched_where(min(missing)), seen.where)

    def sources(self):
        """Partitions of whose records transactions have made others."""
        return {place for producer in self.history.producers
                for place, _ in producer.sources.values()}

    def groups_of(self, index):
        names = {name for name, place, _ in self.sent_offsets if place == index}
        return [self.history.groups[name] for name in sorted(names)]
