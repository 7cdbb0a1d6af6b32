#!/usr/bin/env python3
"""Tests of the checker on transactions: rules 6 and 7, and what transactions mean for the others.

Two workers of group g make records of topic out from those of topic t.  RIGHT keeps every rule.
"""
import copy
import unittest

import hand_made
from hand_made import acked, cut, end, fetched, member, owns, producer, seen


def worker(name, **more):
    return {**member(name, isolation="read_committed", **more), "acks": "all", "idempotent": True}


def made(name, number, partition, source, offset):
    """A record of out, from the one at `offset` of partition `source`."""
    return {"event": "sent", "id": f"{name}:{number}", "topic": "out", "partition": partition,
            "hash": 7, "of": ["t", source, offset]}


def begun():
    return {"event": "begun"}


def offsets(*rows):
    return {"event": "offsets", "group": "g", "offsets": [["t", *row] for row in rows]}


def ending(commit=True):
    return {"event": "ending", "commit": commit}


def ended(result="committed"):
    return {"event": "ended", "result": result}


def position(partition, offset, topic="out"):
    return {"event": "position", "topic": topic, "partition": partition, "offset": offset}


def given(partition, *records):
    """Of (offset, id) of topic out."""
    return {"event": "fetched", "topic": "out", "partition": partition,
            "records": [[offset, record, 7] for offset, record in records]}


def end_of(partition, offset, final=True):
    return {**end(partition, offset, final), "topic": "out"}


def stable(*rows):
    return {"event": "stable", "offsets": [["out", *row] for row in rows]}


def reader(name, **more):
    return {"event": "start", "client": name, **more}


# out/0: a:0 at 0, marker 1, a:2 at 2 (aborted), marker 3, a:3 at 4, marker 5
# out/1: a:1 at 0, marker 1, b:0 at 2, marker 3
FIRST = [begun(), made("a", 0, 0, 0, 0), made("a", 1, 1, 1, 0), acked(0, 0, 0, "a"),
         acked(1, 1, 0, "a"), offsets((0, 1), (1, 1)), ending(), ended()]
SECOND = [begun(), made("a", 2, 0, 0, 1), acked(2, 0, 2, "a"), offsets((0, 2)), ending(False),
          ended("aborted")]
# Its answer is not known, as the worker was killed.
THIRD = [begun(), made("a", 3, 0, 0, 1), acked(3, 0, 4, "a"), offsets((0, 2)), ending()]
FOURTH = [begun(), made("b", 0, 1, 1, 1), acked(0, 1, 2, "b"), offsets((1, 2)), ending(), ended()]
START = [worker("a"), owns("a", 1, 0, 1), seen(0, -1), seen(1, -1), fetched(0, (0, 0)),
         fetched(1, (0, 2))]
RIGHT = {
    "p": producer(records=[(0, 0), (1, 0), (2, 1), (3, 1)]) + [
        acked(0, 0, 0), acked(1, 0, 1), acked(2, 1, 0), acked(3, 1, 1)],
    "a": START + FIRST + [fetched(0, (1, 1))] + SECOND
         + [position(0, 1, "t"), fetched(0, (1, 1))] + THIRD,
    "b": [worker("b"), owns("b", 2, 0, 1), seen(0, 2), seen(1, 1), fetched(1, (1, 3))] + FOURTH,
    "verifier": [reader("verifier", isolation="read_committed"), position(0, 0), position(1, 0),
                 stable((0, 0), (1, 0)), given(0, (0, "a:0")), stable((0, 2), (1, 2)),
                 given(1, (0, "a:1")), given(0, (4, "a:3")), given(1, (2, "b:0")), end_of(0, 6),
                 end_of(1, 4), stable((0, 6), (1, 4))],
    "all": [reader("all"), position(0, 0), position(1, 0),
            given(0, (0, "a:0"), (2, "a:2"), (4, "a:3")), end_of(0, 6),
            given(1, (0, "a:1"), (2, "b:0")), end_of(1, 4)],
    "sources": [reader("sources"), position(0, 0, "t"), fetched(0, (0, 0), (1, 1)), end(0, 2),
                position(1, 0, "t"), fetched(1, (0, 2), (1, 3)), end(1, 2),
                seen(0, 2, final=True), seen(1, 2, final=True)],
    # Between what a did in FIRST and SECOND, and the verifier was given of FIRST.
    "harness": [cut(a=len(START), b=0, verifier=4), cut(a=len(START + FIRST), b=0, verifier=7)],
}


