#!/usr/bin/env python3
"""Tests of the checker on message ids, which a topic knows for a window of time."""
import unittest

import hand_made
from hand_made import acked, end, fetched, producer


def sent(name, number, message_id, timestamp):
    return {"event": "sent", "id": f"{name}:{number}", "topic": "t", "partition": 0,
            "hash": 100 + number, "dedup": message_id, "timestamp": timestamp}


# x again 500 ms later is a duplicate, 2 s later it is not.
RIGHT = {
    "harness": [{"event": "dedup", "topic": "t", "window_ms": 1000}],
    "p": producer(idempotent=False, single=True) + [
        sent("p", 0, "x", 0), acked(0, 0, 0), sent("p", 1, "y", 100), acked(1, 0, 1),
        sent("p", 2, "x", 2000), acked(2, 0, 2)],
    "q": producer("q", idempotent=False, single=True) + [
        sent("q", 0, "x", 500), acked(0, 0, 0, "q")],
    "reader": [{"event": "start", "client": "reader"},
               {"event": "position", "topic": "t", "partition": 0, "offset": 0},
               fetched(0, (0, 0), (1, 1), (2, 2)), end(0, 3)],
}


class Dedup(hand_made.Judged):
    right = RIGHT

    def batches(self):
        """q's requests carry several records, so that the offset it is told is any."""
        self.change("q", self.history["q"][0], {**self.history["q"][0], "single": False})

    def stored_too(self, timestamp):
        """q's record is at the end."""
        self.change("q", sent("q", 0, "x", 500), sent("q", 0, "x", timestamp))
        self.change("q", acked(0, 0, 0, "q"), acked(0, 0, 3, "q"))
        self.change("reader", end(0, 3), fetched(0, (3, 0), name="q"), end(0, 4))

    def test_a_history_in_order_is_right(self):
        self.assert_right()

    def test_id_is_stored_twice_within_its_window(self):
        self.stored_too(2900)
        self.assert_breaks(5)

    def test_id_is_stored_twice_in_a_window_without_end(self):
        self.change("harness", self.history["harness"][0],
                    {"event": "dedup", "topic": "t", "window_ms": None})
        self.assert_breaks(5)

    def test_id_is_stored_again_behind_its_window(self):
        self.stored_too(3001)
        self.assert_right()

    def test_timestamps_before_the_newest_do_not_shrink_the_window(self):
        self.stored_too(0)
        self.assert_breaks(5)

    def uptimes(self, acked_ms):
        """x is sent at 0 and again, which is stored too; its timestamp tells nothing."""
        self.stored_too(0)
        self.change("p", sent("p", 2, "x", 2000), {**sent("p", 2, "x", 2000), "uptime_ms": 10000})
        self.change("p", acked(2, 0, 2), {**acked(2, 0, 2), "uptime_ms": 10100})
        self.change("q", acked(0, 0, 3, "q"), {**acked(0, 0, 3, "q"), "uptime_ms": acked_ms})

    def test_uptimes_tell_that_the_window_had_not_ended(self):
        self.uptimes(11000)
        self.assert_breaks(5)

    def test_uptimes_tell_that_the_window_had_ended(self):
        self.uptimes(11001)
        self.assert_right()

    def test_where_no_window_is_known_nothing_is_judged(self):
        self.stored_too(2900)
        del self.history["harness"]
        self.assert_right()

    def test_duplicate_is_acknowledged_at_the_offset_of_another(self):
        self.change("q", acked(0, 0, 0, "q"), acked(0, 0, 1, "q"))
        self.assert_breaks(3)

    def test_duplicate_is_acknowledged_where_nothing_is(self):
        self.change("q", acked(0, 0, 0, "q"), acked(0, 0, 3, "q"))
        self.change("reader", end(0, 3), end(0, 4))
        self.assert_breaks(1, 5)

    def test_duplicate_among_others_may_be_acknowledged_anywhere(self):
        self.batches()
        self.change("q", acked(0, 0, 0, "q"), acked(0, 0, 7, "q"))
        self.assert_right()

    def test_acknowledged_and_no_record_has_its_id(self):
        self.batches()
        self.change("q", sent("q", 0, "x", 500), sent("q", 0, "z", 500))
        self.assert_breaks(1)

    def gap(self, **settings):
        """One offset behind the records is empty."""
        for log, name in (("p", "p"), ("q", "q")):
            self.change(log, self.history[log][0],
                        producer(name, single=True, **settings)[0])
        self.change("reader", end(0, 3), end(0, 4))

    def test_duplicate_explains_a_gap(self):
        self.gap(idempotent=True)
        self.assert_right()

    def test_more_gaps_than_duplicates(self):
        self.gap(idempotent=True)
        self.change("reader", end(0, 4), end(0, 6))
        self.assert_breaks(3)

    def test_gap_where_no_id_was_sent_twice(self):
        self.gap(idempotent=True)
        del self.history["q"]
        self.change("p", sent("p", 2, "x", 2000), sent("p", 2, "z", 2000))
        self.assert_breaks(3)

    def test_retries_without_idempotence_may_leave_any_gap(self):
        self.gap(idempotent=False)
        self.change("reader", end(0, 4), end(0, 9))
        self.assert_right()

    def test_record_of_a_transaction_passes_the_window_by(self):
        self.stored_too(2900)
        at = self.history["q"].index(sent("q", 0, "x", 2900))
        self.history["q"].insert(at, {"event": "begun"})
        self.history["q"] += [{"event": "ending", "commit": True},
                              {"event": "ended", "result": "committed"}]
        self.assert_right()


if __name__ == "__main__":
    unittest.main()
