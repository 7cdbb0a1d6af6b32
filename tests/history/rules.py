"""What a history may not show, rule by rule; their numbers are those of README.md.

Every rule is a generator of violations.  Partitions are judged one after another, so that what is
known of one partition's offsets is in memory for that time only.
"""
import bisect
import collections
import itertools
import weakref

from dedup_rules import DedupRules
from gap_rules import GapRules
from history import NOWHERE, NUMBER_BITS, NUMBER_MAX, Where
from quarantine_rules import QuarantineRules
from transaction_rules import AtomicityRules, IsolationRules
from violation import Violation


class PartitionRules:
    """Rules 1 to 6 for the records of one partition."""

    def __init__(self, history, place, uncommitted):
        """`uncommitted`: see gap_rules.py."""
        self.history, self.place, self.uncommitted = history, place, uncommitted
        self.ids, self.hashes = {}, {}  # by offset, as the first reader was given them
        self.acked = {}
        self.acked_offsets = []
        # No cycle, so that a partition's memory is free when it is judged.
        self.dedup = DedupRules(weakref.proxy(self))
        self.gaps = None

    def violations(self):
        yield from self.acknowledged()
        for run in self.place.runs:
            yield from self.contents(run)
        self.gaps = GapRules(weakref.proxy(self), self.uncommitted)
        for run in self.place.runs:
            yield from self.given(run)
            yield from self.passed_at_the_end(run)
            if self.gaps.compaction:
                yield from self.gaps.compaction.hidden_again(run)
        yield from QuarantineRules(self.place).violations()
        yield from self.kept()
        yield from self.stored()
        yield from self.dedup.violations()
        yield from IsolationRules(self).violations()

    def fetched_where(self, offset):
        for run in self.place.runs:
            if offset in run.offsets:
                return run.where(run.offsets.index(offset))
        return None

    # ---- 3, 5: what producers were told ----

    def acknowledged(self):
        by_id = {}
        for offset, record in zip(self.place.acked_offsets, self.place.acked_ids):
            if self.dedup.loosely(record):
                continue
            other = self.acked.setdefault(offset, record)
            if other != record and not self.dedup.same(other, record):
                yield Violation(3, f"{self.place} offset {offset} was acknowledged for two records",
                                self.history.acked_where(other), self.history.acked_where(record))
            first = by_id.setdefault(record, offset)
            if first != offset:
                yield Violation(5, f"{self.history.id_text(record)} was acknowledged at "
                                   f"{self.place} offsets {first} and {offset}",
                                self.history.acked_where(record))
        self.acked_offsets = sorted(self.acked)

    # ---- 1, 2, 3: what readers were given ----

    def contents(self, run):
        """Each offset holds what it held for other readers."""
        ids, hashes = self.ids, self.hashes
        for index, (offset, record, content) in enumerate(zip(run.offsets, run.ids, run.hashes)):
            known = ids.get(offset)
            if known is None:
                ids[offset], hashes[offset] = record, content
            elif known != record or hashes[offset] != content:
                yield Violation(2, f"{self.place} offset {offset} held "
                                   f"{self.history.id_text(known)} and then "
                                   f"{self.history.id_text(record)}, or the same with other bytes",
                                self.fetched_where(offset), run.where(index))

    def given(self, run):
        """Offsets rise without gaps."""
        expected = run.start
        for index, offset in enumerate(run.offsets):
            if offset != expected and expected is not None:
                if offset < expected:
                    yield Violation(3, f"{self.place}: offset {offset} was given to "
                                       f"{run.session.client} after {expected - 1}",
                                    run.where(max(index - 1, 0)), run.where(index))
                else:
                    yield from self.gaps.gap(run, expected, offset, run.where(index))
            expected = offset + 1

    def passed_at_the_end(self, run):
        if run.end is None:
            return
        last = run.offsets[-1] + 1 if run.offsets else run.start
        where = Where(run.session.log, run.end_line)
        if last is not None and last < run.end:
            yield from self.gaps.gap(run, last, run.end, where)
        if not run.final:
            return
        behind = self.acked_offsets[bisect.bisect_left(self.acked_offsets, run.end):]
        first = next((each for each in behind if self.gaps.may_be_read(each)
                      or not run.committed_only), None)
        if first is not None:
            record = self.acked[first]
            isolated = run.committed_only and self.history.transaction_of(record)
            yield Violation(6 if isolated else 1, f"{self.place} ends at {run.end} for "
                            f"{run.session.client}, but offset {first} was acknowledged",
                            self.history.acked_where(record), where)

    # ---- 2: acknowledged, sent and stored are the same ----

    def kept(self):
        for offset, record in self.acked.items():
            found = self.ids.get(offset)
            if found is not None and found != record and not self.dedup.same(found, record):
                yield Violation(2, f"{self.place} offset {offset} was acknowledged for "
                                   f"{self.history.id_text(record)} and holds "
                                   f"{self.history.id_text(found)}",
                                self.history.acked_where(record), self.fetched_where(offset))

    def stored(self):
        """Each stored record is one that was sent, once, and in the order of its producer."""
        last = {}
        for offset in sorted(self.ids):
            record = self.ids[offset]
            producer, number = self.history.sender(record)
            problem = self.unlike_sent(producer, number, self.hashes[offset])
            if problem:
                yield Violation(2, f"{self.place} offset {offset}: {self.history.id_text(record)} "
                                   f"{problem}", self.fetched_where(offset),
                                self.history.sent_where(record))
                continue
            before = last.get(producer.index)
            if before is not None and producer.ordered() and number < self.ids[before] & NUMBER_MAX:
                yield Violation(4, f"{self.place}: {self.history.id_text(record)} lies at {offset},"
                                   f" behind {self.history.id_text(self.ids[before])} at {before}",
                                self.history.sent_where(record),
                                self.history.sent_where(self.ids[before]),
                                self.fetched_where(before), self.fetched_where(offset))
            last[producer.index] = offset
        yield from self.stored_once()

    def unlike_sent(self, producer, number, content):
        if number >= len(producer.hashes) or producer.sent_lines[number] == NOWHERE:
            return "was never sent"
        if producer.hashes[number] != content:
            return "has not the bytes that were sent"
        topic = producer.topics[number]
        if topic is None and producer.places[number] != self.place.index:
            return f"was sent to {self.history.partitions[producer.places[number]]}"
        if topic not in (None, self.place.topic):
            return f"was sent to {topic}"
        return None

    # ---- 5: idempotent producers ----

    def stored_once(self):
        places = {}
        for offset, record in self.ids.items():
            if not self.history.producers[record >> NUMBER_BITS].idempotent:
                continue
            first = places.setdefault(record, offset)
            if first != offset:
                yield Violation(5, f"{self.place} has {self.history.id_text(record)} of an "
                                   f"idempotent producer at {first} and at {offset}",
                                self.fetched_where(first), self.fetched_where(offset))

    def unread(self):
        """How many acknowledged records no reader came to: nothing is known of them.  To those
        without a commit not every reader comes."""
        return sum(map(self.gaps.may_be_read, self.acked.keys() - self.ids.keys()))


