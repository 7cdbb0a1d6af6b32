"""`sluice consume` and `produce` where records go from one to the other, and where a group reads."""
import json

import harness

VALUES = [b"text", b"", b"\xff\xfe", "\u00fc".encode(), b"a\x00b"]


def offsets(sluice, topic, *words):
    return [tuple(map(int, line.split("/"))) for line in
            sluice.lines("consume", topic, "-f", "%p/%o\\n", *words)]


def fill(sluice, topic, partitions=3, count=4):
    """`count` records in each partition, with the times 1700000000000, ...001 and so on."""
    sluice.run("topic", "create", topic, "-P", partitions, "-c", "retention.ms=-1")
    lines = [json.dumps({"value": f"{p}.{i}", "partition": p, "timestamp": 1700000000000 + i})
             for p in range(partitions) for i in range(count)]
    sluice.run("produce", topic, "-i", "jsonl", data="\n".join(lines).encode())


def test_a_topic_is_copied_record_by_record(sluice, topic):
    sluice.run("topic", "create", topic + "-a", topic + "-b", "-P", 3)
    for partition, value in enumerate(VALUES):
        sluice.run("produce", topic + "-a", "-p", partition % 3, "-H", "n=v", "-k", f"k{partition}",
                   data=value + b"\n")
    sluice.run("produce", topic + "-a", "-Z", data=b"\n")
    before = sluice.lines("consume", topic + "-a", "-e", "-o", "jsonl")
    sluice.run("produce", topic + "-b", "-i", "jsonl", data="\n".join(before).encode())
    after = sluice.lines("consume", topic + "-b", "-e", "-o", "jsonl")
    assert len(before) == len(VALUES) + 1
    assert sorted(line.replace(topic + "-a", topic + "-b") for line in before) == sorted(after)


def test_what_a_line_leaves_out_is_as_the_command_says(sluice, topic):
    lines = b'{"value":"a"}\n\n{"value":"b","key":null,"headers":[]}\n{"value":"c","partition":0}\n'
    told = json.loads(sluice.run("produce", topic, "-i", "jsonl", "-k", "K", "-H", "h=1", "-p", 2,
                                 "-o", "json", data=lines))
    assert told == {"delivered": 3, "failed": 0}
    assert sluice.lines("consume", topic, "-e", "-p", 2, "-f", "%s %k %h\\n") == [
        "a K h=1", "b  ", "c K h=1"]


def test_a_line_that_is_no_record_is_told_with_its_number(sluice, topic, tmp_path):
    path = tmp_path / "records"
    path.write_bytes(b'{"value":"good"}\n{"vlaue":"bad"}\n{"value":"never"}\n')
    sluice.run("produce", topic, path, "-i", "jsonl", code=1)
    assert f'{path}, line 2: a record has no "vlaue"' in sluice.errors
    assert sluice.lines("consume", topic, "-e") == ["good"]
    sluice.run("produce", topic, "-i", "csv", data=b"", code=2)
    sluice.run("produce", topic, "-i", "jsonl", "-Z", data=b"", code=2)


def test_reading_ends_before_an_offset_or_a_time(sluice, topic):
    fill(sluice, topic)
    assert sorted(offsets(sluice, topic, "-u", 1)) == [(0, 0), (1, 0), (2, 0)]
    assert sorted(offsets(sluice, topic, "-u", "@1700000000002", "-p", "0,2")) == [
        (0, 0), (0, 1), (2, 0), (2, 1)]
    assert len(offsets(sluice, topic, "-u", "end")) == 12
    assert offsets(sluice, topic, "-s", "@1700000000003", "-u", "end", "-p", 1) == [(1, 3)]
    # The end comes first where --exit says so.
    assert len(offsets(sluice, topic, "-u", 100, "-e")) == 12
    assert offsets(sluice, topic, "-s", "end", "-e") == []


def test_a_group_goes_on_where_it_was(sluice, topic):
    fill(sluice, topic)
    group = f"of-{topic}"
    first = offsets(sluice, topic, "-g", group, "-e", "-n", 5)
    rest = offsets(sluice, topic, "-g", group, "-e")
    assert len(first) == 5 and len(rest) == 7 and not set(first) & set(rest)
    assert offsets(sluice, topic, "-g", group, "-e") == []
    (lag,) = json.loads(sluice.run("group", "lag", group, "-o", "json"))
    assert lag["total_lag"] == 0 and len(lag["partitions"]) == 3
    sluice.run("group", "seek", group, "--to", "-1", "-p", 2)
    assert offsets(sluice, topic, "-g", group, "-e") == [(2, 3)]


def test_what_was_printed_before_an_interruption_is_committed(sluice, topic):
    fill(sluice, topic, partitions=1)
    group = f"of-{topic}"
    with sluice.start("consume", topic, "-g", group) as consumer:
        for expected in (b"0.0\n", b"0.1\n", b"0.2\n", b"0.3\n"):
            assert consumer.stdout.readline() == expected
        consumer.terminate()
        assert consumer.wait(60) == 130
    assert offsets(sluice, topic, "-g", group, "-e") == []


def test_who_follows_sees_new_records_and_new_partitions(sluice, topic):
    fill(sluice, topic, partitions=1)
    with sluice.start("consume", topic, "-F", "-f", "%p %s\\n") as consumer:
        def seen():
            sluice.run("produce", topic, "-p", 0, data=b"new\n")
            return select_line(consumer)
        assert harness.eventually("a record after the end", seen, every=0.1) == b"0 new\n"
        sluice.run("topic", "alter", topic, "-P", 2)
        sluice.run("produce", topic, "-p", 1, data=b"there\n")
        while (line := consumer.stdout.readline()) == b"0 new\n":
            pass
        assert line == b"1 there\n"
        consumer.terminate()
        assert consumer.wait(60) == 130
    sluice.run("consume", topic, "-F", "-e", code=2)


def select_line(process):
    import select
    ready, _, _ = select.select([process.stdout], [], [], 0.2)
    return process.stdout.readline() if ready else None


def test_formats_of_kcat_and_a_time_for_people(sluice, topic):
    sluice.run("topic", "create", topic, "-P", 1)
    sluice.run("produce", topic, "-i", "jsonl",
               data=b'{"value":"abc","timestamp":1700000000123}\n{"value":null,"timestamp":0}\n')
    told = sluice.run("consume", topic, "-e", "-n", 1, "-f", "%R|%d|%S")
    assert told == b"\x00\x00\x00\x03|2023-11-14T22:13:20.123Z|3"
    assert sluice.run("consume", topic, "-e", "-s", 1, "-f", "%R%S") == b"\xff\xff\xff\xff-1"
