"""Kafka's messages, as far as these tests speak them, and their encoding.

Written apart from the broker's own descriptions, so that a field forgotten or misread there shows
here.  messages.txt has the fields.  In flexible versions lengths are compact and every struct ends
with tagged fields.

Values are plain Python: integers, strings, bytes, None, lists, and dicts by field name.  A field
that is not given takes its default.
"""

import pathlib
import struct

FIXED = {"int8": ">b", "int16": ">h", "int32": ">i", "int64": ">q", "uint16": ">H", "bool": ">?"}
EMPTY = {"string": "", "bytes": b"", "records": b"", "uuid": bytes(16), "bool": False}


def _versions(text):
    if text.endswith("+"):
        return range(int(text[:-1]), 1 << 15)
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


class Field:
    def __init__(self, words):
        options = dict(word.split("=") for word in words[3:])
        self.name = words[0]
        self.array = words[1].startswith("[]")
        self.type = words[1].removeprefix("[]")
        self.versions = _versions(words[2])
        self.null = _versions(options["null"]) if "null" in options else range(0)
        self.tag = int(options["tag"]) if "tag" in options else None
        self.fields = []
        self.default = self._default(options.get("default"))

    def _default(self, text):
        if self.array:
            return None if text == "null" else []
        if text == "null" or self.type == "struct":
            return None
        if text is None:
            return EMPTY.get(self.type, 0)
        return text == "true" if self.type == "bool" else int(text, 0)


class Message:
    def __init__(self, head):
        self.kind, self.name, key, flexible = head.split()
        self.key = int(key.removeprefix("key="))
        self.flexible = int(flexible.removeprefix("flexible="))
        self.fields = []


def _parse(table):
    messages = {}
    lines = [line for line in table.split("\n") if not line.startswith("#")]
    for paragraph in "\n".join(lines).strip().split("\n\n"):
        lines = paragraph.split("\n")
        message = Message(lines[0])
        levels = [message.fields]
        for line in lines[1:]:
            depth = (len(line) - len(line.lstrip())) // 2
            field = Field(line.split())
            del levels[depth:]
            levels[-1].append(field)
            levels.append(field.fields)
        messages[message.kind, message.name] = message
    return messages


MESSAGES = _parse(pathlib.Path(__file__).with_name("messages.txt").read_text("ascii"))


def uvarint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class Reader:
    """Takes values off a response; running out of bytes is an error."""

    def __init__(self, data):
        self.data = memoryview(data)
        self.at = 0

    def take(self, count):
        if count < 0 or self.at + count > len(self.data):
            raise ValueError(f"{count} bytes wanted at {self.at} of {len(self.data)}")
        self.at += count
        return bytes(self.data[self.at - count : self.at])

    def fixed(self, kind):
        form = FIXED[kind]
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def uvarint(self):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def length(self, compact, wide):
        """Of a string, bytes or array; None for null."""
        if compact:
            value = self.uvarint() - 1
        else:
            value = self.fixed("int32" if wide else "int16")
        return None if value == -1 else value


