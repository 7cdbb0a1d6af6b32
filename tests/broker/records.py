"""Record batches of magic 2, built and read; every header field may be given wrong on purpose."""

import struct
import time

from messages import Reader

try:
    import google_crc32c
except ImportError:
    google_crc32c = None

BATCH_HEADER = struct.Struct(">qiibIhiqqqhii")
HEADER_BYTES = 61
GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4


def _crc_tables():
    """Four tables over 16 bits each: eight bytes in one step."""
    bits = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        bits.append(byte)
    pair = []
    for value in range(1 << 16):
        crc = bits[value & 0xFF] ^ value >> 8
        pair.append(bits[crc & 0xFF] ^ crc >> 8)
    tables = [pair]
    for _ in range(3):
        tables.append([pair[crc & 0xFFFF] ^ crc >> 16 for crc in tables[-1]])
    return bits, tables


_BITS, (_T0, _T1, _T2, _T3) = _crc_tables()


def _crc32c(data):
    whole = len(data) & ~7
    crc = 0xFFFFFFFF
    t0, t1, t2, t3 = _T0, _T1, _T2, _T3
    for word in struct.unpack(f"<{whole // 8}Q", data[:whole]):
        word ^= crc
        crc = t3[word & 0xFFFF] ^ t2[word >> 16 & 0xFFFF] ^ t1[word >> 32 & 0xFFFF] ^ t0[word >> 48]
    for byte in data[whole:]:
        crc = _BITS[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def crc32c(data):
    # The package is a thousand times faster, and only that.
    return google_crc32c.value(bytes(data)) if google_crc32c else _crc32c(bytes(data))


assert crc32c(b"123456789") == _crc32c(b"123456789") == 0xE3069283


def varint(value):
    """Zigzag, as inside records."""
    value = value << 1 ^ value >> 63
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _sized(raw):
    return varint(-1) if raw is None else varint(len(raw)) + raw


def record(value, key=None, headers=(), offset_delta=0, timestamp_delta=0, attributes=0):
    body = bytes([attributes]) + varint(timestamp_delta) + varint(offset_delta)
    body += _sized(key) + _sized(value) + varint(len(headers))
    for name, content in headers:
        body += _sized(name) + _sized(content)
    return varint(len(body)) + body


def batch(values, timestamp=None, step=0, codec=0, compress=None, raw=None, **fields):
    """A batch of `values`; `fields` overrides header fields by name, `raw` the records' bytes.

    Stamped with the time unless told otherwise: retention takes old records away at any moment.
    """
    count = len(values)
    if timestamp is None:
        timestamp = time.time_ns() // 1_000_000
    records = raw
    if records is None:
        records = b"".join(
            record(value, offset_delta=index, timestamp_delta=index * step)
            for index, value in enumerate(values)
        )
    if compress:
        records = compress(records)
    header = {
        "base_offset": 0,
        "length": HEADER_BYTES - 12 + len(records),
        "leader_epoch": -1,
        "magic": 2,
        "crc": None,
        "attributes": codec,
        "last_offset_delta": count - 1,
        "first_timestamp": timestamp,
        "max_timestamp": timestamp + max(count - 1, 0) * step,
        "producer_id": -1,
        "producer_epoch": -1,
        "base_sequence": -1,
        "count": count,
    }
    unknown = set(fields) - set(header)
    if unknown:
        raise KeyError(f"a batch has no field {sorted(unknown)}")
    header.update(fields)
    if header["crc"] is None:
        header["crc"] = 0
        covered = BATCH_HEADER.pack(*header.values())[21:] + records
        header["crc"] = crc32c(covered)
    return BATCH_HEADER.pack(*header.values()) + records


class Batch:
    """A stored batch as read back."""

    def __init__(self, raw):
        self.raw = raw
        (
            self.base_offset,
            _,
            self.leader_epoch,
            self.magic,
            self.crc,
            self.attributes,
            self.last_offset_delta,
            self.first_timestamp,
            self.max_timestamp,
            self.producer_id,
            self.producer_epoch,
            self.base_sequence,
            self.count,
        ) = BATCH_HEADER.unpack(raw[:HEADER_BYTES])

    @property
    def next_offset(self):
        return self.base_offset + self.last_offset_delta + 1

    def check(self):
        if crc32c(self.raw[21:]) != self.crc:
            raise ValueError(f"the batch at {self.base_offset} fails its checksum")

    @property
    def codec(self):
        return self.attributes & 7

    def records(self, decompress=bytes):
        """(offset, timestamp, key, value) of a batch, which is uncompressed unless told how."""
        reader = Reader(decompress(self.raw[HEADER_BYTES:]))

        def signed():
            value = reader.uvarint()
            return value >> 1 ^ -(value & 1)

        def sized():
            length = signed()
            return None if length < 0 else reader.take(length)

        for _ in range(self.count):
            signed()
            reader.take(1)
            timestamp = self.first_timestamp + signed()
            offset = self.base_offset + signed()
            key, value = sized(), sized()
            for _ in range(signed()):
                sized(), sized()
            yield offset, timestamp, key, value


def batches(data):
    """The whole batches of a fetch; a last one that is cut short is left out."""
    data = bytes(data or b"")
    found = []
    while len(data) >= HEADER_BYTES:
        length = 12 + struct.unpack(">i", data[8:12])[0]
        if length > len(data):
            break
        found.append(Batch(data[:length]))
        data = data[length:]
    return found


def values_of(data):
    return [value for each in batches(data) for _, _, _, value in each.records()]
