"""Reads the message descriptions (messages/*.msg) and refuses what makes no sense.

The notation is in README.md.  generate.py makes C of what this returns, and
tests/dataplane/descriptions_test.py compares it with another implementation's definitions.
"""
import re

SCALARS = {  # type: (C type, wire function suffix, bytes on the wire)
    'bool': ('bool', 'bool', 1), 'i8': ('int8_t', 'i8', 1), 'i16': ('int16_t', 'i16', 2),
    'u16': ('uint16_t', 'u16', 2), 'i32': ('int32_t', 'i32', 4), 'i64': ('int64_t', 'i64', 8),
    'f64': ('double', 'f64', 8)}
VIEWS = {  # by reference or by struct: (C type, suffix)
    'string': ('struct kafka_string', 'string'), 'bytes': ('struct kafka_bytes', 'bytes'),
    'records': ('struct kafka_records', 'records'), 'uuid': ('struct uuid', 'uuid')}
NULLABLE = ('string', 'bytes', 'records')
NEVER = 32767
ATTRIBUTES = {  # of a kind of description: (required, optional)
    'api': (('key', 'serve', 'on'), ('advertise', 'flexible', 'hot')),
    'record': (('type', 'value', 'write'), ('flexible',))}
ROOTS = {'api': ('request', 'response'), 'record': ('key', 'value')}
EXTENSION_TAG = 10000  # tags from here on are ours; clients that do not know them skip them
PLACES = ('shard', 'control', 'coordinator')


class DescriptionError(Exception):
    """Says file, line and what is wrong."""


def snake(name):
    return re.sub(r'(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])', '_', name).lower()


def versions(text):
    """'3' '3-5' '3+' as (first, last)."""
    if not re.fullmatch(r'\d+(\+|-\d+)?', text):
        raise ValueError(f'not a range of versions: {text}')
    if text.endswith('+'):
        return int(text[:-1]), NEVER
    low, _, high = text.partition('-')
    return int(low), int(high or low)


def within(span, version):
    return span is not None and span[0] <= version <= span[1]


class Field:
    def __init__(self, words, where):
        self.where = where
        self.name, kind = words[0], words[1]
        self.array = kind.startswith('[]')
        self.type = kind[2:] if self.array else kind
        self.versions = (0, NEVER)
        self.null = self.tag = self.default = None
        for word in words[2:]:
            key, equals, value = word.partition('=')
            if not equals:
                self.versions = versions(word)
            elif key == 'null':
                self.null = versions(value)
            elif key == 'tag':
                self.tag = int(value)
            elif key == 'default':
                self.default = value
            else:
                raise ValueError(f'unknown attribute {word}')
        self.fields = []
        self.struct = None  # name of the C struct, set by generate.py

    def is_struct(self):
        return self.type not in SCALARS and self.type not in VIEWS

    def nullable_struct(self):
        return self.is_struct() and not self.array and self.null is not None

    def smallest(self, api, version):
        """Bytes that this field takes at least in `version`; of an array, its count."""
        if self.tag is not None or not within(self.versions, version):
            return 0
        compact = version >= api.flexible
        if self.array:
            return 1 if compact else 4
        if self.nullable_struct() and within(self.null, version):
            return 1
        return self.smallest_element(api, version)

    def smallest_element(self, api, version):
        compact = version >= api.flexible
        if self.is_struct():
            return compact + sum(f.smallest(api, version) for f in self.fields)
        if self.type in SCALARS:
            return SCALARS[self.type][2]
        if self.type == 'uuid':
            return 16
        return 1 if compact else 2 if self.type == 'string' else 4


def check_attributes(kind, attributes):
    required, optional = ATTRIBUTES[kind]
    unknown = [key for key in attributes if key not in required + optional]
    missing = [key for key in required if key not in attributes]
    if unknown or missing:
        raise ValueError(f'{kind} attributes: unknown {unknown}, missing {missing}')


class Versions:
    """Those of one struct: served, and from where on it is flexible."""

    def __init__(self, low, high, flexible):
        self.low, self.high, self.flexible = low, high, flexible

    def served(self):
        return range(self.low, self.high + 1)


class Api(Versions):
    kind = 'api'

    def __init__(self, name, attributes):
        check_attributes(self.kind, attributes)
        self.name, self.prefix = name, 'kafka_' + snake(name)
        self.key = int(attributes['key'])
        low, high = versions(attributes['serve'])
        super().__init__(low, high, int(attributes.get('flexible', NEVER)))
        self.advertise = int(attributes.get('advertise', self.low))
        self.where = attributes['on']
        self.hot = attributes.get('hot', 'no')
        self.roots = {}
        if self.hot not in ('yes', 'no'):
            raise ValueError('hot= is yes or no')
        if self.where not in PLACES or self.low > self.high or self.high == NEVER:
            raise ValueError(f'on= is one of {", ".join(PLACES)}; serve= has two ends')

    def versions_of(self, _root):
        return self