class Judged(hand_made.Judged):
    right = RIGHT

    def third_is_unseen(self):
        """It may be aborted as well as committed."""
        self.change("verifier", given(0, (4, "a:3")))
        for log, final in (("b", {}), ("sources", {"final": True})):
            self.change(log, seen(0, 2, **final), seen(0, 1, **final))


class Isolation(Judged):
    def test_a_history_in_order_is_right(self):
        self.assert_right()

    # ---- aborted, and still open ----

    def test_record_of_an_aborted_transaction(self):
        self.change("verifier", given(0, (4, "a:3")), given(0, (2, "a:2"), (4, "a:3")))
        self.assert_breaks(6, 7)  # what it was made from has two results

    def test_record_whose_commit_nobody_asked_for(self):
        self.history["b"] = self.history["b"][:-2]
        self.change("sources", seen(1, 2, final=True), seen(1, 1, final=True))
        self.assert_breaks(6, 7)

    def test_record_of_an_aborted_transaction_for_a_reader_of_all(self):
        self.change("verifier", reader("verifier", isolation="read_committed"), reader("verifier"))
        self.history["verifier"] = [each for each in self.history["verifier"]
                                    if each["event"] not in ("end", "stable")]
        self.change("verifier", given(0, (4, "a:3")), given(0, (2, "a:2"), (4, "a:3")))
        self.assert_right()

    def test_record_that_was_given_before_its_commit_was_asked_for(self):
        self.history["harness"].insert(1, cut(a=len(START), b=0, verifier=5))
        self.assert_breaks(6)

    def test_stable_offset_behind_a_record_of_an_open_transaction(self):
        self.history["harness"].append(
            cut(a=len(RIGHT["a"]), b=len(RIGHT["b"]) - 2, verifier=7))
        self.change("verifier", stable((0, 2), (1, 2)), stable((0, 2), (1, 3)))
        self.assert_breaks(6)

    def test_record_that_was_given_while_its_commit_was_asked_for(self):
        self.history["harness"][1] = cut(a=len(START + FIRST) - 1, b=0, verifier=7)
        self.assert_right()

    # ---- skipped ----

    def test_committed_record_that_was_skipped(self):
        self.change("verifier", given(1, (0, "a:1")))
        # Of its transaction another record was given.
        self.assert_breaks(6, 7)

    def test_committed_record_behind_the_end(self):
        for log in ("verifier", "all"):
            self.change(log, given(1, (2, "b:0")) if log == "verifier" else
                        given(1, (0, "a:1"), (2, "b:0")),
                        *([] if log == "verifier" else [given(1, (0, "a:1"))]))
            self.change(log, end_of(1, 4), end_of(1, 2))
        self.change("verifier", stable((0, 6), (1, 4)), stable((0, 6), (1, 2)))
        self.assert_breaks(1, 6, 7)  # 1: the reader of all stands before it too

    def test_committed_record_that_nobody_was_told_of_and_nobody_was_given(self):
        self.change("b", acked(0, 1, 2, "b"))
        self.change("verifier", given(1, (2, "b:0")))
        self.change("all", given(1, (0, "a:1"), (2, "b:0")), given(1, (0, "a:1")))
        self.assert_breaks(3, 6, 7)  # 3: there is one marker, and two offsets are empty

    def test_record_that_others_were_given_and_whose_transaction_is_committed(self):
        self.change("b", acked(0, 1, 2, "b"))
        self.change("verifier", given(1, (2, "b:0")))
        self.assert_breaks(6, 7)

    def test_record_of_unknown_outcome_that_nobody_was_given(self):
        self.third_is_unseen()
        self.assert_right()

    def test_acknowledged_record_of_an_aborted_transaction_is_stored_all_the_same(self):
        self.change("all", given(0, (0, "a:0"), (2, "a:2"), (4, "a:3")),
                    given(0, (0, "a:0"), (4, "a:3")))
        self.assert_breaks(1)

    # ---- the last stable offset ----

    def test_stable_offset_goes_back_for_one_reader(self):
        self.change("verifier", stable((0, 6), (1, 4)), stable((0, 6), (1, 3)),
                    stable((0, 5), (1, 4)))
        self.assert_breaks(6)

    def test_stable_offset_is_before_a_record_that_was_given(self):
        self.change("verifier", stable((0, 6), (1, 4)), stable((0, 4), (1, 4)))
        self.assert_breaks(6)

    def another(self, offset, events=1):
        """Has seen an offset, after so many events of its own when the verifier had seen 6."""
        self.history["another"] = [reader("another"), {"event": "note"}, stable((0, offset))]
        self.history["harness"].append(cut(a=len(RIGHT["a"]), b=len(RIGHT["b"]),
                                           verifier=len(RIGHT["verifier"]), another=events))

    def test_stable_offset_goes_back_for_another_reader(self):
        self.another(5)
        self.assert_breaks(6)

    def test_stable_offset_of_another_reader_that_did_not_go_back(self):
        self.another(6)
        self.assert_right()

    def test_stable_offset_that_was_asked_for_before_the_cut(self):
        self.another(5, events=2)
        self.assert_right()


