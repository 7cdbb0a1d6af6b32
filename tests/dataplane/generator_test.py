#!/usr/bin/env python3
"""What generate.py makes of notation/*.msg is what notation/ holds, and bad descriptions are refused.

    generator_test.py [--update]

A change of the generator shows in review as a change of notation/*.golden; --update writes it there.
"""
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
GENERATE = HERE.parents[1] / 'dataplane/kafka/generate.py'
OUTPUTS = ('kafka_messages.h', 'kafka_messages.c', 'kafka_fill_messages.c')
HEAD = 'api Bad key=1 serve=1-3 flexible=2 on=shard\n'
RESPONSE = 'response\n  code i16\n'
REFUSED = {  # description: what the message must say
    HEAD + 'request\n  a i23\n' + RESPONSE: 'x.msg:3: a: i23 is no type',
    HEAD + 'request\n  a i32\n    b i32\n' + RESPONSE: 'x.msg:3: a: i32 has no fields',
    HEAD + 'request\n  a i32 null=0+\n' + RESPONSE: 'i32 has no null',
    HEAD + 'request\n  a i32 default=null\n' + RESPONSE: 'i32 has no null',
    HEAD + 'request\n  a i32 4+\n' + RESPONSE: 'in no version that is served',
    HEAD + 'request\n  a row 1\n    b i32 2+\n' + RESPONSE: 'x.msg:4: b: in no version',
    HEAD + 'request\n  a i32\n  a i16\n' + RESPONSE: 'x.msg:4: a: name or tag is taken',
    HEAD + 'request\n  a i32 2+ tag=0\n  b i16 2+ tag=0\n' + RESPONSE: 'name or tag is taken',
    HEAD + 'request\n  a i32 tag=0\n' + RESPONSE: 'a tag needs a flexible version',
    HEAD + 'request\n  a row 2+ tag=0 null=2+\n    b i32\n' + RESPONSE: 'null where it is left out',
    HEAD + 'request\n  a row\n    b i32\n  c row\n    b i32\n' + RESPONSE: 'two structs row',
    HEAD + 'request\n  a bool default=1\n' + RESPONSE: 'default 1 does not suit',
    HEAD + 'request\n  a string default=x\n' + RESPONSE: 'default x does not suit',
    HEAD + 'request\n  a i32 colour=red\n' + RESPONSE: 'x.msg:3: unknown attribute colour=red',
    HEAD + 'request\n  a i32 3-\n' + RESPONSE: 'not a range of versions: 3-',
    HEAD + 'request\n  a\n' + RESPONSE: 'x.msg:3: ',
    HEAD + 'query\n  a i32\n': 'x.msg:2: no part of a description: query',
    HEAD + 'request\n  a i32\n': 'needs api, request and response',
    'request\n  a i32\n': 'x.msg:1: ',
    'api Bad key=1 serve=1+ on=shard\nrequest\n': 'serve= has two ends',
    'api Bad key=1 serve=1-3 on=moon\nrequest\n': 'on= is one of shard, control, coordinator',
    'api Bad key=1 serve=1-3 on=shard hot=very\nrequest\n': 'hot= is yes or no',
    'api Bad key=1 serve=1-3\nrequest\n': "missing ['on']",
    'record Bad type=1 value=0-1 write=2\nkey\n': 'write= is one of the versions of value=',
    'record Bad type=1 value=0-1\nkey\n': "missing ['write']",
    'record Bad type=1 value=0-1 write=1 on=shard\nkey\n': "unknown ['on']",
    'record Bad type=1 value=0-1 write=1\nkey\n  a i32 1+\nvalue\n  b i32\n': 'in no version',
    'record Bad type=1 value=0-1 write=1\nkey\n  a i32\n': 'or record, key and value',
    'record Bad type=1 value=0-1 write=1\nrequest\n': 'no part of a description: request',
}


def generate(directory, *paths):
    return subprocess.run([sys.executable, GENERATE, directory, *paths], text=True,
                          capture_output=True, check=False)


def check_golden(directory, update):
    made = generate(directory, *(str(HERE / 'notation' / name)
                                 for name in ('notation.msg', 'record.msg')))
    assert made.returncode == 0, made.stderr
    for name in OUTPUTS:
        text = (Path(directory) / name).read_text(encoding='utf-8')
        golden = HERE / 'notation' / (name + '.golden')
        if update:
            golden.write_text(text, encoding='utf-8')
        assert golden.read_text(encoding='utf-8') == text, \
            f'{golden.name} differs: look at it with generator_test.py --update and git diff'


def check_refused(directory):
    for description, expected in REFUSED.items():
        (Path(directory) / 'x.msg').write_text(description, encoding='utf-8')
        made = generate(directory, str(Path(directory) / 'x.msg'))
        assert made.returncode == 1 and expected in made.stderr, \
            f'{description}expected "{expected}", got {made.returncode} "{made.stderr}"'
        assert 'Traceback' not in made.stderr, made.stderr


def check_one_key_once(directory):
    good = HEAD + 'request\n  a i32\n' + RESPONSE
    paths = [Path(directory) / name for name in ('x.msg', 'y.msg')]
    for path in paths:
        path.write_text(good, encoding='utf-8')
    made = generate(directory, *map(str, paths))
    assert made.returncode == 1 and 'Bad and Bad have one key' in made.stderr, made.stderr


def main():
    with tempfile.TemporaryDirectory() as directory:
        check_golden(directory, '--update' in sys.argv)
        check_refused(directory)
        check_one_key_once(directory)
    print(f'{len(OUTPUTS)} golden files, {len(REFUSED) + 1} refusals')


if __name__ == '__main__':
    main()