class Record:
    """Of a topic that the broker keeps: a key, whose first bytes say its type, and a value."""
    kind = 'record'
    hot = 'no'
    KEY = Versions(0, 0, NEVER)

    def __init__(self, name, attributes):
        check_attributes(self.kind, attributes)
        self.name, self.prefix = name, 'record_' + snake(name)
        self.key = int(attributes['type'])
        low, high = versions(attributes['value'])
        self.value = Versions(low, high, int(attributes.get('flexible', NEVER)))
        self.write = int(attributes['write'])
        self.roots = {}
        if self.write not in self.value.served():
            raise ValueError('write= is one of the versions of value=')

    def versions_of(self, root):
        return self.KEY if root == 'key' else self.value


def check_type(field):
    if field.is_struct() and not field.fields:
        raise ValueError(f'{field.type} is no type, and a struct needs fields')
    if not field.is_struct() and field.fields:
        raise ValueError(f'{field.type} has no fields')
    can_be_null = field.array or field.is_struct() or field.type in NULLABLE
    if (field.null or field.default == 'null') and not can_be_null:
        raise ValueError(f'{field.type} has no null')
    if field.nullable_struct() and field.tag is not None and field.default != 'null':
        raise ValueError('a tagged struct that may be null is null where it is left out')


def check_default(field):
    if field.default in (None, 'null'):
        return
    allowed = {'bool': r'true|false', 'f64': r'-?\d+(\.\d+)?'}.get(field.type, r'-?\d+')
    if field.array or field.type not in SCALARS or not re.fullmatch(allowed, field.default):
        raise ValueError(f'default {field.default} does not suit the type')


def check_fields(api, struct, served):
    names, tags, structs = set(), set(), set()
    for field in struct.fields:
        live = [version for version in served if within(field.versions, version)]
        try:
            if not live:
                raise ValueError('in no version that is served')
            if field.name in names or field.tag in tags:
                raise ValueError('name or tag is taken')
            if field.type in structs:
                raise ValueError(f'two structs {field.type} in one place')
            if field.tag is not None and live[0] < api.flexible:
                raise ValueError('a tag needs a flexible version')
            check_type(field)
            check_default(field)
        except ValueError as error:
            raise DescriptionError(f'{field.where}: {field.name}: {error}') from None
        names.add(field.name)
        if field.tag is not None:
            tags.add(field.tag)
        if field.is_struct():
            structs.add(field.type)
        check_fields(api, field, live)


def parse_lines(path, lines):
    described, stack = None, []
    for number, line in enumerate(lines, 1):
        where = f'{path}:{number}'
        words = line.split('#')[0].split()
        if not words:
            continue
        indent = len(line) - len(line.lstrip(' '))
        try:
            if words[0] in ROOTS:
                make = Api if words[0] == 'api' else Record
                described = make(words[1], dict(word.split('=', 1) for word in words[2:]))
            elif indent == 0:
                if words[0] not in ROOTS[described.kind]:
                    raise ValueError(f'no part of a description: {words[0]}')
                root = Field([words[0], words[0]], where)
                described.roots[words[0]] = root
                stack = [(0, root)]
            else:
                field = Field(words, where)
                while stack[-1][0] >= indent:
                    stack.pop()
                stack[-1][1].fields.append(field)
                stack.append((indent, field))
        except (ValueError, IndexError, AttributeError) as error:
            raise DescriptionError(f'{where}: {error}') from None
    return described


def parse(path):
    with open(path, encoding='utf-8') as file:
        described = parse_lines(path, file)
    if not described or tuple(described.roots) != ROOTS[described.kind]:
        raise DescriptionError(f'{path}: needs api, request and response, or record, key and value')
    for name, root in described.roots.items():
        served = described.versions_of(name)
        check_fields(served, root, list(served.served()))
    return described


def parse_all(paths):
    """The APIs and the records, each by key, ascending."""
    parsed = sorted((parse(path) for path in paths), key=lambda one: one.key)
    apis = [one for one in parsed if one.kind == 'api']
    records = [one for one in parsed if one.kind == 'record']
    for kind in (apis, records):
        for one, other in zip(kind, kind[1:]):
            if one.key == other.key:
                raise DescriptionError(f'{one.name} and {other.name} have one key')
    return apis, records
