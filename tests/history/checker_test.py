#!/usr/bin/env python3
"""Tests of the checker: for each rule histories that keep it and such that break it.

A history is written by hand: a dictionary of logs, each a list of events.  RIGHT keeps every rule;
most of the wrong ones are RIGHT with one event changed.
"""
import subprocess
import sys
import unittest

import checker
import hand_made
from hand_made import acked, committed, end, fetched, member, owns, producer, seen

# Two partitions of three and two records; a is alone, then shares with b, then b goes on alone.
RIGHT = {
    "p": producer(records=[(0, 0), (1, 1), (2, 0), (3, 1), (4, 0)]) + [
        acked(0, 0, 0), acked(1, 1, 0), acked(2, 0, 1), acked(3, 1, 1), acked(4, 0, 2)],
    "a": [member("a"), owns("a", 1, 0, 1), seen(0, -1), seen(1, -1),
          fetched(0, (0, 0)), fetched(1, (0, 1)), committed(0, 1), committed(1, 1),
          owns("a", 1), owns("a", 2, 0), seen(0, 1), fetched(0, (1, 2)), committed(0, 2),
          owns("a", 2), {"event": "stop"}],
    "b": [member("b"), owns("b", 2, 1), seen(1, 1), fetched(1, (1, 3)), committed(1, 2),
          owns("b", 2), owns("b", 3, 0, 1), seen(0, 2), seen(1, 2), fetched(0, (2, 4)),
          committed(0, 3)],
    "reader": [{"event": "start", "client": "reader"},
               {"event": "position", "topic": "t", "partition": 0, "offset": 0},
               fetched(0, (0, 0), (1, 2)), fetched(0, (2, 4)), end(0, 3),
               {"event": "position", "topic": "t", "partition": 1, "offset": 0},
               fetched(1, (0, 1), (1, 3)), end(1, 2), seen(0, 3, final=True),
               seen(1, 2, final=True)],
}


class Judged(hand_made.Judged):
    right = RIGHT


class Lost(Judged):
    def test_a_history_in_order_is_right(self):
        self.assert_right()

    def test_record_passed_over_by_its_reader(self):
        for log in ("a", "reader"):
            for event in self.history[log]:
                if event["event"] == "fetched" and event["partition"] == 0:
                    event["records"] = [each for each in event["records"] if each[0] != 1]
        # Neither was it given to the group, which has committed it.
        self.assert_breaks(1, 9)

    def test_record_behind_the_end(self):
        self.change("reader", fetched(0, (2, 4)))
        self.change("reader", end(0, 3), end(0, 2))
        self.assert_breaks(1)

    def test_record_before_the_end_that_was_not_given(self):
        self.change("reader", fetched(0, (2, 4)))
        self.assert_breaks(1)

    def test_record_that_was_deleted_is_not_lost(self):
        reader = self.history["reader"]
        self.change("reader", reader[1], {**reader[1], "offset": 0})
        self.change("reader", fetched(0, (0, 0), (1, 2)), fetched(0, (1, 2)))
        self.history["harness"] = [
            {"event": "deleted", "topic": "t", "partition": 0, "before": 1}]
        self.assert_right()

    def test_acks_of_1_promise_less(self):
        self.only(p=producer(records=[(0, 0)], acks="1") + [acked(0, 0, 0)],
                  reader=[{"event": "start", "client": "reader"}, end(0, 0)])
        self.assert_right()


