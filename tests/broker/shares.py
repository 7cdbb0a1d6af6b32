"""Share groups (KIP-932) as raw requests: a member that joins, fetches and acknowledges."""

import uuid

from harness import eventually
from records import batches

GAP, ACCEPT, RELEASE, REJECT = 0, 1, 2, 3
OPEN, CLOSE = 0, -1
GROUP_RESOURCE = 32


def configure(connection, group, **settings):
    """share.auto.offset.reset is auto_offset_reset here."""
    body = connection.request(
        "IncrementalAlterConfigs",
        1,
        resources=[
            {
                "resource_type": GROUP_RESOURCE,
                "resource_name": group,
                "configs": [
                    {
                        "name": "share." + name.replace("_", "."),
                        "config_operation": 0,
                        "value": str(value),
                    }
                    for name, value in settings.items()
                ],
            }
        ],
    )
    assert [row["error_code"] for row in body["responses"]] == [0], body


def beat(connection, group, member, epoch, topics=None):
    return connection.request(
        "ShareGroupHeartbeat",
        1,
        group_id=group,
        member_id=member,
        member_epoch=epoch,
        subscribed_topic_names=topics,
    )


class Taken:
    """What one answer to a ShareFetch has of one partition."""

    def __init__(self, row):
        self.error, self.acknowledge_error = row["error_code"], row["acknowledge_error_code"]
        self.runs = [
            (each["first_offset"], each["last_offset"], each["delivery_count"])
            for each in row["acquired_records"]
        ]
        self.offsets = [
            offset for first, last, _ in self.runs for offset in range(first, last + 1)
        ]
        self.batches = batches(row["records"])


def _rows(body):
    return {
        row["partition_index"]: Taken(row)
        for each in body["responses"]
        for row in each["partitions"]
    }


class Member:
    """A member of a share group on a connection of its own."""

    def __init__(self, broker, group, topic, topic_id, partitions=(0,), join=True):
        self.connection = broker.connect()
        self.group, self.topic, self.topic_id = group, topic, topic_id
        self.partitions = list(partitions)
        self.member = str(uuid.uuid4())
        self.epoch, self.session = 0, OPEN
        if join:
            self.join()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def join(self):
        def joined():
            answer = beat(self.connection, self.group, self.member, 0, [self.topic])
            if answer["error_code"] in (14, 15, 16):
                return None
            assert answer["error_code"] == 0, answer
            return answer

        answer = eventually("a member that has joined", joined)
        self.epoch = answer["member_epoch"]
        return answer

    def beat(self):
        answer = beat(self.connection, self.group, self.member, self.epoch)
        if answer["error_code"] == 0:
            self.epoch = answer["member_epoch"]
        return answer

    def leave(self):
        return beat(self.connection, self.group, self.member, -1)

    def _topics(self, acknowledgements, named):
        return [
            {
                "topic_id": self.topic_id,
                "partitions": [
                    {
                        "partition_index": index,
                        "acknowledgement_batches": [
                            {
                                "first_offset": first,
                                "last_offset": last,
                                "acknowledge_types": types if isinstance(types, list) else [types],
                            }
                            for first, last, types in acknowledgements.get(index, [])
                        ],
                    }
                    for index in named
                ],
            }
        ]

    def _next(self, body):
        if body["error_code"] == 0:
            self.session = self.session + 1

    def fetch_body(self, acknowledgements=None, epoch=None, wait_ms=0, records=500, **values):
        acknowledgements = acknowledgements or {}
        epoch = self.session if epoch is None else epoch
        named = self.partitions if epoch == OPEN else list(acknowledgements)
        body = self.connection.request(
            "ShareFetch",
            1,
            group_id=self.group,
            member_id=self.member,
            share_session_epoch=epoch,
            max_wait_ms=wait_ms,
            min_bytes=1,
            max_records=records,
            topics=self._topics(acknowledgements, named) if named else [],
            **values,
        )
        if epoch == OPEN and body["error_code"] == 0:
            self.session = OPEN
        self._next(body)
        return body

    def fetch(self, acknowledgements=None, **values):
        """By partition; the request itself must have succeeded."""
        body = self.fetch_body(acknowledgements, **values)
        assert body["error_code"] == 0, body
        return _rows(body)

    def take(self, acknowledgements=None, partition=0, **values):
        """Offsets given of a partition."""
        rows = self.fetch(acknowledgements, **values)
        if partition not in rows:
            return []
        assert rows[partition].error == 0
        return rows[partition].offsets

    def begin_fetch(self):
        """One that waits for records; end_fetch has its rows, by partition."""
        self.connection.send(
            "ShareFetch",
            1,
            group_id=self.group,
            member_id=self.member,
            share_session_epoch=self.session,
            max_wait_ms=20000,
            max_records=10,
        )

    def end_fetch(self):
        _, body = self.connection.receive()
        assert body["error_code"] == 0, body
        self._next(body)
        return _rows(body)

    def take_some(self, **values):
        return eventually("records", lambda: self.take(wait_ms=500, **values))

    def acknowledge_body(self, acknowledgements, epoch=None):
        body = self.connection.request(
            "ShareAcknowledge",
            1,
            group_id=self.group,
            member_id=self.member,
            share_session_epoch=self.session if epoch is None else epoch,
            topics=self._topics(acknowledgements, list(acknowledgements)),
        )
        self._next(body)
        return body

    def acknowledge(self, first, last, types, partition=0):
        """The partition's error."""
        body = self.acknowledge_body({partition: [(first, last, types)]})
        assert body["error_code"] == 0, body
        return body["responses"][0]["partitions"][0]["error_code"]
