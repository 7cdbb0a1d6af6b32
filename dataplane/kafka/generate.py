#!/usr/bin/env python3
"""Makes C structs, decoders, encoders and test fillers of the message descriptions.

    generate.py OUTPUT_DIRECTORY DESCRIPTION.msg ...

The notation is in README.md.  The output is plain C over wire.h: for every struct S
    S_init      sets the defaults
    S_decode    reads one version, in place
    S_encode    writes one version
    S_fill      random content of one version, for tests (kafka_fill.c)
and the table kafka_apis[].
"""
import os
import re
import sys

SCALARS = {  # type: (C type, wire function suffix, bytes on the wire at least)
    'bool': ('bool', 'bool', 1), 'i8': ('int8_t', 'i8', 1), 'i16': ('int16_t', 'i16', 2),
    'u16': ('uint16_t', 'u16', 2), 'i32': ('int32_t', 'i32', 4), 'i64': ('int64_t', 'i64', 8)}
VIEWS = {  # by reference or by struct: (C type, suffix, bytes at least)
    'string': ('struct kafka_string', 'string', 1), 'bytes': ('struct kafka_bytes', 'bytes', 1),
    'records': ('struct kafka_records', 'records', 1), 'uuid': ('struct uuid', 'uuid', 16)}
NEVER = 32767


def snake(name):
    return re.sub(r'(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])', '_', name).lower()


def versions(text):
    if text.endswith('+'):
        return int(text[:-1]), NEVER
    low, _, high = text.partition('-')
    return int(low), int(high or low)


class Field:
    def __init__(self, words, where):
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
                sys.exit(f'{where}: unknown attribute {word}')
        self.fields = []
        self.struct = None

    def is_struct(self):
        return self.type not in SCALARS and self.type not in VIEWS


class Api:
    def __init__(self, name, attributes):
        self.name, self.prefix = name, 'kafka_' + snake(name)
        self.key = int(attributes['key'])
        self.low, self.high = versions(attributes['serve'])
        self.advertise = int(attributes.get('advertise', self.low))
        self.flexible = int(attributes.get('flexible', NEVER))
        self.where = attributes['on']
        self.roots = {}


def parse(path):
    api, stack = None, []
    for number, line in enumerate(open(path), 1):
        where = f'{path}:{number}'
        words = line.split('#')[0].split()
        if not words:
            continue
        indent = len(line) - len(line.lstrip())
        if words[0] == 'api':
            api = Api(words[1], dict(word.split('=', 1) for word in words[2:]))
        elif indent == 0:
            root = Field([words[0], words[0]], where)
            api.roots[words[0]] = root
            stack = [(0, root)]
        else:
            field = Field(words, where)
            while stack[-1][0] >= indent:
                stack.pop()
            stack[-1][1].fields.append(field)
            stack.append((indent, field))
    return api


def name_structs(root, prefix, out):
    """Children first, so that the C definitions stand in order."""
    for field in root.fields:
        if field.is_struct():
            field.struct = f'{prefix}_{field.type}'
            name_structs(field, prefix, out)
            out.append(field)
    return out


def c_type(field):
    if field.is_struct():
        return f'struct {field.struct}'
    return (SCALARS.get(field.type) or VIEWS[field.type])[0]


def version_test(span, low=0, high=NEVER):
    """A C condition, or None when it holds for every version from low to high."""
    tests = []
    if span[0] > low:
        tests.append(f'version >= {span[0]}')
    if span[1] < high:
        tests.append(f'version <= {span[1]}')
    return ' && '.join(tests) or None


def null_test(field):
    if field.null is None:
        return 'false'
    return version_test(field.null) or 'true'


def smallest(field):
    if field.is_struct():
        return max(1, sum(smallest_field(f) for f in field.fields if f.versions == (0, NEVER)))
    return (SCALARS.get(field.type) or VIEWS[field.type])[2]


def smallest_field(field):
    if field.tag is not None:
        return 0
    return 1 if field.array else smallest(field)


