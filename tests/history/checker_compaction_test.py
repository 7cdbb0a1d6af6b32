#!/usr/bin/env python3
"""Tests of the checker: compacted topics, of whose records the keys are told."""
import unittest

import hand_made
from hand_made import acked, end, fetched, producer

KEYS = ["a", "b", "a", "c", "b", "a"]


def keyed(numbers, tombstones=()):
    """A producer of one partition, whose record N has KEYS[N] and is at offset N."""
    events = producer(records=[(number, 0) for number in numbers])
    for event in events[1:]:
        number = int(event["id"].split(":")[1])
        event["key"] = KEYS[number]
        if number in tombstones:
            event["tombstone"] = True
    return events + [acked(number, 0, number) for number in numbers]


def reads(*numbers, name="reader", upto=6, final=True):
    given = [fetched(0, *((number, number) for number in numbers))] if numbers else []
    return [{"event": "start", "client": name},
            {"event": "position", "topic": "t", "partition": 0, "offset": 0},
            *given, end(0, upto, final)]


COMPACTED = [{"event": "gaps", "topic": "t", "partition": 0, "why": "compaction"}]
RIGHT = {"p": keyed(range(6)), "reader": reads(3, 4, 5), "harness": COMPACTED}


class Compaction(hand_made.Judged):
    right = RIGHT

    def test_the_last_of_each_key_is_enough(self):
        self.assert_right()

    def test_more_than_the_last_is_right_too(self):
        self.only(p=keyed(range(6)), reader=reads(1, 2, 3, 4, 5), harness=COMPACTED)
        self.assert_right()

    def test_the_last_of_a_key_is_gone(self):
        self.only(p=keyed(range(6)), reader=reads(3, 5), harness=COMPACTED)
        self.assert_breaks(1)

    def test_an_old_one_was_kept_in_place_of_the_last(self):
        self.only(p=keyed(range(6)), reader=reads(2, 3, 4), harness=COMPACTED)
        self.assert_breaks(1)

    def test_a_reader_before_it_was_compacted_is_no_proof_against_it(self):
        self.only(p=keyed(range(6)), early=reads(0, 1, 2, name="early", upto=3, final=False),
                  reader=reads(3, 4, 5), harness=COMPACTED)
        self.assert_right()

    def test_a_record_was_gone_before_there_was_a_later_one_of_its_key(self):
        self.only(p=keyed(range(3)), early=reads(1, name="early", upto=2, final=False),
                  reader=reads(0, 1, 2, upto=3), harness=COMPACTED)
        self.assert_breaks(1)

    def test_a_record_without_an_answer_may_have_been_the_last(self):
        sent = keyed(range(6))
        sent.remove(acked(5, 0, 5))
        self.only(p=sent, reader=reads(3, 4), harness=COMPACTED)
        self.assert_right()

    def test_a_tombstone_goes_with_what_it_hides(self):
        self.only(p=keyed(range(6), tombstones=[5]), reader=reads(3, 4), harness=COMPACTED)
        self.assert_right()

    def test_a_tombstone_is_gone_and_what_it_hides_is_not(self):
        self.only(p=keyed(range(6), tombstones=[5]), reader=reads(2, 3, 4), harness=COMPACTED)
        self.assert_breaks(2)

    def test_a_tombstone_is_not_the_last_of_its_key(self):
        self.only(p=keyed(range(6), tombstones=[2]), reader=reads(3, 4), harness=COMPACTED)
        self.assert_breaks(1)

    def test_nothing_is_said_of_records_whose_key_is_not_told(self):
        sent = keyed(range(6))
        for event in sent:
            event.pop("key", None)
        self.only(p=sent, reader=reads(3), harness=COMPACTED)
        self.assert_right()


if __name__ == "__main__":
    unittest.main()
