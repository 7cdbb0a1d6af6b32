"""Apache Kafka's message definitions, as its Java client's jar carries them, and a reader of frames
that follows them and knows nothing of our descriptions."""
import json
import re
import struct
import zipfile

FIXED = {'bool': 1, 'int8': 1, 'int16': 2, 'uint16': 2, 'int32': 4, 'int64': 8, 'float64': 8,
         'uuid': 16}
BLOBS = ('string', 'bytes', 'records')
API_VERSIONS = 18
EXTENSION_TAG = 10000  # what a client skips


def span(text):
    """'3' '3-5' '3+' 'none' as (first, last), or None."""
    if text in (None, 'none'):
        return None
    low, plus, high = re.fullmatch(r'(\d+)(\+?)(?:-(\d+))?', text).groups()
    return int(low), 32767 if plus else int(high or low)


def holds(text, version):
    between = span(text)
    return between is not None and between[0] <= version <= between[1]


def read_definitions(jar):
    """(key, 'request' or 'response') -> definition."""
    found = {}
    with zipfile.ZipFile(jar) as archive:
        for name in archive.namelist():
            if not re.fullmatch(r'common/message/\w+\.json', name):
                continue
            lines = archive.read(name).decode().splitlines()
            text = '\n'.join(re.sub(r'^(\s*)//.*|\s//\s.*$', r'\1', line) for line in lines)
            definition = json.loads(text)
            if definition['type'] in ('request', 'response'):
                found[definition['apiKey'], definition['type']] = definition
    return found


class Reader:
    """One frame read by one definition; ValueError where they disagree."""

    def __init__(self, frame, definition, version):
        self.frame, self.at, self.end = frame, 0, len(frame)
        self.definition, self.version = definition, version
        self.flexible = holds(definition['flexibleVersions'], version)
        self.structs = {s['name']: s['fields'] for s in definition.get('commonStructs', [])}

    def take(self, count):
        if count > self.end - self.at:
            raise ValueError(f'{count} bytes at {self.at} are past {self.end}')
        self.at += count
        return self.frame[self.at - count:self.at]

    def number(self, form):
        return struct.unpack('>' + form, self.take(struct.calcsize(form)))[0]

    def uvarint(self):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7f) << shift
            shift += 7
            if byte < 0x80:
                return value

    def length(self, compact, form, nullable):
        length = self.uvarint() - 1 if compact else self.number(form)
        if length < (-1 if nullable else 0):
            raise ValueError(f'length {length} at {self.at}')
        return length

    def element(self, kind, field, compact, nullable):
        if kind in FIXED:
            self.take(FIXED[kind])
        elif kind in BLOBS:
            form = 'h' if kind == 'string' else 'i'
            data = self.take(max(0, self.length(compact, form, nullable)))
            if kind == 'string':
                data.decode()
        elif not nullable or self.number('b') >= 0:
            self.fields(field.get('fields') or self.structs[kind])

    def field(self, field):
        compact = self.flexible
        if 'flexibleVersions' in field:
            compact = holds(field['flexibleVersions'], self.version)
        nullable = holds(field.get('nullableVersions'), self.version)
        kind = field['type']
        if not kind.startswith('[]'):
            self.element(kind, field, compact, nullable)
            return
        for _ in range(max(0, self.length(compact, 'i', nullable))):
            self.element(kind[2:], field, compact, False)

    def tags(self, fields):
        last, outer = -1, self.end
        for _ in range(self.uvarint()):
            tag, size = self.uvarint(), self.uvarint()
            ours = tag >= EXTENSION_TAG
            if tag <= last or not (ours or tag in fields) or size > outer - self.at:
                raise ValueError(f'tag {tag} of {size} bytes after {last} at {self.at}')
            last, self.end = tag, self.at + size
            if ours:
                self.at, self.end = self.end, outer
                continue
            self.field(fields[tag])
            if self.at != self.end:
                raise ValueError(f'tag {tag} has bytes left')
            self.end = outer

    def fields(self, fields):
        tagged = {}
        for field in fields:
            if not holds(field.get('versions', '0+'), self.version):
                continue
            if holds(field.get('taggedVersions'), self.version):
                tagged[field['tag']] = field
            else:
                self.field(field)
        if self.flexible:
            self.tags(tagged)

    def header(self):
        key = self.definition['apiKey']
        if self.definition['type'] == 'request':
            if (self.number('h'), self.number('h')) != (key, self.version):
                raise ValueError('header of another message')
            self.number('i')
            self.take(max(0, self.number('h')))
        else:
            self.number('i')
        if self.flexible and (self.definition['type'] == 'request' or key != API_VERSIONS):
            self.tags({})

    def read(self):
        self.header()
        self.fields(self.definition['fields'])
        if self.at != len(self.frame):
            raise ValueError(f'{len(self.frame) - self.at} bytes left')
