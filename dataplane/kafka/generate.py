#!/usr/bin/env python3
"""Makes C structs, decoders, encoders and test fillers of the message descriptions.

    generate.py OUTPUT_DIRECTORY DESCRIPTION.msg ...

The notation is in README.md.  The output is plain C over wire.h: for every struct S
    S_init      sets the defaults
    S_decode    reads one version, in place
    S_encode    writes one version
    S_fill      random content of one version, for tests (kafka_fill_messages.c)
and the tables kafka_apis[] and kafka_records[].
"""
import os
import sys

from descriptions import NEVER, SCALARS, VIEWS, DescriptionError, parse_all, snake


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


def version_test(span, low, high):
    """A C condition, or None when it holds for every version from low to high."""
    tests = []
    if span[0] > low:
        tests.append(f'version >= {span[0]}')
    if span[1] < high:
        tests.append(f'version <= {span[1]}')
    return ' && '.join(tests) or None


class Emitter:
    """Lines of one output file, for the versions of one API at a time."""

    def __init__(self, path):
        self.path, self.lines, self.api = path, [], None

    def __call__(self, text='', depth=0):
        self.lines.append('\t' * depth + text)

    def close(self):
        with open(self.path, 'w', encoding='utf-8') as out:
            out.write('\n'.join(self.lines) + '\n')

    def field_test(self, field):
        low = self.api.low if field.tag is None else max(self.api.low, self.api.flexible)
        return version_test(field.versions, low, self.api.high)

    def null_test(self, field):
        if field.null is None or not any(field.null[0] <= v <= field.null[1]
                                         for v in self.api.served()):
            return 'false'
        return version_test(field.null, self.api.low, self.api.high) or 'true'

    def guarded(self, field, depth, emit):
        test = self.field_test(field)
        if not test:
            emit(depth)
            return
        self(f'if ({test}) {{', depth)
        emit(depth + 1)
        self('}', depth)


def has_compact(api):
    return f'version >= {api.flexible}' if api.flexible != NEVER else 'false'


# ---- fields that are read and written at once ----

def fixed_bytes(field):
    return None if field.array or field.type not in SCALARS else SCALARS[field.type][2]


def runs(c, struct):
    """The fields in order, those of fixed size that the same versions carry together."""
    out = []
    for field in struct.fields:
        if field.tag is not None:
            continue
        last = out[-1] if out else None
        if last and fixed_bytes(field) and fixed_bytes(last[0]) and \
                c.field_test(field) == c.field_test(last[0]):
            last.append(field)
        else:
            out.append([field])
    return out


def has_run(c, struct):
    return any(len(run) > 1 for run in runs(c, struct))


def places(run):
    """(field, 'at + 4') for each."""
    at = 0
    for field in run:
        yield field, f' + {at}' if at else ''
        at += fixed_bytes(field)


# ---- structs and their defaults ----

def emit_struct(h, struct):
    h(f'struct {struct.struct} {{')
    for field in struct.fields:
        star = '*' if field.array else ''
        if field.nullable_struct():
            h(f'bool has_{field.name};', 1)
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
    if field.type == 'f64':
        return str(float(field.default))
    if field.default == '-2147483648':
        return 'INT32_MIN'
    return field.default if abs(int(field.default)) < 2**31 else f'INT64_C({field.default})'


def set_default(field):
    """Statements that make any memory what a version without the field means."""
    target = f'm->{field.name}'
    if field.array:
        yield f'{target} = NULL;'
        yield f'{target}_count = {-1 if field.default == "null" else 0};'
    elif field.is_struct():
        if field.nullable_struct():
            yield f'm->has_{field.name} = false;'
        yield f'{field.struct}_init(&{target});'
    elif field.type in VIEWS:
        value = '.length = -1' if field.default == 'null' else '0'
        yield f'{target} = ({c_type(field)}){{{value}}};'
    else:
        yield f'{target} = {default_of(field)};'


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
            c(f'm->{field.name} = {default_of(field)};', 1)
    c('}')
    c()


# ---- decoding ----

def get(c, field, target, reader):
    if field.is_struct():
        return f'{field.struct}_decode({reader}, version, &{target});'
    if field.type in SCALARS:
        return f'{target} = wire_get_{SCALARS[field.type][1]}({reader});'
    if field.type == 'uuid':
        return f'{target} = wire_get_uuid({reader});'
    nullable = 'false' if field.array else c.null_test(field)
    return f'{target} = wire_get_{field.type}({reader}, compact, {nullable});'