class Gaps(Judged):
    def test_one_offset_more_than_markers_explain(self):
        for log in ("verifier", "all"):
            self.change(log, end_of(1, 4), end_of(1, 5))
        self.assert_breaks(3)

    def test_gap_where_no_transaction_wrote(self):
        self.change("sources", fetched(0, (0, 0), (1, 1)), fetched(0, (0, 0)))
        self.change("sources", end(0, 2), end(0, 3))
        self.change("a", fetched(0, (1, 1)))
        self.change("a", fetched(0, (1, 1)))
        self.change("p", acked(1, 0, 1))
        self.assert_breaks(3)

    def test_aborted_record_whose_offset_nobody_knows(self):
        self.change("a", acked(2, 0, 2, "a"))
        del self.history["all"]
        self.assert_right()

    def test_aborted_record_explains_no_gap_for_a_reader_of_all(self):
        self.change("a", acked(2, 0, 2, "a"))
        self.change("all", given(0, (0, "a:0"), (2, "a:2"), (4, "a:3")),
                    given(0, (0, "a:0"), (4, "a:3")))
        self.change("all", end_of(0, 6), end_of(0, 7, final=False))
        self.assert_breaks(3)


class Atomicity(Judged):
    def test_half_of_the_records_of_a_transaction(self):
        self.change("verifier", given(0, (0, "a:0")))
        self.assert_breaks(6, 7)

    def two_partitions(self):
        """THIRD, whose outcome is unknown, writes to out/1 too."""
        self.change("a", acked(3, 0, 4, "a"), made("a", 4, 1, 1, 1), acked(3, 0, 4, "a"))
        for log in ("verifier", "all"):
            self.change(log, end_of(1, 4), end_of(1, 5))
        self.change("verifier", stable((0, 6), (1, 4)), stable((0, 6), (1, 5)))

    def test_half_of_a_transaction_of_unknown_outcome(self):
        self.two_partitions()
        self.assert_breaks(7)

    def test_nothing_of_a_transaction_of_unknown_outcome(self):
        self.third_is_unseen()
        self.two_partitions()
        self.assert_right()

    def test_records_without_the_offsets(self):
        self.change("b", seen(0, 2), seen(0, 1))
        self.change("sources", seen(0, 2, final=True), seen(0, 1, final=True))
        self.assert_breaks(7)

    def test_records_without_the_offsets_that_were_acknowledged(self):
        self.change("sources", seen(1, 2, final=True), seen(1, 1, final=True))
        self.assert_breaks(7, 9)

    def test_offsets_without_the_records(self):
        self.change("verifier", given(0, (4, "a:3")))
        self.assert_breaks(6, 7)

    def test_offset_of_an_aborted_transaction_was_seen(self):
        self.history["a"] = self.history["a"][:-len(THIRD)]
        self.change("verifier", given(0, (4, "a:3")))
        self.change("all", given(0, (0, "a:0"), (2, "a:2"), (4, "a:3")),
                    given(0, (0, "a:0"), (2, "a:2")))
        for log in ("verifier", "all"):
            self.change(log, end_of(0, 6), end_of(0, 4))
        self.change("verifier", stable((0, 6), (1, 4)), stable((0, 4), (1, 4)))
        self.assert_breaks(7)

    def test_offset_of_an_aborted_transaction_that_a_plain_commit_asked_for_too(self):
        self.history["plain"] = [member("plain", commit="none"), owns("plain", 3),
                                 hand_made.committed(0, 2, "unknown")]
        self.history["a"] = self.history["a"][:-len(THIRD)]
        self.only(**{log: self.history[log] for log in ("p", "a", "b", "plain")})
        self.assert_right()

    def test_two_results_of_one_record(self):
        self.change("b", made("b", 0, 1, 1, 1), made("b", 0, 1, 1, 0))
        self.assert_breaks(7)

    def test_result_twice_in_one_transaction(self):
        self.change("a", made("a", 1, 1, 1, 0), made("a", 1, 1, 0, 0))
        self.assert_breaks(7)

    def test_record_without_a_result(self):
        self.change("b", made("b", 0, 1, 1, 1))
        self.change("b", acked(0, 1, 2, "b"))
        self.change("verifier", given(1, (2, "b:0")))
        self.change("all", given(1, (0, "a:1"), (2, "b:0")), given(1, (0, "a:1")))
        for log in ("verifier", "all"):
            self.change(log, end_of(1, 4), end_of(1, 2))
        self.change("verifier", stable((0, 6), (1, 4)), stable((0, 6), (1, 2)))
        self.assert_breaks(7)

    def test_result_of_a_record_that_is_not_committed(self):
        self.change("b", offsets((1, 2)))
        self.change("sources", seen(1, 2, final=True), seen(1, 1, final=True))
        self.assert_breaks(7)

    def test_offset_that_nobody_has_sent(self):
        self.change("a", offsets((0, 1), (1, 1)), offsets((0, 1)))
        self.assert_breaks(9)

    def test_offsets_of_a_transaction_are_committed_as_others_are(self):
        self.change("b", seen(1, 1), seen(1, 0))
        self.assert_breaks(9)

    def test_offsets_sent_by_who_was_fenced_are_not_committed(self):
        self.change("b", offsets((1, 2)), {"event": "fenced", "error": "lost"}, offsets((1, 2)))
        self.assert_breaks(8)

    def test_who_was_fenced_after_he_sent_offsets_may_commit(self):
        self.change("b", offsets((1, 2)), offsets((1, 2)), {"event": "fenced", "error": "lost"})
        self.assert_right()


