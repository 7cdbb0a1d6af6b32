"""A transactional producer that sends what it is told, and what readers of either kind see.

Newer clients (KIP-890) produce with version 12 or later, which adds the partition, and end with
version 5 of EndTxn, which gives a new epoch; older ones name partitions by AddPartitionsToTxn first.
"""

from harness import Refused, eventually
from records import batch, batches

NONE = 0
TRANSACTIONAL, CONTROL = 0x10, 0x20
LOADING, NOT_AVAILABLE, NOT_ENOUGH_REPLICAS, CONCURRENT = 14, 15, 19, 51
AGAIN = {LOADING, NOT_AVAILABLE, NOT_ENOUGH_REPLICAS, CONCURRENT}
PRODUCE, PRODUCE_OLD = 12, 11
END, END_OLD = 5, 4
READ_UNCOMMITTED, READ_COMMITTED = 0, 1


def settled(what, ask, seconds=30.0):
    """What `ask` is answered once it is not to try again."""
    return eventually(
        what, lambda: (answer := ask())["error_code"] not in AGAIN and answer, seconds
    )


class TransactionalProducer:
    def __init__(self, connection, name, timeout_ms=60000, version=5, patience_seconds=30.0):
        self.connection = connection
        self.name = name
        self.patience_seconds = patience_seconds
        self.sequences = {}
        body = self.settled("a producer id", lambda: self.init(timeout_ms, version))
        if body["error_code"]:
            raise Refused(body["error_code"], "no producer id")
        self.identity, self.epoch = body["producer_id"], body["producer_epoch"]

    def settled(self, what, ask):
        return settled(what, ask, self.patience_seconds)

    def init(self, timeout_ms=60000, version=5):
        return self.connection.request(
            "InitProducerId",
            version,
            transactional_id=self.name,
            transaction_timeout_ms=timeout_ms,
        )

    def header(self):
        return {
            "transactional_id": self.name,
            "producer_id": self.identity,
            "producer_epoch": self.epoch,
        }

    def batch(self, values, sequence, **fields):
        return batch(
            values,
            **{
                "attributes": TRANSACTIONAL,
                "producer_id": self.identity,
                "producer_epoch": self.epoch,
                "base_sequence": sequence,
                **fields,
            },
        )

    def produce_request(self, topic, partition, records):
        return {
            "transactional_id": self.name,
            "acks": -1,
            "timeout_ms": 30000,
            "topic_data": [
                {"name": topic, "partition_data": [{"index": partition, "records": records}]}
            ],
        }

    def produce_once(self, topic, partition, records, version=PRODUCE):
        """The partition's answer."""
        body = self.connection.request(
            "Produce", version, **self.produce_request(topic, partition, records)
        )
        return body["responses"][0]["partition_responses"][0]

    def produce(self, topic, partition, values, version=PRODUCE):
        """The base offset, or the error as a negative number, also where its code is -1."""
        sequence = self.sequences.get((topic, partition), 0)
        records = self.batch(values, sequence)
        answer = self.settled(
            "an answer", lambda: self.produce_once(topic, partition, records, version)
        )
        if answer["error_code"]:
            return -abs(answer["error_code"])
        self.sequences[topic, partition] = sequence + len(values)
        return answer["base_offset"]

    def add_partitions(self, topic, partitions, version=3):
        """Their errors."""

        def ask():
            body = self.connection.request(
                "AddPartitionsToTxn",
                version,
                topics=[{"name": topic, "partitions": partitions}],
                **self.header(),
            )
            rows = body["results"][0]["partitions"]
            return {"error_code": rows[0]["error_code"], "rows": rows}

        return [row["error_code"] for row in self.settled("partitions to be added", ask)["rows"]]

    def end_once(self, commit, version=END):
        return self.connection.request("EndTxn", version, committed=commit, **self.header())

    def end(self, commit, version=END):
        """The error; the next transaction may begin."""
        body = self.settled("the end", lambda: self.end_once(commit, version))
        if body["error_code"] == NONE and version >= 5:
            self.identity, self.epoch = body["producer_id"], body["producer_epoch"]
            self.sequences = {}
        return body["error_code"]

    def commit(self, version=END):
        assert self.end(True, version) == NONE

    def abort(self, version=END):
        assert self.end(False, version) == NONE

    def add_offsets(self, group, version=4):
        return self.settled(
            "the group to be added",
            lambda: self.connection.request(
                "AddOffsetsToTxn", version, group_id=group, **self.header()
            ),
        )["error_code"]

    def commit_offset(self, group, topic, offset, version=5, **member):
        """The error of partition 0."""

        def ask():
            body = self.connection.request(
                "TxnOffsetCommit",
                version,
                group_id=group,
                topics=[
                    {
                        "name": topic,
                        "partitions": [{"partition_index": 0, "committed_offset": offset}],
                    }
                ],
                **self.header(),
                **member,
            )
            return body["topics"][0]["partitions"][0]

        return self.settled("offsets to be taken", ask)["error_code"]


def committed_values(connection, topic, partition=0, start=0):
    """What a reader of committed records delivers."""
    return [value for _, _, value in records(connection, topic, partition, start)]


def records(connection, topic, partition=0, start=0, committed=True):
    """Offset, key and value of each record that a reader delivers: it leaves out markers, and of
    committed ones what the answers' aborted transactions say."""
    found, at = [], start
    isolation = READ_COMMITTED if committed else READ_UNCOMMITTED
    end = connection.list_offset(topic, partition, -1, isolation_level=isolation)["offset"]
    while at < end:
        row = connection.fetch(topic, partition, at, isolation_level=isolation)
        assert row["error_code"] == NONE, f"{topic}/{partition} at {at}: {row}"
        got = batches(row["records"])
        assert got, f"nothing at {at} though the end is {end}"
        aborted = sorted(
            (each["first_offset"], each["producer_id"])
            for each in row["aborted_transactions"] or ()
        )
        ongoing = set()
        for each in got:
            while aborted and aborted[0][0] <= each.next_offset - 1:
                ongoing.add(aborted.pop(0)[1])
            if each.attributes & CONTROL:
                if is_abort(each):
                    ongoing.discard(each.producer_id)
                continue
            if each.attributes & TRANSACTIONAL and each.producer_id in ongoing:
                continue
            found += [row for row in rows(each) if row[0] >= at]
        at = got[-1].next_offset
    return found


def rows(each):
    return [(offset, key, value) for offset, _, key, value in each.records()]


def is_abort(marker):
    [(_, _, key, _)] = marker.records()
    assert key[:2] == b"\0\0"
    return key[2:4] == b"\0\0"


def last_stable(connection, topic, partition=0):
    return connection.list_offset(topic, partition, -1, isolation_level=READ_COMMITTED)["offset"]


def producers(connection, topic, partition=0):
    """What the partition knows, by producer id."""
    body = connection.request(
        "DescribeProducers", 0, topics=[{"name": topic, "partition_indexes": [partition]}]
    )
    row = body["topics"][0]["partitions"][0]
    assert row["error_code"] == NONE
    return {each["producer_id"]: each for each in row["active_producers"]}


def describe(connection, name):
    body = connection.request("DescribeTransactions", 0, transactional_ids=[name])
    return body["transaction_states"][0]


def wait_state(connection, name, state):
    return eventually(
        f"{name} in state {state}",
        lambda: (row := describe(connection, name))["transaction_state"] == state and row,
    )