class Changed(Judged):
    def test_two_readers_were_given_different_bytes(self):
        self.change("a", fetched(0, (0, 0)), {"event": "fetched", "topic": "t", "partition": 0,
                                              "records": [[0, "p:0", 7]]})
        self.assert_breaks(2)

    def test_record_that_nobody_sent(self):
        for log in ("b", "reader"):
            self.change(log, fetched(0, (2, 4)), fetched(0, (2, 4), (3, 77)))
        self.change("b", committed(0, 3), committed(0, 4))
        self.change("reader", end(0, 3), end(0, 4))
        self.change("reader", seen(0, 3, final=True), seen(0, 4, final=True))
        self.assert_breaks(2)

    def test_record_whose_id_is_no_id(self):
        self.only(p=producer(records=[(0, 0)]),
                  reader=[{"event": "start", "client": "reader"},
                          {"event": "fetched", "topic": "t", "partition": 0,
                           "records": [[0, "rubbish", 1]]}])
        self.assert_breaks(2)

    def test_acknowledged_offset_holds_another_record(self):
        self.change("p", acked(2, 0, 1), acked(2, 0, 2))
        self.change("p", acked(4, 0, 2), acked(4, 0, 1))
        self.assert_breaks(2)

    def test_record_in_another_partition(self):
        self.only(p=producer(records=[(0, 0)]),
                  reader=[{"event": "start", "client": "reader"}, fetched(1, (0, 0))])
        self.assert_breaks(2)

    def of_its_own_choice(self, topic):
        """The client chooses the partition, and is told which it was."""
        sent = {"event": "sent", "id": "p:0", "topic": topic, "partition": None, "hash": 100}
        self.only(p=producer() + [sent, acked(0, 1, 0)],
                  reader=[{"event": "start", "client": "reader"}, fetched(1, (0, 0))])

    def test_record_whose_partition_the_client_chooses(self):
        self.of_its_own_choice("t")
        self.assert_right()

    def test_record_in_another_topic(self):
        self.of_its_own_choice("other")
        self.assert_breaks(2)

    def test_record_that_failed_may_be_stored(self):
        self.change("p", acked(4, 0, 2), {"event": "failed", "id": "p:4", "definite": False})
        self.assert_right()


class Offsets(Judged):
    def test_a_reader_goes_back(self):
        self.change("reader", fetched(0, (2, 4)), fetched(0, (1, 2), (2, 4)))
        self.assert_breaks(3)

    def test_two_records_at_one_offset(self):
        self.only(p=producer(records=[(0, 0), (1, 0)]) + [acked(0, 0, 0), acked(1, 0, 0)])
        self.assert_breaks(3)

    def test_gap_without_a_reason(self):
        self.gap()
        self.assert_breaks(3)

    def test_gap_of_a_marker(self):
        self.gap()
        self.history["harness"] = [
            {"event": "gaps", "topic": "t", "partition": 0, "why": "transactions"}]
        self.assert_right()

    def gap(self):
        self.only(p=producer(records=[(0, 0), (1, 0)]),
                  reader=[{"event": "start", "client": "reader"}, fetched(0, (0, 0), (2, 1))])

    def test_another_position_begins_anew(self):
        self.history["reader"] += [
            {"event": "position", "topic": "t", "partition": 0, "offset": 1}, fetched(0, (1, 2))]
        self.assert_right()


class Order(Judged):
    def swapped(self, **settings):
        self.only(p=producer(records=[(0, 0), (1, 0), (2, 0)], **settings),
                  reader=[{"event": "start", "client": "reader"},
                          fetched(0, (0, 1), (1, 0), (2, 2))])

    def test_idempotent_producer_out_of_order(self):
        self.swapped()
        self.assert_breaks(4)

    def test_one_request_in_flight_out_of_order(self):
        self.swapped(idempotent=False, in_flight=1)
        self.assert_breaks(4)

    def test_order_across_two_logs_of_one_partition(self):
        self.only(p=producer(records=[(0, 0), (1, 0)]),
                  a=[{"event": "start", "client": "a"}, fetched(0, (0, 1))],
                  b=[{"event": "start", "client": "b"}, fetched(0, (1, 0))])
        self.assert_breaks(4)

    def test_several_requests_in_flight_promise_no_order(self):
        self.swapped(idempotent=False, in_flight=5)
        self.assert_right()

    def test_a_retry_with_one_in_flight_may_double(self):
        self.only(p=producer(records=[(0, 0), (1, 0)], idempotent=False, in_flight=1),
                  reader=[{"event": "start", "client": "reader"},
                          fetched(0, (0, 0), (1, 0), (2, 1))])
        self.assert_right()