class Mutations(Judged):
    """Whatever a reader of the committed world was given, and whatever was answered, matters."""

    def mutate(self, log, index, *after):
        self.history = copy.deepcopy(RIGHT)
        self.history[log][index:index + 1] = after
        self.write()
        return self.found()

    def test_any_record_of_the_verifier_is_missed(self):
        for index, event in enumerate(RIGHT["verifier"]):
            if event["event"] == "fetched":
                rules = {each.rule for each in self.mutate("verifier", index)}
                self.assertTrue(rules & {6, 7}, event)

    def test_any_commit_that_was_none_is_found(self):
        for log in ("a", "b"):
            for index, event in enumerate(RIGHT[log]):
                if event == ending():
                    rules = {each.rule for each in self.mutate_outcome(log, index)}
                    self.assertTrue(rules & {6, 7}, (log, index))

    def mutate_outcome(self, log, index):
        self.history = copy.deepcopy(RIGHT)
        self.history[log][index:index + 2] = [ending(False), ended("aborted")]
        self.write()
        return self.found()

    def test_an_abort_that_was_a_commit_is_found(self):
        index = RIGHT["a"].index(ending(False))
        self.history["a"][index:index + 2] = [ending(), ended()]
        self.assert_breaks(5, 6)

    def test_any_offset_of_a_transaction_is_missed(self):
        for log in ("a", "b"):
            for index, event in enumerate(RIGHT[log]):
                if event["event"] == "offsets" and event != offsets((0, 2)):
                    self.assertTrue(self.mutate(log, index), event)

    def test_any_record_of_the_sources_is_not_transformed(self):
        for log in ("a", "b"):
            for index, event in enumerate(RIGHT[log]):
                if event["event"] == "sent" and event["id"] != "a:2":
                    found = self.mutate(log, index, {**event, "of": ["t", 0, 9]})
                    self.assertIn(7, {each.rule for each in found}, event)


class Logs(Judged):
    def wrong(self, *events):
        self.only(a=[worker("a"), *events])
        self.write()
        with self.assertRaises(hand_made.checker.histories.BadHistory):
            self.found()

    def test_what_is_no_transaction_is_not_judged(self):
        self.wrong(ending())
        self.wrong(ended())
        self.wrong(offsets((0, 1)))
        self.wrong(begun(), begun())
        self.wrong(begun(), ending(False), ended())
        self.wrong(begun(), ending(), ended("rubbish"))


if __name__ == "__main__":
    unittest.main()
