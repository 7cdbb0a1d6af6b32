#!/usr/bin/env python3
"""Compares our descriptions with the definitions that Apache Kafka's Java client carries.

    descriptions_test.py MESSAGES_DIRECTORY KAFKA_EXAMPLES

The environment's KAFKA_CLIENTS_JAR is the path of a kafka-clients jar, 4.x (skipped when it is not set).
For every served version of every message, both sides are laid out as the list of what is on the wire, in
order: type, nullability, tag, default.  Names do not count, nor does the order of tagged fields, nor do
our own additions (tags from EXTENSION_TAG on).  Then
the frames that KAFKA_EXAMPLES prints are read by those definitions, to the last byte.
"""
import json
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'dataplane/kafka'))
import descriptions  # noqa: E402
from definitions import Reader, read_definitions, span  # noqa: E402

SKIPPED = 77
TYPES = {'bool': 'bool', 'int8': 'i8', 'int16': 'i16', 'uint16': 'u16', 'int32': 'i32',
         'int64': 'i64', 'float64': 'f64', 'string': 'string', 'bytes': 'bytes',
         'records': 'records', 'uuid': 'uuid'}


def number(text):
    return int(str(text), 0)


def plain_default(kind, array, default):
    """Both sides' defaults in one form."""
    if array or kind == 'struct' or kind in ('string', 'bytes', 'records', 'uuid'):
        return 'null' if default in (None, 'null') and default is not None else ''
    if kind == 'bool':
        return str(default).lower() if default is not None else 'false'
    if kind == 'f64':
        return float(default or 0)
    return number(default if default not in (None, '') else 0)


def row(kind, array, nullable, tag, default, flexible):
    return {'type': ('[]' if array else '') + kind, 'null': nullable, 'tag': tag,
            'default': plain_default(kind, array, default), 'flexible': flexible}


def ordered(pairs):
    """Untagged fields in their order, then tagged ones by tag."""
    return ([rows for tag, rows in pairs if tag is None] +
            [rows for tag, rows in sorted((p for p in pairs if p[0] is not None),
                                          key=lambda p: p[0])])


def our_layout(fields, version, flexible):
    pairs = []
    for field in fields:
        if not descriptions.within(field.versions, version):
            continue
        if field.tag is not None and field.tag >= descriptions.EXTENSION_TAG:
            continue
        kind = 'struct' if field.is_struct() else field.type
        rows = [row(kind, field.array, descriptions.within(field.null, version), field.tag,
                    field.default, version >= flexible)]
        pairs.append((field.tag, rows + our_layout(field.fields, version, flexible)))
    return sum(ordered(pairs), [])


def their_layout(fields, structs, version, flexible):
    pairs = []
    for field in fields:
        if not descriptions.within(span(field.get('versions', '0+')), version):
            continue
        array = field['type'].startswith('[]')
        name = field['type'][2:] if array else field['type']
        kind = TYPES.get(name, 'struct')
        tag = None
        if descriptions.within(span(field.get('taggedVersions')), version):
            tag = field['tag']
        nullable = descriptions.within(span(field.get('nullableVersions')), version)
        its_flexible = field.get('flexibleVersions')
        compact = descriptions.within(span(its_flexible), version) if its_flexible else flexible
        rows = [row(kind, array, nullable, tag, field.get('default'), compact)]
        below = field.get('fields') or structs.get(name, [])
        pairs.append((tag, rows + their_layout(below, structs, version, flexible)))
    return sum(ordered(pairs), [])


def compare(api, kind, theirs):
    """Sentences about what differs."""
    low, high = span(theirs['validVersions'])
    flexible = span(theirs['flexibleVersions']) or (descriptions.NEVER, descriptions.NEVER)
    if api.low < low or api.high > high:
        yield f'serves {api.low}-{api.high}, they know {low}-{high}'
    if flexible[0] != api.flexible and min(flexible[0], api.flexible) <= api.high:
        yield f'flexible from {api.flexible}, theirs from {flexible[0]}'
    structs = {struct['name']: struct['fields'] for struct in theirs.get('commonStructs', [])}
    for version in api.served():
        ours = our_layout(api.roots[kind].fields, version, api.flexible)
        other = their_layout(theirs['fields'], structs, version, version >= flexible[0])
        for index, (one, two) in enumerate(zip(ours, other)):
            if one != two:
                yield f'v{version}, field {index}: ours {one}, theirs {two}'
                break
        if len(ours) != len(other):
            yield f'v{version}: {len(ours)} fields, theirs {len(other)}'


def differences(apis, definitions):
    for api in apis:
        for kind in ('request', 'response'):
            theirs = definitions.get((api.key, kind))
            if not theirs or theirs['name'] != api.name + kind.capitalize():
                yield f'{api.name} {kind}: key {api.key} is not theirs'
                continue
            for sentence in compare(api, kind, theirs):
                yield f'{api.name} {kind}: {sentence}'


def check_the_comparison(apis, definitions):
    """A comparison that finds nothing must be able to find something."""
    broken = {key: json.loads(json.dumps(value)) for key, value in definitions.items()}
    first = broken[apis[0].key, 'request']
    first['fields'][-1]['versions'] = '1000+'
    assert list(differences(apis[:1], broken)), 'a missing field was not noticed'
    first['fields'][-1]['versions'] = '0+'
    first['flexibleVersions'] = f'{apis[0].high}+'
    assert list(differences(apis[:1], broken)), 'other flexible versions were not noticed'


def frames_that_do_not_read(lines, definitions):
    for line in lines:
        key, version, kind, text = line.split()
        definition = definitions[int(key), kind]
        try:
            Reader(bytes.fromhex(text), definition, int(version)).read()
        except (ValueError, KeyError) as error:
            yield f'{definition["name"]} v{version}: {error}: {text}'


def check_the_reader(lines, definitions):
    """It notices a byte too many, one too few, and another version of the message."""
    for wrong in (lines[0] + '00', lines[0][:-2]):
        assert list(frames_that_do_not_read([wrong], definitions)), wrong
    elsewhere = [line.replace(' 12 response ', ' 11 response ') for line in lines
                 if line.startswith('1 12 response ')]
    assert list(frames_that_do_not_read(elsewhere, definitions)), 'Fetch 12 was read as 11'


def main():
    jar = os.environ.get('KAFKA_CLIENTS_JAR')
    if not jar:
        print('KAFKA_CLIENTS_JAR is not set')
        return SKIPPED
    apis, _ = descriptions.parse_all(sorted(str(p) for p in Path(sys.argv[1]).glob('*.msg')))
    assert apis, 'no descriptions'
    definitions = read_definitions(jar)
    check_the_comparison(apis, definitions)
    found = list(differences(apis, definitions))
    lines = subprocess.run([sys.argv[2]], check=True, capture_output=True,
                           text=True).stdout.splitlines()
    check_the_reader(lines, definitions)
    found += frames_that_do_not_read(lines, definitions)
    print(*found, sep='\n')
    compared = sum(2 * len(api.served()) for api in apis)
    print(f'{compared} versions of messages compared, {len(lines)} frames read, '
          f'{len(found)} differences')
    return 1 if found else 0


if __name__ == '__main__':
    sys.exit(main())