class Writer:
    def __init__(self, path):
        self.path, self.lines = path, []

    def __call__(self, text='', depth=0):
        self.lines.append('\t' * depth + text)

    def close(self):
        with open(self.path, 'w') as out:
            out.write('\n'.join(self.lines) + '\n')


def emit_struct(h, struct):
    h(f'struct {struct.struct} {{')
    for field in struct.fields:
        star = '*' if field.array else ''
        h(f'{c_type(field)} {star}{field.name};', 1)
        if field.array:
            h(f'int32_t {field.name}_count;', 1)
    if not struct.fields:
        h('char nothing;', 1)
    h('};')
    h(f'void {struct.struct}_init(struct {struct.struct} *m);')
    h()


def default_of(field):
    if field.default is None or field.default in ('true', 'false'):
        return '1' if field.default == 'true' else '0'
    return field.default if abs(int(field.default)) < 2**31 else f'INT64_C({field.default})'


def emit_init(c, struct):
    c(f'void {struct.struct}_init(struct {struct.struct} *m)')
    c('{')
    c('*m = (struct ' + struct.struct + '){0};', 1)
    for field in struct.fields:
        if field.array:
            if field.default == 'null':
                c(f'm->{field.name}_count = -1;', 1)
        elif field.is_struct():
            c(f'{field.struct}_init(&m->{field.name});', 1)
        elif field.type in VIEWS:
            if field.default == 'null':
                c(f'm->{field.name}.length = -1;', 1)
        elif default_of(field) != '0':
            value = default_of(field)
            c(f'm->{field.name} = ' + (f'(int32_t){value}' if value == '-2147483648' else value) + ';', 1)
    c('}')
    c()


def get(field, target, reader, flexible):
    if field.is_struct():
        return f'{field.struct}_decode({reader}, version, &{target});'
    if field.type in SCALARS:
        return f'{target} = wire_get_{SCALARS[field.type][1]}({reader});'
    if field.type == 'uuid':
        return f'{target} = wire_get_uuid({reader});'
    nullable = 'false' if field.array else null_test(field)
    return f'{target} = wire_get_{field.type}({reader}, {flexible}, {nullable});'


def emit_get(c, field, reader, depth):
    if not field.array:
        c(get(field, f'm->{field.name}', reader, 'compact'), depth)
        return
    c(f'm->{field.name}_count = wire_get_array({reader}, compact, {null_test(field)}, '
      f'{smallest(field)}, sizeof(*m->{field.name}), &elements);', depth)
    c(f'm->{field.name} = elements;', depth)
    c(f'for (int32_t i = 0; i < m->{field.name}_count && wire_ok({reader}); i++)', depth)
    c(get(field, f'm->{field.name}[i]', reader, 'compact'), depth + 1)


def guarded(c, field, depth, emit):
    test = version_test(field.versions)
    if not test:
        emit(depth)
        return
    c(f'if ({test}) {{', depth)
    emit(depth + 1)
    c('}', depth)


def emit_decode(c, struct, api):
    tagged = [f for f in struct.fields if f.tag is not None]
    c(f'static void {struct.struct}_decode(struct wire_reader *r, int16_t version,')
    c(f'\tstruct {struct.struct} *m)')
    c('{')
    c(f'const bool compact = version >= {api.flexible};', 1)
    if any(f.array for f in struct.fields):
        c('void *elements;', 1)
    c()
    c('(void)compact;', 1)
    c(f'{struct.struct}_init(m);', 1)
    for field in struct.fields:
        if field.tag is None:
            guarded(c, field, 1, lambda depth, f=field: emit_get(c, f, 'r', depth))
    if tagged:
        c('if (!compact)', 1)
        c('return;', 2)
        c('struct wire_tags tags = {0};', 1)
        c('struct wire_reader field;', 1)
        c('uint32_t tag;', 1)
        c('while (wire_next_tag(r, &tags, &tag, &field)) {', 1)
        for field in tagged:
            test = version_test(field.versions, api.flexible)
            c(f'if (tag == {field.tag}' + (f' && {test}' if test else '') + ') {', 2)
            emit_get(c, field, '&field', 3)
            c('}', 2)
        c('wire_end_tag(r, &field);', 2)
        c('}', 1)
    else:
        c('if (compact)', 1)
        c('wire_skip_tags(r);', 2)
    c('}')
    c()