def element_min(c, field):
    return max(1, min(field.smallest_element(c.api, version) for version in c.api.served()
                      if field.versions[0] <= version <= field.versions[1]))


def emit_get(c, field, reader, depth):
    target = f'm->{field.name}'
    if field.nullable_struct():
        c(f'm->has_{field.name} = wire_get_present({reader}, {c.null_test(field)});', depth)
        c(f'if (m->has_{field.name})', depth)
        c(get(c, field, target, reader), depth + 1)
        return
    if not field.array:
        c(get(c, field, target, reader), depth)
        return
    c(f'{target}_count = wire_get_array({reader}, compact, {c.null_test(field)}, '
      f'{element_min(c, field)}, sizeof(*{target}), &elements);', depth)
    c(f'{target} = elements;', depth)
    c(f'for (int32_t i = 0; i < {target}_count && wire_ok({reader}); i++)', depth)
    c(get(c, field, f'{target}[i]', reader), depth + 1)


def emit_get_tagged(c, tagged):
    c('if (!compact)', 1)
    c('return;', 2)
    c('struct wire_tags tags = {0};', 1)
    c('struct wire_reader field;', 1)
    c('uint32_t tag;', 1)
    c('while (wire_next_tag(r, &tags, &tag, &field)) {', 1)
    for field in tagged:
        test = c.field_test(field)
        c(f'if (tag == {field.tag}' + (f' && {test}' if test else '') + ') {', 2)
        emit_get(c, field, '&field', 3)
        c('wire_end_tag(r, &field);', 3)
        c('}', 2)
    c('}', 1)


def emit_get_run(c, run, depth):
    if len(run) == 1:
        emit_get(c, run[0], 'r', depth)
        return
    c(f'at = wire_take(r, {sum(fixed_bytes(field) for field in run)});', depth)
    c('if (!at)', depth)
    c('return;', depth + 1)
    for field, place in places(run):
        c(f'm->{field.name} = wire_{SCALARS[field.type][1]}_at(at{place});', depth)


def emit_decode(c, struct):
    tagged = [f for f in struct.fields if f.tag is not None]
    c(f'static void {struct.struct}_decode(struct wire_reader *r, int16_t version,')
    c(f'\tstruct {struct.struct} *m)')
    c('{')
    c(f'const bool compact = {has_compact(c.api)};', 1)
    if any(f.array for f in struct.fields):
        c('void *elements;', 1)
    if has_run(c, struct):
        c('const uint8_t *at;', 1)
    c()
    c('(void)compact;', 1)
    for field in struct.fields:
        if c.field_test(field) or field.tag is not None or field.nullable_struct():
            for statement in set_default(field):
                c(statement, 1)
    for run in runs(c, struct):
        c.guarded(run[0], 1, lambda depth, run=run: emit_get_run(c, run, depth))
    if tagged:
        emit_get_tagged(c, tagged)
    elif c.api.flexible <= c.api.high:
        c('if (compact)', 1)
        c('wire_skip_tags(r);', 2)
    c('}')
    c()


# ---- encoding ----

def put(c, field, source):
    if field.is_struct():
        return f'{field.struct}_encode(w, version, &{source});'
    if field.type in SCALARS:
        return f'wire_put_{SCALARS[field.type][1]}(w, {source});'
    if field.type == 'uuid':
        return f'wire_put_uuid(w, &{source});'
    nullable = 'false' if field.array else c.null_test(field)
    return f'wire_put_{field.type}(w, &{source}, compact, {nullable});'


def is_error(field):
    return field.name == 'error_code' and field.type == 'i16' and not field.array


def emit_put(c, field, depth):
    source = f'm->{field.name}'
    if field.nullable_struct():
        c(f'if (wire_put_present(w, m->has_{field.name}, {c.null_test(field)}))', depth)
        c(put(c, field, source), depth + 1)
        return
    if not field.array:
        c(put(c, field, source), depth)
        return
    c(f'wire_put_array(w, {source}_count, compact, {c.null_test(field)});', depth)
    c(f'for (int32_t i = 0; i < {source}_count; i++)', depth)
    c(put(c, field, f'{source}[i]'), depth + 1)


def differs_from_default(field, name):
    if field.array:
        return f'{name}_count != ' + ('-1' if field.default == 'null' else '0')
    if field.nullable_struct():
        return name.removesuffix(field.name) + f'has_{field.name}'
    if field.is_struct():
        return ' || '.join(differs_from_default(f, f'{name}.{f.name}') for f in field.fields)
    if field.type == 'uuid':
        return f'!uuid_zero(&{name})'
    if field.type in VIEWS:
        return f'{name}.length != ' + ('-1' if field.default == 'null' else '0')
    return f'{name} != {default_of(field)}'


