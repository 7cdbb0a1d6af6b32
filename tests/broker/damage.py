"""A topic of which a segment has rotted while the broker was down."""

import os
import pathlib

from records import batch

RECORDS = 60
RECORD_BYTES = 100 << 10  # ten to a segment of 1 MiB, the least there is
HEADER_BYTES = 4096


def fill(broker, topic):
    """A batch of one record at each offset, in some closed segments."""
    with broker.connect() as connection:
        connection.create_topic(topic, configs={"segment.bytes": 1 << 20})
        for number in range(RECORDS):
            value = b"%06d" % number + os.urandom(RECORD_BYTES)
            assert connection.produce(topic, 0, [value]) == number


def segments(broker):
    """Of the only partition that has more than one: paths by base offset."""
    found = {}
    for folder in pathlib.Path(broker.data, "topics").glob("*/*"):
        files = {int(path.stem): path for path in folder.glob("*.log")}
        if len(files) > len(found):
            found = files
    assert len(found) >= 5
    return found


def flip(path, byte):
    with open(path, "r+b") as file:
        file.seek(byte)
        was = file.read(1)[0]
        file.seek(byte)
        file.write(bytes([was ^ 0x40]))


def damage_third_batch(broker):
    """Of a closed segment whose index is gone, so that a start finds it.  Returns its offset."""
    base, path = sorted(segments(broker).items())[2]
    path.with_suffix(".idx").unlink()
    size = len(batch([b"%06d" % 0 + bytes(RECORD_BYTES)]))
    flip(path, HEADER_BYTES + 2 * size + size // 2)
    return base + 2