def put(field, source):
    if field.is_struct():
        return f'{field.struct}_encode(w, version, &{source});'
    if field.type in SCALARS:
        return f'wire_put_{SCALARS[field.type][1]}(w, {source});'
    if field.type == 'uuid':
        return f'wire_put_uuid(w, &{source});'
    return f'wire_put_{field.type}(w, &{source}, compact);'


def emit_put(c, field, depth):
    if not field.array:
        c(put(field, f'm->{field.name}'), depth)
        return
    c(f'wire_put_array(w, m->{field.name}_count, compact);', depth)
    c(f'for (int32_t i = 0; i < m->{field.name}_count; i++)', depth)
    c(put(field, f'm->{field.name}[i]'), depth + 1)


def differs_from_default(field):
    name = f'm->{field.name}'
    if field.array:
        return f'{name}_count != ' + ('-1' if field.default == 'null' else '0')
    if field.is_struct():
        return ' || '.join(differs_from_default(f).replace('m->', f'{name}.')
                           for f in field.fields)
    if field.type == 'uuid':
        return f'!uuid_zero(&{name})'
    if field.type in VIEWS:
        return f'{name}.length != ' + ('-1' if field.default == 'null' else '0')
    return f'{name} != {default_of(field)}'


def emit_tagged(c, tagged, api):
    c('uint32_t tag_count = 0;', 1)
    for field in tagged:
        test = version_test(field.versions, api.flexible)
        condition = f'({differs_from_default(field)})' + (f' && {test}' if test else '')
        c(f'const bool has_{field.name} = {condition};', 1)
        c(f'tag_count += has_{field.name};', 1)
    c('wire_put_uvarint(w, tag_count);', 1)
    for field in sorted(tagged, key=lambda f: f.tag):
        c(f'if (has_{field.name}) {{', 1)
        c('struct wire_writer *const out = w;', 2)
        c('struct wire_writer counter = {0};', 2)
        c('w = &counter;', 2)
        emit_put(c, field, 2)
        c('w = out;', 2)
        c(f'wire_put_uvarint(w, {field.tag});', 2)
        c('wire_put_uvarint(w, (uint32_t)counter.bytes);', 2)
        emit_put(c, field, 2)
        c('}', 1)


def emit_encode(c, struct, api):
    tagged = [f for f in struct.fields if f.tag is not None]
    c(f'static void {struct.struct}_encode(struct wire_writer *w, int16_t version,')
    c(f'\tconst struct {struct.struct} *m)')
    c('{')
    c(f'const bool compact = version >= {api.flexible};', 1)
    c()
    c('(void)compact;', 1)
    c('(void)m;', 1)
    for field in struct.fields:
        if field.tag is None:
            guarded(c, field, 1, lambda depth, f=field: emit_put(c, f, depth))
    c('if (!compact)', 1)
    c('return;', 2)
    if tagged:
        emit_tagged(c, tagged, api)
    else:
        c('wire_put_uvarint(w, 0);', 1)
    c('}')
    c()


def emit_fill(c, struct):
    c(f'static void {struct.struct}_fill(struct kafka_fill *f, int16_t version,')
    c(f'\tstruct {struct.struct} *m)')
    c('{')
    c('(void)version;', 1)
    c('(void)f;', 1)
    c(f'{struct.struct}_init(m);', 1)
    for field in struct.fields:
        guarded(c, field, 1, lambda depth, f=field: emit_fill_field(c, f, depth))
    c('}')
    c()


def emit_fill_field(c, field, depth):
    def one(target):
        if field.is_struct():
            return f'{field.struct}_fill(f, version, &{target});'
        if field.type in SCALARS:
            return f'{target} = ({SCALARS[field.type][0]})kafka_fill_number(f);'
        if field.type == 'uuid':
            return f'{target} = kafka_fill_uuid(f);'
        nullable = 'false' if field.array else null_test(field)
        return f'{target} = kafka_fill_{field.type}(f, {nullable});'
    if not field.array:
        c(one(f'm->{field.name}'), depth)
        return
    c(f'm->{field.name}_count = kafka_fill_count(f, {null_test(field)});', depth)
    c(f'm->{field.name} = kafka_fill_array(f, m->{field.name}_count, sizeof(*m->{field.name}));',
      depth)
    c(f'for (int32_t i = 0; i < m->{field.name}_count; i++)', depth)
    c(one(f'm->{field.name}[i]'), depth + 1)