def emit_put_tagged(c, tagged):
    """A tag's size comes before its bytes: a writer without memory counts them first."""
    c('uint32_t tag_count = 0;', 1)
    for field in tagged:
        test = c.field_test(field)
        differs = differs_from_default(field, f'm->{field.name}')
        condition = f'({differs})' + (f' && {test}' if test else '')
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


def emit_put_run(c, run, depth):
    if len(run) == 1:
        emit_put(c, run[0], depth)
        return
    c(f'to = wire_reserve(w, {sum(fixed_bytes(field) for field in run)});', depth)
    c('if (to) {', depth)
    for field, place in places(run):
        c(f'wire_{SCALARS[field.type][1]}_to(to{place}, m->{field.name});', depth + 1)
    c('}', depth)


def emit_encode(c, struct):
    tagged = [f for f in struct.fields if f.tag is not None]
    c(f'static void {struct.struct}_encode(struct wire_writer *w, int16_t version,')
    c(f'\tconst struct {struct.struct} *m)')
    c('{')
    c(f'const bool compact = {has_compact(c.api)};', 1)
    if has_run(c, struct):
        c('uint8_t *to;', 1)
    c()
    c('(void)compact;', 1)
    c('(void)m;', 1)
    for run in runs(c, struct):
        c.guarded(run[0], 1, lambda depth, run=run: emit_put_run(c, run, depth))
    for field in filter(is_error, struct.fields):
        c.guarded(field, 1, lambda depth: c(f'w->error_codes += m->{field.name} != 0;', depth))
    if tagged:
        c('if (!compact)', 1)
        c('return;', 2)
        emit_put_tagged(c, tagged)
    elif c.api.flexible <= c.api.high:
        c('if (compact)', 1)
        c('wire_put_uvarint(w, 0);', 2)
    c('}')
    c()


# ---- random content, for tests ----

def fill_one(c, field, target):
    if field.is_struct():
        return f'{field.struct}_fill(f, version, &{target});'
    if field.type == 'f64':
        return f'{target} = (double)kafka_fill_number(f);'
    if field.type in SCALARS:
        return f'{target} = ({SCALARS[field.type][0]})kafka_fill_number(f);'
    if field.type == 'uuid':
        return f'{target} = kafka_fill_uuid(f);'
    nullable = 'false' if field.array else c.null_test(field)
    return f'{target} = kafka_fill_{field.type}(f, {nullable});'


def emit_fill_field(c, field, depth):
    target = f'm->{field.name}'
    if field.nullable_struct():
        c(f'm->has_{field.name} = !({c.null_test(field)}) || kafka_fill_chance(f);', depth)
        c(f'if (m->has_{field.name})', depth)
        c(fill_one(c, field, target), depth + 1)
    elif field.array:
        c(f'{target}_count = kafka_fill_count(f, {c.null_test(field)});', depth)
        c(f'{target} = kafka_fill_array(f, {target}_count, sizeof(*{target}));', depth)
        c(f'for (int32_t i = 0; i < {target}_count; i++)', depth)
        c(fill_one(c, field, f'{target}[i]'), depth + 1)
    elif field.tag is not None:
        c('if (kafka_fill_chance(f))', depth)
        c(fill_one(c, field, target), depth + 1)
    else:
        c(fill_one(c, field, target), depth)


def emit_fill(c, struct):
    c(f'static void {struct.struct}_fill(struct kafka_fill *f, int16_t version,')
    c(f'\tstruct {struct.struct} *m)')
    c('{')
    c('(void)version;', 1)
    c('(void)f;', 1)
    c(f'{struct.struct}_init(m);', 1)
    for field in struct.fields:
        first = field.versions[0] if field.tag is None else max(field.versions[0], c.api.flexible)
        test = version_test((first, field.versions[1]), c.api.low, c.api.high)
        if test:
            c(f'if ({test}) {{', 1)
        emit_fill_field(c, field, 2 if test else 1)
        if test:
            c('}', 1)
    c('}')
    c()


# ---- the table ----

def emit_glue(c, described):
    # All that reads or writes a hot message in one function: a fifth fewer instructions.
    flat = '__attribute__((flatten)) ' if described.hot == 'yes' else ''
    for kind in described.roots:
        name = f'{described.prefix}_{kind}'
        c(f'static void {name}_init_any(void *m)')
        c('{')
        c(f'{name}_init(m);', 1)
        c('}')
        c(f'{flat}static void {name}_decode_any(struct wire_reader *r, int16_t version, void *m)')
        c('{')
        c(f'{name}_decode(r, version, m);', 1)
        c('}')
        c(f'{flat}static void {name}_encode_any(struct wire_writer *w, int16_t version,')
        c('\tconst void *m)')
        c('{')
        c(f'{name}_encode(w, version, m);', 1)
        c('}')
        c()