class Codec:
    """One message in one version."""

    def __init__(self, kind, name, version):
        self.message = MESSAGES[kind, name]
        self.version = version
        self.flexible = version >= self.message.flexible

    def _length(self, value, wide):
        if self.flexible:
            return uvarint(0 if value is None else value + 1)
        return struct.pack(">i" if wide else ">h", -1 if value is None else value)

    def _may_be_absent(self, field):
        """A struct that has null: a byte before it says whether it is there."""
        return field.type == "struct" and not field.array and self.version in field.null

    def _encode_one(self, field, value):
        if field.type == "struct":
            return self._encode_struct(field.fields, value)
        if field.type in FIXED:
            return struct.pack(FIXED[field.type], value)
        if field.type == "uuid":
            return value
        raw = value.encode() if isinstance(value, str) else value
        length = None if raw is None else len(raw)
        return self._length(length, field.type != "string") + (raw or b"")

    def _encode_field(self, field, value):
        if self._may_be_absent(field):
            return b"\xff" if value is None else b"\x01" + self._encode_one(field, value)
        if not field.array:
            return self._encode_one(field, value)
        out = self._length(None if value is None else len(value), True)
        return out + b"".join(self._encode_one(field, each) for each in value or [])

    def _encode_struct(self, fields, values):
        unknown = set(values) - {field.name for field in fields}
        if unknown:
            raise KeyError(f"{self.message.name} has no field {sorted(unknown)}")
        out = []
        tagged = []
        for field in fields:
            value = values.get(field.name, field.default)
            if self.version not in field.versions:
                continue
            if field.tag is None:
                out.append(self._encode_field(field, value))
            elif value != field.default:
                tagged.append((field.tag, self._encode_field(field, value)))
        if self.flexible:
            out.append(uvarint(len(tagged)))
            for tag, content in sorted(tagged):
                out.append(uvarint(tag) + uvarint(len(content)) + content)
        return b"".join(out)

    def encode(self, values):
        return self._encode_struct(self.message.fields, values)

    def _decode_one(self, reader, field):
        if field.type == "struct":
            return self._decode_struct(reader, field.fields)
        if field.type in FIXED:
            return reader.fixed(field.type)
        if field.type == "uuid":
            return reader.take(16)
        length = reader.length(self.flexible, field.type != "string")
        if length is None:
            self._check_nullable(field)
            return None
        raw = reader.take(length)
        return raw.decode() if field.type == "string" else raw

    def _check_nullable(self, field):
        if self.version not in field.null:
            raise ValueError(f"{self.message.name}.{field.name} is null")

    def _decode_field(self, reader, field):
        if self._may_be_absent(field) and reader.fixed("int8") < 0:
            return None
        if not field.array:
            return self._decode_one(reader, field)
        count = reader.length(self.flexible, True)
        if count is None:
            self._check_nullable(field)
            return None
        return [self._decode_one(reader, field) for _ in range(count)]

    def _decode_tagged(self, reader, fields, values):
        by_tag = {f.tag: f for f in fields if f.tag is not None and self.version in f.versions}
        last = -1
        for _ in range(reader.uvarint()):
            tag = reader.uvarint()
            content = Reader(reader.take(reader.uvarint()))
            if tag <= last:
                raise ValueError(f"tag {tag} after {last}")
            last = tag
            if tag in by_tag:
                values[by_tag[tag].name] = self._decode_field(content, by_tag[tag])
                if content.at != len(content.data):
                    raise ValueError(f"tag {tag} is longer than its field")

    def _decode_struct(self, reader, fields):
        values = {}
        for field in fields:
            if self.version in field.versions and field.tag is None:
                values[field.name] = self._decode_field(reader, field)
            elif self.version in field.versions:
                values[field.name] = field.default
        if self.flexible:
            self._decode_tagged(reader, fields, values)
        return values

    def decode(self, data):
        """Every byte must belong to a field."""
        reader = Reader(data)
        values = self._decode_struct(reader, self.message.fields)
        if reader.at != len(reader.data):
            raise ValueError(f"{len(reader.data) - reader.at} bytes after {self.message.name}")
        return values


def request_header(key, version, correlation, client_id="test", flexible=False):
    """The client id keeps its old form in flexible versions too."""
    raw = None if client_id is None else client_id.encode()
    length = -1 if raw is None else len(raw)
    return (
        struct.pack(">hhih", key, version, correlation, length)
        + (raw or b"")
        + (b"\0" if flexible else b"")
    )


def framed(body):
    return struct.pack(">i", len(body)) + body


def request_frame(name, version, correlation, values, client_id="test"):
    """A whole request with its length."""
    codec = Codec("request", name, version)
    header = request_header(codec.message.key, version, correlation, client_id, codec.flexible)
    return framed(header + codec.encode(values))


def response_body(name, version, frame):
    """What follows the correlation id of a response, decoded."""
    codec = Codec("response", name, version)
    # ApiVersions keeps the old header: its reader does not know yet what the other side speaks.
    if codec.flexible and name != "ApiVersions":
        reader = Reader(frame)
        for _ in range(reader.uvarint()):
            reader.uvarint()
            reader.take(reader.uvarint())
        frame = frame[reader.at :]
    return codec.decode(frame)
