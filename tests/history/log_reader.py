"""Reads logs into a history; README.md has the events."""
import json

from history import (ABORTED, COMMITTED, NOWHERE, UNKNOWN, BadHistory, Commit, Owned, Run,
                     Seen, Session, Transaction, Where, shortened)

PROGRESS = frozenset(["acked", "fetched", "committed", "ended"])


def read(history, log):
    history.logs[log.name] = log
    reader = LogReader(history, log)
    at = 0
    with log.open() as lines:
        for number, line in enumerate(lines, 1):
            # A client that was killed may have left half a line.
            if not line.endswith(b"\n"):
                break
            try:
                reader.take(json.loads(line), number, at)
            except (ValueError, KeyError, TypeError) as error:
                raise BadHistory(f"{log.name}:{number}: {type(error).__name__} {error}: "
                                 f"{shortened(line.decode(errors='replace'))}") from error
            at += len(line)


class LogReader:
    """The events of one log, each told to the history."""

    def __init__(self, history, log):
        self.history, self.log = history, log
        self.session = Session(log, {}, Where(log, 1))
        self.line = 0
        self.handlers = {name.removeprefix("on_"): getattr(self, name)
                         for name in dir(self) if name.startswith("on_")}

    def where(self):
        return Where(self.log, self.line)

    def take(self, fields, line, at):
        self.line = line
        name = fields["event"]
        if name not in self.handlers:
            raise ValueError(f"no event {name!r}")
        if name in PROGRESS:
            self.log.progress_bytes = at
        self.handlers[name](fields)

    def on_start(self, fields):
        self.session = Session(self.log, fields, self.where())
        self.history.sessions[self.session.client] = self.session
        if "acks" in fields:
            producer = self.history.producer(fields["client"])
            producer.log = self.log
            producer.acks = str(fields["acks"])
            producer.idempotent = fields.get("idempotent", False)
            producer.in_flight = fields.get("in_flight", 0)
            producer.single = fields.get("single", False)
        if self.session.group is not None:
            group = self.history.group(self.session.group)
            group.topics.update(fields["topics"])
            group.after_processing &= fields.get("commit", "after") == "after"

    def on_stop(self, _fields):
        self.log.stopped = True

    # ---- producers ----

    def on_sent(self, fields):
        record = self.history.id_of(fields["id"])
        producer, number = self.history.sender(record)
        if number >= len(producer.hashes):
            producer.grow(number)
        producer.log = self.log
        producer.hashes[number] = fields["hash"]
        producer.sent_lines[number] = self.line
        if fields["partition"] is None:
            producer.topics[number] = fields["topic"]
        else:
            place = self.history.partition(fields["topic"], fields["partition"])
            producer.places[number] = place.index
            self.sent_to(place, producer, number, fields)
        if "of" in fields:
            topic, partition, offset = fields["of"]
            source = self.history.partition(topic, partition)
            producer.sources[number] = source.index, offset
        if self.session.transaction:
            producer.transactions[number] = self.session.transaction
            self.session.transaction.records.append(record)

    def sent_to(self, place, producer, number, fields):
        """What may explain gaps there."""
        transaction = self.session.transaction
        if transaction and place.last_transaction is not transaction:
            place.transactions, place.last_transaction = place.transactions + 1, transaction
        if "key" in fields:
            names = self.history.key_names
            key = producer.keys[number] = names.setdefault(fields["key"], len(names))
            place.keyed[key].append(self.history.id_of(fields["id"]))
            if fields.get("tombstone", False):
                producer.tombstones.add(number)
        if "dedup" in fields:
            names = self.history.dedup_names
            producer.dedups[number] = names.setdefault(fields["dedup"], len(names))
            if "timestamp" in fields:
                producer.timestamps[number] = fields["timestamp"]
            if "uptime_ms" in fields:
                producer.sent_ms[number] = fields["uptime_ms"]
            place.dedup_sent += 1
            place.dedup_ids.add(producer.dedups[number])
            place.dedup_retried |= not producer.idempotent

    def on_acked(self, fields):
        record = self.history.id_of(fields["id"])
        producer, number = self.history.sender(record)
        if number >= len(producer.hashes) or producer.sent_lines[number] == NOWHERE:
            raise ValueError("acknowledged before it was sent")
        producer.acked_lines[number] = self.line
        if "uptime_ms" in fields:
            producer.acked_ms[number] = fields["uptime_ms"]
        if producer.acks not in ("all", "-1"):
            return
        if producer.topics[number] is not None:
            place = self.history.partition(producer.topics[number], fields["partition"])
        else:
            place = self.history.partitions[producer.places[number]]
        place.acked_offsets.append(fields["offset"])
        place.acked_ids.append(record)

    def on_failed(self, _fields):
        """Stored once or not at all: nothing follows from it."""

    # ---- transactions ----

    def on_begun(self, _fields):
        session = self.session
        if session.transaction:
            raise ValueError("begun within a transaction")
        session.transaction = Transaction(session, session.transactions, self.where())
        session.transactions += 1
        self.history.transactions.append(session.transaction)

    def opened(self):
        if self.session.transaction is None:
            raise ValueError("in no transaction")
        return self.session.transaction

    def on_offsets(self, fields):
        transaction, session = self.opened(), self.session
        transaction.generation = fields.get("generation", session.generation)
        transaction.fenced = session.fenced.get((session.member, transaction.generation))
        for topic, number, offset in fields["offsets"]:
            place = self.history.partition(topic, number)
            transaction.offsets.append((fields["group"], place.index, offset))
        self.history.group(fields["group"])

    def on_ending(self, fields):
        transaction = self.opened()
        # Where an abort follows a commit without an answer, the commit is what matters.
        if not transaction.commits:
            transaction.ending = self.where()
        transaction.commits |= fields["commit"]

    def on_ended(self, fields):
        transaction = self.opened()
        if fields["result"] not in (COMMITTED, ABORTED, UNKNOWN):
            raise ValueError(f"no result {fields['result']!r}")
        if fields["result"] == COMMITTED and not transaction.commits:
            raise ValueError("committed, and nobody asked for it")
        transaction.result, transaction.ended = fields["result"], self.where()
        self.session.transaction = None
        if transaction.result == COMMITTED:
            self.committed_offsets(transaction)

    def committed_offsets(self, transaction):
        for name, place, offset in transaction.offsets:
            self.history.group(name).commits[place].append(
                Commit(self.session, transaction.generation, offset, self.where()))
            self.session.committed[place] = max(offset, self.session.committed.get(place, 0))
        if transaction.fenced and transaction.offsets:
            group = self.history.group(transaction.offsets[0][0])
            group.fenced_commits.append((transaction.fenced, self.where()))

    # ---- readers ----

    def run(self, place, start=None):
        run = Run(self.session, start, self.session.committed.get(place.index))
        self.session.runs[place.index] = run
        place.runs.append(run)
        return run

    def on_position(self, fields):
        self.run(self.history.partition(fields["topic"], fields["partition"]), fields["offset"])

    def on_fetched(self, fields):
        place = self.history.partition(fields["topic"], fields["partition"])
        run = self.session.runs.get(place.index)
        if run is None:
            run = self.run(place)
        run.lines.extend((len(run.offsets), self.line))
        id_of = self.history.id_of
        for offset, record, content in fields["records"]:
            run.offsets.append(offset)
            run.ids.append(id_of(record))
            run.hashes.append(content)

    def on_end(self, fields):
        place = self.history.partition(fields["topic"], fields["partition"])
        run = self.session.runs.get(place.index) or self.run(place)
        run.end, run.end_line = fields["offset"], self.line
        run.final = fields.get("final", False)

    def on_lost(self, fields):
        place = self.history.partition(fields["topic"], fields["partition"])
        run = self.session.runs.get(place.index) or self.run(place)
        run.told.append((fields["offset"], fields["to"], self.where()))

    def on_stable(self, fields):
        for topic, number, offset in fields["offsets"]:
            self.history.partition(topic, number).stable.append((offset, self.where()))

    # ---- members of groups ----

    def on_owns(self, fields):
        session, group = self.session, self.history.group(fields["group"])
        places = [self.history.partition(*each).index for each in fields["partitions"]]
        if session.generation is not None and fields["generation"] is not None and (
                fields["generation"] < session.generation and session.committed):
            group.fallen_generations.append((session.owns_where, self.where()))
        session.generation, session.member = fields["generation"], fields["member"]
        session.owns, session.owns_where = frozenset(places), self.where()
        for place in list(session.runs):
            if place not in session.owns:
                del session.runs[place]
        identity = fields.get("instance") or fields["member"]
        group.owned.append(Owned(session, session.generation, identity, session.owns,
                                 self.where()))

    def on_fenced(self, fields):
        generation = fields.get("generation", self.session.generation)
        self.session.fenced[self.session.member, generation] = self.where()

    def on_committed(self, fields):
        if fields["result"] not in ("ok", "unknown", "refused"):
            raise ValueError(f"no result {fields['result']!r}")
        for topic, number, offset in fields["offsets"]:
            place = self.history.partition(topic, number).index
            self.history.group(fields["group"]).asked[place].add(offset)
        if fields["result"] != "ok":
            return
        session, group = self.session, self.history.group(fields["group"])
        generation = fields.get("generation", session.generation)
        if (session.member, generation) in session.fenced:
            group.fenced_commits.append((session.fenced[session.member, generation],
                                         self.where()))
        for topic, number, offset in fields["offsets"]:
            place = self.history.partition(topic, number).index
            group.commits[place].append(Commit(session, generation, offset, self.where()))
            session.committed[place] = max(offset, session.committed.get(place, 0))

    def on_seen(self, fields):
        session, group = self.session, self.history.group(fields["group"])
        for topic, number, offset in fields["offsets"]:
            place = self.history.partition(topic, number).index
            group.seen[place].append(Seen(session, session.generation, offset,
                                          session.committed.get(place),
                                          fields.get("final", False), self.where()))

    def on_reset(self, fields):
        place = self.history.partition(fields["topic"], fields["partition"]).index
        self.history.group(fields["group"]).resets[place].append(fields["offset"])
        self.session.committed.pop(place, None)

    # ---- the harness ----

    def on_killed(self, fields):
        """Of a client or the broker: what the others saw of it is theirs to tell."""

    on_broker = on_note = on_killed

    def on_deleted(self, fields):
        place = self.history.partition(fields["topic"], fields["partition"])
        place.deleted_before = max(place.deleted_before, fields["before"])

    def on_damaged(self, fields):
        place = self.history.partition(fields["topic"], fields["partition"])
        place.damaged.append((fields["from"], fields["to"]))

    def on_quarantined(self, fields):
        place = self.history.partition(fields["topic"], fields["partition"])
        place.quarantined.append((fields["from"], fields["to"], self.where()))

    def on_gaps(self, fields):
        place = self.history.partition(fields["topic"], fields["partition"])
        place.gaps = fields["why"]
        place.compacted |= fields["why"] == "compaction"

    def on_dedup(self, fields):
        self.history.windows[fields["topic"]] = fields["window_ms"]

    def on_cut(self, fields):
        self.history.cuts.add(fields["before"], fields["after"])

    def on_calm(self, fields):
        self.history.calm = (fields["seconds"], fields["logs"], self.where())

    def on_over(self, _fields):
        self.history.over = self.where()