class Twice(Judged):
    def doubled(self, **settings):
        self.only(p=producer(records=[(0, 0)], **settings),
                  reader=[{"event": "start", "client": "reader"}, fetched(0, (0, 0), (1, 0))])

    def test_idempotent_record_stored_twice(self):
        self.doubled()
        self.assert_breaks(5)

    def test_plain_record_stored_twice(self):
        self.doubled(idempotent=False)
        self.assert_right()

    def test_record_acknowledged_at_two_offsets(self):
        self.history["p"].append(acked(4, 0, 3))
        self.change("reader", end(0, 3), end(0, 3, final=False))
        self.assert_breaks(5)

    def test_record_given_again_after_its_commit(self):
        self.change("b", fetched(0, (2, 4)), fetched(0, (1, 2), (2, 4)))
        self.assert_breaks(5)

    def test_record_given_again_to_the_member_that_committed_it(self):
        self.change("a", fetched(0, (1, 2)), fetched(0, (0, 0), (1, 2)))
        self.assert_breaks(5)

    def test_record_given_again_after_a_static_member_has_come_back(self):
        self.only(
            p=producer(records=[(0, 0)]),
            a=[member("a"), owns("id-1", 1, 0, instance="i"), fetched(0, (0, 0)),
               committed(0, 1)],
            a2=[member("a2", after=["a"]), owns("id-2", 1, 0, instance="i"),
                fetched(0, (0, 0))])
        self.assert_breaks(5)

    def test_record_given_again_where_the_commit_is_unknown(self):
        self.change("a", committed(0, 2), committed(0, 2, result="unknown"))
        self.change("b", seen(0, 2), seen(0, 1))
        self.change("b", fetched(0, (2, 4)), fetched(0, (1, 2), (2, 4)))
        self.assert_right()

    def test_record_given_again_after_a_reset(self):
        self.change("b", seen(0, 2), seen(0, 0))
        self.change("b", fetched(0, (2, 4)), fetched(0, (0, 0), (1, 2), (2, 4)))
        self.history["harness"] = [
            {"event": "reset", "group": "g", "topic": "t", "partition": 0, "offset": 0}]
        self.assert_right()


class Ownership(Judged):
    def test_two_owners_in_one_generation(self):
        self.change("b", owns("b", 2, 1), owns("b", 2, 0, 1))
        self.assert_breaks(8)

    def test_commit_of_a_fenced_member(self):
        self.history["a"][-1:] = [{"event": "fenced", "error": "ILLEGAL_GENERATION"},
                                  committed(0, 2)]
        self.assert_breaks(8)

    def test_commit_in_another_generation_than_the_fenced_one(self):
        self.history["a"][-1:] = [{"event": "fenced", "generation": 1}, committed(0, 2)]
        self.assert_right()

    def test_generation_goes_back(self):
        self.history["b"][-1:] = [committed(0, 3), owns("b", 1)]
        self.assert_breaks(8)

    def test_static_member_takes_over_its_own_partitions(self):
        self.history["a2"] = [member("a2"), owns("id-2", 4, 0, instance="i")]
        self.history["a3"] = [member("a3"), owns("id-3", 4, 0, instance="i")]
        self.assert_right()


class Commits(Judged):
    def test_next_owner_sees_an_older_commit(self):
        self.change("b", seen(0, 2), seen(0, 1))
        self.assert_breaks(9)

    def test_member_sees_none_of_its_own_commits(self):
        self.change("a", seen(0, 1), seen(0, -1))
        self.assert_breaks(9)

    def test_commit_is_forgotten_in_the_end(self):
        self.change("reader", seen(1, 2, final=True), seen(1, 1, final=True))
        self.assert_breaks(9)

    def test_record_is_committed_and_given_to_no_member(self):
        self.change("a", fetched(0, (1, 2)))
        self.assert_breaks(9)

    def test_commit_that_was_refused_binds_nobody(self):
        self.history["a"].insert(-1, committed(0, 3, result="refused"))
        self.assert_right()

    def test_group_that_commits_unread_records_promises_nothing(self):
        self.change("a", member("a"), member("a", commit="auto"))
        self.change("a", fetched(0, (1, 2)))
        self.assert_right()