class GroupRules:
    """Rules 5, 8, 9 and 10 for one group."""

    def __init__(self, history, group):
        self.history, self.group = history, group
        self.highest = {}  # see by_generation

    def violations(self):
        yield from self.two_owners()
        yield from self.fenced()
        for place, seen in self.group.seen.items():
            for each in seen:
                yield from self.commit_forgotten(place, each)

    # ---- 8 ----

    def two_owners(self):
        owners = {}
        for owned in self.group.owned:
            if owned.generation is None:
                continue
            for place in owned.partitions:
                first = owners.setdefault((owned.generation, place), owned)
                if first.identity != owned.identity:
                    yield Violation(8, f"group {self.group.name}: in generation "
                                       f"{owned.generation} both {first.identity} and "
                                       f"{owned.identity} own {self.history.partitions[place]}",
                                    first.where, owned.where)

    def fenced(self):
        for fenced, committed in self.group.fenced_commits:
            yield Violation(8, f"group {self.group.name}: the commit of a fenced member was "
                               "accepted", fenced, committed)
        for higher, lower in self.group.fallen_generations:
            yield Violation(8, f"group {self.group.name}: a member's generation went back",
                            higher, lower)

    # ---- 9: committed offsets stay ----

    def before(self, place, session, generation, own):
        """The highest commit that was acknowledged for certain before `session` asked or read in
        `generation`; `own` is its own one then.  0 where there is none."""
        found = [own or 0]
        if generation is not None:
            generations, highest = self.by_generation(place)
            at = bisect.bisect_left(generations, generation)
            found += highest[at - 1:at] if at else []
        for name in session.after:
            if name in self.history.sessions:
                found.append(self.history.sessions[name].committed.get(place, 0))
        return self.unless_reset(place, max(found))

    def by_generation(self, place):
        """Generations in which the partition was committed, and the highest commit up to each."""
        if place not in self.highest:
            of_generation = collections.defaultdict(int)
            for commit in self.group.commits.get(place, ()):
                if commit.generation is not None:
                    offset = max(commit.offset, of_generation[commit.generation])
                    of_generation[commit.generation] = offset
            generations = sorted(of_generation)
            self.highest[place] = generations, list(itertools.accumulate(
                (of_generation[each] for each in generations), max))
        return self.highest[place]

    def unless_reset(self, place, offset):
        return min([offset, *self.group.resets.get(place, ())])

    def commit_of(self, place, offset):
        """Where a commit of at least this offset was acknowledged."""
        return next(each.where for each in self.group.commits[place] if each.offset >= offset)

    def commit_forgotten(self, place, seen):
        if seen.final:
            commits = self.group.commits.get(place, ())
            floor = self.unless_reset(place, max((each.offset for each in commits), default=0))
        else:
            floor = self.before(place, seen.session, seen.generation, seen.own_committed)
        # -1 says that nothing was committed, which says the same as 0.
        if max(seen.offset, 0) < floor:
            yield Violation(9, f"group {self.group.name}: {self.history.partitions[place]} was "
                               f"committed up to {floor}, later {seen.offset} was seen",
                            self.commit_of(place, floor), seen.where)

    # ---- 5, 9, 10: what the members were given of one partition ----

    def partition(self, rules):
        place = rules.place
        if place.topic not in self.group.topics:
            return
        runs = [run for run in place.runs if run.session.group == self.group.name]
        for run in runs:
            yield from self.given_twice(place, run)
        if self.group.after_processing and not self.group.resets.get(place.index):
            yield from self.not_given(rules, runs)

    def given_twice(self, place, run):
        if not run.offsets:
            return
        floor = self.before(place.index, run.session, run.generation, run.own_committed)
        if run.offsets[0] < floor:
            yield Violation(5, f"group {self.group.name}: {place} was committed up to {floor}, and "
                               f"{run.session.client} was given {run.offsets[0]} again",
                            self.commit_of(place.index, floor), run.where(0))

    def not_given(self, rules, runs):
        processed = set()
        for run in runs:
            processed.update(run.offsets)
        missing = (rules.ids.keys() | rules.acked.keys()) - processed
        missing = sorted(each for each in missing if each >= rules.place.deleted_before
                         and (rules.gaps.may_be_read(each)
                              or not all(run.committed_only for run in runs)))
        if not missing or rules.place.compacted:
            return
        commits = self.group.commits.get(rules.place.index)
        last = max(commits, key=lambda each: each.offset) if commits else None
        first = missing[0]
        proof = (rules.fetched_where(first) if first in rules.ids
                 else self.history.acked_where(rules.acked[first]))
        if last and first < last.offset:
            count = bisect.bisect_left(missing, last.offset)
            yield Violation(9, f"group {self.group.name}: {count} records of {rules.place} were "
                               f"committed as processed and given to no member, the first at "
                               f"{first}", proof, last.where)
        if self.history.over and (not last or missing[-1] >= last.offset):
            yield Violation(10, f"group {self.group.name}: records of {rules.place} were given to "
                                f"no member in the time there was, the first at {first}",
                            proof, self.history.over)


def clients_stuck(history):
    """Rule 10: who lives and has work makes progress after the faults have ended."""
    if not history.calm or not history.over:
        return
    seconds, sizes, where = history.calm
    owning = {session.log.name: session for session in history.sessions.values()
              if session.owns is not None}
    for name, size in sizes.items():
        log = history.logs[name]
        idle = name in owning and not owning[name].owns
        if not log.stopped and not idle and log.progress_bytes < size:
            yield Violation(10, f"{name} made no progress in the {seconds} s after the faults",
                            where, history.over)


def check(history):
    """All violations; each partition's acknowledged records that nobody has read, by name."""
    unread = collections.Counter()
    history.cuts.find_lines(history.logs.values())
    atomicity = AtomicityRules(history)
    found = list(atomicity.violations())
    groups = [GroupRules(history, group) for group in history.groups.values()]
    for group in groups:
        found += group.violations()
    for place in history.partitions:
        rules = PartitionRules(history, place, atomicity.uncommitted[place.index])
        found += rules.violations()
        found += atomicity.processed(rules)
        for group in groups:
            found += group.partition(rules)
        if rules.unread():
            unread[str(place)] = rules.unread()
    found += clients_stuck(history)
    return sorted(found, key=lambda each: each.rule), unread
