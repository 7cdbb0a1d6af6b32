#!/usr/bin/env python3
"""Tests of the checker: records that are lost to damage, of which the broker says so."""
import unittest

import hand_made
from checker_compaction_test import COMPACTED, keyed
from hand_made import acked, end, fetched, producer

PLACE = {"topic": "t", "partition": 0}


def sent():
    return producer(records=[(number, 0) for number in range(6)]) + [
        acked(number, 0, number) for number in range(6)]


def damaged(first, after):
    return {"event": "damaged", **PLACE, "from": first, "to": after}


def quarantined(first, after):
    return {"event": "quarantined", **PLACE, "from": first, "to": after}


def lost(offset, to):
    return {"event": "lost", **PLACE, "offset": offset, "to": to}


def given(*numbers):
    return fetched(0, *((number, number) for number in numbers))


def reads(*events):
    return [{"event": "start", "client": "reader"}, {"event": "position", **PLACE, "offset": 0},
            *events, end(0, 6)]


class Quarantine(hand_made.Judged):
    right = {"p": sent(), "harness": [damaged(2, 4), quarantined(2, 4)],
             "reader": reads(given(0, 1), lost(2, 4), given(4, 5))}

    def test_who_is_told_may_pass_over_what_is_lost(self):
        self.assert_right()

    def test_nobody_need_have_found_the_damage(self):
        self.only(p=sent(), harness=[damaged(2, 4)], reader=reads(given(0, 1, 2, 3, 4, 5)))
        self.assert_right()

    def test_what_is_lost_at_the_end_may_be_passed_over_too(self):
        self.only(p=sent(), harness=[damaged(4, 6), quarantined(4, 6)],
                  reader=reads(given(0, 1, 2, 3), lost(4, 6)))
        self.assert_right()

    def test_ranges_that_meet_are_one(self):
        self.only(p=sent(), harness=[damaged(1, 3), damaged(3, 5), quarantined(2, 4)],
                  reader=reads(given(0, 1), lost(2, 4), given(4, 5)))
        self.assert_right()

    def test_a_quarantine_is_passed_over_in_silence(self):
        self.change("reader", lost(2, 4))
        self.assert_breaks(1)

    def test_more_is_passed_over_than_the_reader_was_told(self):
        self.change("reader", given(4, 5), given(5))
        self.assert_breaks(1)

    def test_records_before_it_are_passed_over(self):
        self.change("reader", given(0, 1), given(0))
        self.assert_breaks(1)

    def test_more_is_quarantined_than_was_damaged(self):
        self.change("harness", damaged(2, 4), damaged(2, 3))
        self.assert_breaks(1)

    def test_what_was_never_damaged_is_quarantined(self):
        self.change("harness", damaged(2, 4))
        self.assert_breaks(1)

    def test_a_reader_is_refused_what_is_not_quarantined(self):
        self.change("harness", quarantined(2, 4), quarantined(2, 3))
        self.assert_breaks(1)

    def test_damaged_bytes_are_given_to_a_reader(self):
        wrong = given(2, 3)
        wrong["records"][0][2] += 1
        self.change("reader", lost(2, 4), wrong)
        self.assert_breaks(2)


class CompactedQuarantine(hand_made.Judged):
    """Records 0, 2 and 5 have one key, 1 and 4 another, 3 a third."""
    right = {"p": keyed(range(6)), "harness": [*COMPACTED, damaged(4, 5), quarantined(4, 5)],
             "reader": reads(given(3), lost(4, 5), given(5))}

    def test_the_last_of_a_key_may_be_lost(self):
        self.assert_right()

    def test_the_last_of_a_key_is_passed_over_in_silence(self):
        self.change("reader", lost(4, 5))
        self.assert_breaks(1)

    def test_another_key_is_gone_too(self):
        self.change("reader", given(3))
        self.assert_breaks(1)

    def test_a_tombstone_may_be_lost_and_what_it_hides_be_there(self):
        self.only(p=keyed(range(6), tombstones=[5]),
                  harness=[*COMPACTED, damaged(5, 6), quarantined(5, 6)],
                  reader=reads(given(2, 3, 4), lost(5, 6)))
        self.assert_right()

    def test_a_tombstone_is_lost_in_silence_and_what_it_hides_is_there(self):
        self.only(p=keyed(range(6), tombstones=[5]),
                  harness=[*COMPACTED, damaged(5, 6), quarantined(5, 6)],
                  reader=reads(given(2, 3, 4)))
        self.assert_breaks(2)


if __name__ == "__main__":
    unittest.main()