class Liveness(Judged):
    def after_calm(self, *events, log="b"):
        self.write()
        sizes = {f"{name}.jsonl": (self.folder / f"{name}.jsonl").stat().st_size
                 for name in ("p", "b")}
        self.history["harness"] = [{"event": "calm", "seconds": 10, "logs": sizes},
                                   {"event": "over"}]
        self.history["p"] += producer(records=[(5, 1)])[1:] + [acked(5, 1, 2)]
        self.history["reader"] += [
            {"event": "position", "topic": "t", "partition": 1, "offset": 2}, fetched(1, (2, 5))]
        self.change("reader", end(1, 2), end(1, 2, final=False))
        self.change("reader", seen(1, 2, final=True))
        self.history[log] += events

    def test_everybody_goes_on(self):
        self.after_calm(fetched(1, (2, 5)), committed(1, 3))
        self.assert_right()

    def test_member_is_stuck_and_so_is_its_group(self):
        self.after_calm()
        self.assert_breaks(10)

    def test_producer_is_stuck(self):
        self.after_calm(fetched(1, (2, 5)), committed(1, 3))
        del self.history["p"][-2:]
        self.history["p"].append({"event": "note"})
        for log in ("b", "reader"):
            self.change(log, fetched(1, (2, 5)))
        self.assert_breaks(10)

    def test_record_is_given_to_no_member_though_all_move(self):
        self.after_calm(committed(0, 3))
        self.assert_breaks(10)

    def test_member_without_partitions_has_nothing_to_do(self):
        self.after_calm(owns("b", 4))
        self.history["c"] = [member("c"), owns("c", 4, 1), fetched(1, (2, 5)), committed(1, 3)]
        self.assert_right()

    def test_member_that_has_left_has_nothing_to_do(self):
        self.after_calm({"event": "stop"})
        self.history["c"] = [member("c"), owns("c", 4, 1), fetched(1, (2, 5)), committed(1, 3)]
        self.assert_right()


class Logs(Judged):
    def test_half_a_line_of_a_killed_client_is_left_out(self):
        self.write()
        with open(self.folder / "b.jsonl", "a", encoding="ascii") as log:
            log.write('{"event": "fetch')
        self.assertEqual(checker.judge([self.folder])[1], [])

    def run_checker(self):
        return subprocess.run([sys.executable, checker.__file__, str(self.folder)], text=True,
                              capture_output=True, timeout=60, check=False)

    def test_exit_code_and_summary_of_a_right_history(self):
        self.write()
        done = self.run_checker()
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertTrue(done.stdout.startswith("0 violations; 4 logs, 5 records"), done.stdout)

    def test_exit_code_and_proof_of_a_wrong_history(self):
        self.change("b", owns("b", 2, 1), owns("b", 2, 0, 1))
        self.write()
        done = self.run_checker()
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("rule 8 (ownership): group g: in generation 2 both a and b own t/0\n"
                      "    a.jsonl:10: ", done.stdout)

    def test_what_is_no_history_is_not_judged(self):
        for text in ("[1]\n", "{}\n", "rubbish\n", '{"event": "unheard of"}\n'):
            (self.folder / "x.jsonl").write_text(text)
            done = self.run_checker()
            self.assertEqual(done.returncode, 2, text)
            self.assertIn("x.jsonl:1: ", done.stderr)

    def test_records_that_nobody_read_are_counted(self):
        self.only(p=producer(records=[(0, 0)]) + [acked(0, 0, 0)])
        self.write()
        self.assertIn("no reader came there: 1 records", self.run_checker().stdout)


if __name__ == "__main__":
    unittest.main()