def emit_table_row(c, api):
    c('{', 1)
    c(f'.key = {api.key}, .index = {api.index}, .name = "{api.name}",', 2)
    c(f'.min_version = {api.low}, .max_version = {api.high},', 2)
    c(f'.advertised_min = {api.advertise}, .flexible_from = {api.flexible},', 2)
    c(f'.where = KAFKA_ON_{api.where.upper()},', 2)
    emit_functions(c, api)
    c('},', 1)


def emit_functions(c, described):
    for kind in described.roots:
        name = f'{described.prefix}_{kind}'
        c(f'.{kind}_size = sizeof(struct {name}),', 2)
        for verb in ('init', 'decode', 'encode'):
            c(f'.{verb}_{kind} = {name}_{verb}_any,', 2)


def emit_record_row(c, record):
    c('{', 1)
    c(f'.type = {record.key}, .name = "{record.name}",', 2)
    c(f'.min_version = {record.value.low}, .max_version = {record.value.high},', 2)
    c(f'.write_version = {record.write},', 2)
    emit_functions(c, record)
    c('},', 1)


def emit_table(c, name, rows, emit_row):
    c(f'const struct {name} {name}s[] = {{')
    for row in rows:
        emit_row(c, row)
    c('};')
    c()
    c(f'const size_t {name}_count = sizeof({name}s) / sizeof({name}s[0]);')
    c()


def emit_fill_switch(fill, apis):
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


def emit_fill_records(fill, records):
    """The same for keys and values."""
    fill('void kafka_fill_record(struct kafka_fill *f, int16_t type, bool value, int16_t version,')
    fill('\tvoid *m)')
    fill('{')
    fill('switch (type) {', 1)
    for record in records:
        fill(f'case {record.key}:', 1)
        fill('if (value)', 2)
        fill(f'{record.prefix}_value_fill(f, version, m);', 3)
        fill('else', 2)
        fill(f'{record.prefix}_key_fill(f, 0, m);', 3)
        fill('break;', 2)
    fill('default:', 1)
    fill('break;', 2)
    fill('}', 1)
    fill('}')


def emit_enum(h, name, prefix, rows):
    h(f'enum {name} {{')
    for row in rows:
        h(f'{prefix}_{snake(row.name).upper()} = {row.key},', 1)
    h('};')
    h()


def emit_heads(h, c, fill, apis, records):
    for out in (h, c, fill):
        out('/* Generated by generate.py; do not edit. */')
    h('#pragma once')
    h('#include "dataplane/kafka/kafka.h"')
    h()
    emit_enum(h, 'kafka_api_key', 'KAFKA', apis)
    h(f'enum {{ KAFKA_API_COUNT = {len(apis)} }};')
    h()
    emit_enum(h, 'kafka_record_type', 'RECORD', records)
    c('#include "kafka_messages.h"')
    c()
    fill('#include "kafka_messages.h"')
    fill('#include "tests/dataplane/kafka_fill.h"')
    fill()


def emit_described(h, c, fill, described):
    for kind, root in described.roots.items():
        h.api = c.api = fill.api = described.versions_of(kind)
        root.struct = f'{described.prefix}_{kind}'
        for struct in name_structs(root, root.struct, []) + [root]:
            emit_struct(h, struct)
            emit_init(c, struct)
            emit_decode(c, struct)
            emit_encode(c, struct)
            emit_fill(fill, struct)
    emit_glue(c, described)


def main():
    directory, paths = sys.argv[1], sys.argv[2:]
    try:
        apis, records = parse_all(paths)
    except DescriptionError as error:
        sys.exit(str(error))
    outputs = ('kafka_messages.h', 'kafka_messages.c', 'kafka_fill_messages.c')
    h, c, fill = (Emitter(os.path.join(directory, name)) for name in outputs)
    emit_heads(h, c, fill, apis, records)
    for index, api in enumerate(apis):
        api.index = index
    for described in apis + records:
        emit_described(h, c, fill, described)
    emit_table(c, 'kafka_api', apis, emit_table_row)
    emit_table(c, 'kafka_record', records, emit_record_row)
    emit_fill_switch(fill, apis)
    emit_fill_records(fill, records)
    for out in (h, c, fill):
        out.close()


if __name__ == '__main__':
    main()
