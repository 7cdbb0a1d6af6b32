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
ATTRIBUTES = ('key', 'serve', 'advertise', 'flexible', 'on')
EXTENSION_TAG = 10000  # tags from here on are ours; clients that do not know them skip them
PLACES = ('shard', 'control')


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


class Api:
    def __init__(self, name, attributes):
        unknown = [key for key in attributes if key not in ATTRIBUTES]
        missing = [key for key in ('key', 'serve', 'on') if key not in attributes]
        if unknown or missing:
            raise ValueError(f'api attributes: unknown {unknown}, missing {missing}')
        self.name, self.prefix = name, 'kafka_' + snake(name)
        self.key = int(attributes['key'])
        self.low, self.high = versions(attributes['serve'])
        self.advertise = int(attributes.get('advertise', self.low))
        self.flexible = int(attributes.get('flexible', NEVER))
        self.where = attributes['on']
        self.roots = {}
        if self.where not in PLACES or self.low > self.high or self.high == NEVER:
            raise ValueError('on= is shard or control; serve= has two ends')

    def served(self):
        return range(self.low, self.high + 1)


def check_type(field):
    if field.is_struct() and not field.fields:
        raise ValueError(f'{field.type} is no type, and a struct needs fields')
    if not field.is_struct() and field.fields:
        raise ValueError(f'{field.type} has no fields')
    can_be_null = field.array or field.is_struct() or field.type in NULLABLE
    if (field.null or field.default == 'null') and not can_be_null:
        raise ValueError(f'{field.type} has no null')
    if field.nullable_struct() and field.tag is not None:
        raise ValueError('a tagged struct is left out, never null')


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
    api, stack = None, []
    for number, line in enumerate(lines, 1):
        where = f'{path}:{number}'
        words = line.split('#')[0].split()
        if not words:
            continue
        indent = len(line) - len(line.lstrip(' '))
        try:
            if words[0] == 'api':
                api = Api(words[1], dict(word.split('=', 1) for word in words[2:]))
            elif indent == 0:
                if words[0] not in ('request', 'response'):
                    raise ValueError(f'neither api, request nor response: {words[0]}')
                root = Field([words[0], words[0]], where)
                api.roots[words[0]] = root
                stack = [(0, root)]
            else:
                field = Field(words, where)
                while stack[-1][0] >= indent:
                    stack.pop()
                stack[-1][1].fields.append(field)
                stack.append((indent, field))
        except (ValueError, IndexError, AttributeError) as error:
            raise DescriptionError(f'{where}: {error}') from None
    return api


def parse(path):
    with open(path, encoding='utf-8') as file:
        api = parse_lines(path, file)
    if not api or set(api.roots) != {'request', 'response'}:
        raise DescriptionError(f'{path}: needs api, request and response')
    for root in api.roots.values():
        check_fields(api, root, list(api.served()))
    return api


def parse_all(paths):
    """By key, ascending."""
    apis = sorted((parse(path) for path in paths), key=lambda api: api.key)
    for one, other in zip(apis, apis[1:]):
        if one.key == other.key:
            raise DescriptionError(f'{one.name} and {other.name} have one key')
    return apis