def emit_api_glue(c, fill, api):
    for kind in ('request', 'response'):
        name = f'{api.prefix}_{kind}'
        c(f'static void {name}_init_any(void *m)')
        c('{')
        c(f'{name}_init(m);', 1)
        c('}')
        c(f'static void {name}_decode_any(struct wire_reader *r, int16_t version, void *m)')
        c('{')
        c(f'{name}_decode(r, version, m);', 1)
        c('}')
        c(f'static void {name}_encode_any(struct wire_writer *w, int16_t version, const void *m)')
        c('{')
        c(f'{name}_encode(w, version, m);', 1)
        c('}')
        c()


def emit_table_row(c, api):
    c('{', 1)
    c(f'.key = {api.key}, .name = "{api.name}",', 2)
    c(f'.min_version = {api.low}, .max_version = {api.high},', 2)
    c(f'.advertised_min = {api.advertise}, .flexible_from = {api.flexible},', 2)
    c(f'.where = KAFKA_ON_{api.where.upper()},', 2)
    for kind in ('request', 'response'):
        name = f'{api.prefix}_{kind}'
        c(f'.{kind}_size = sizeof(struct {name}),', 2)
        for verb in ('init', 'decode', 'encode'):
            c(f'.{verb}_{kind} = {name}_{verb}_any,', 2)
    c('},', 1)


def main():
    directory, paths = sys.argv[1], sys.argv[2:]
    apis = sorted((parse(path) for path in paths), key=lambda api: api.key)
    h = Writer(os.path.join(directory, 'kafka_messages.h'))
    c = Writer(os.path.join(directory, 'kafka_messages.c'))
    fill = Writer(os.path.join(directory, 'kafka_fill_messages.c'))
    h('/* Generated by generate.py; do not edit. */')
    h('#pragma once')
    h('#include "dataplane/kafka/kafka.h"')
    h()
    h('enum kafka_api_key {')
    for api in apis:
        h(f'KAFKA_{snake(api.name).upper()} = {api.key},', 1)
    h('};')
    h()
    c('/* Generated by generate.py; do not edit. */')
    c('#include "kafka_messages.h"')
    c()
    fill('/* Generated by generate.py; do not edit. */')
    fill('#include "kafka_messages.h"')
    fill('#include "tests/dataplane/kafka_fill.h"')
    fill()
    for api in apis:
        for kind, root in api.roots.items():
            root.struct = f'{api.prefix}_{kind}'
            structs = name_structs(root, root.struct, []) + [root]
            for struct in structs:
                emit_struct(h, struct)
                emit_init(c, struct)
                emit_decode(c, struct, api)
                emit_encode(c, struct, api)
                emit_fill(fill, struct)
        emit_api_glue(c, fill, api)
    c('const struct kafka_api kafka_apis[] = {')
    for api in apis:
        emit_table_row(c, api)
    c('};')
    c()
    c('const size_t kafka_api_count = sizeof(kafka_apis) / sizeof(kafka_apis[0]);')
    fill('void kafka_fill_message(struct kafka_fill *f, int16_t key, bool response, int16_t version,')
    fill('\tvoid *m)')
    fill('{')
    fill('switch (key) {', 1)
    for api in apis:
        fill(f'case {api.key}:', 1)
        fill('if (response)', 2)
        fill(f'{api.prefix}_response_fill(f, version, m);', 3)
        fill('else', 2)
        fill(f'{api.prefix}_request_fill(f, version, m);', 3)
        fill('break;', 2)
    fill('default:', 1)
    fill('break;', 2)
    fill('}', 1)
    fill('}')
    for writer in (h, c, fill):
        writer.close()


main()
