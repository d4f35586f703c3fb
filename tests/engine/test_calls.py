"""Calls: drawn when there is room, answered in whatever order, one engine after the other."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.engine.base import ask
from evalkit.engine.calls import Answer, Asking, Call, Here, Requests, ask_all, ask_in_turn
from evalkit.engine.fake import FakeEngine
from evalkit.types import Request, Response


class Shuffled:
    """Has room for several calls at once, and answers any of them first."""

    def __init__(self, seed, number):
        self._rng, self._number = random.Random(seed), number
        self._calls = []

    @property
    def room(self):
        return len(self._calls) < self._number

    @property
    def busy(self):
        return bool(self._calls)

    def send(self, call):
        assert self.room
        self._calls.append(call)

    def wait(self):
        assert self._calls

    def answers(self):
        if self._calls and (not self.room or self._rng.random() < 0.5):
            call = self._calls.pop(self._rng.randrange(len(self._calls)))
            for value in call.taken_by(0).run(lambda: FakeEngine("x", lambda _: Response(text="x")), None):
                yield Answer(call, value)


def request(token):
    return Request(kind="loglikelihood", task="t", doc_id="1", context_ids=(1,), continuation_ids=(token,))


def asked(token):
    return Call.of(Requests([request(token)]))


def test_an_engines_error_is_an_answer_and_the_next_call_is_asked():
    def answer(request):
        if request.continuation_ids == (5,):
            raise RuntimeError("broken")
        return Response(text="x")

    calls = [asked(token) for token in (4, 5, 6)]
    answers = list(ask_all(FakeEngine("x", answer), calls))
    assert [(a.call, str(a.error or a.value[1].text)) for a in answers] == list(
        zip(calls, ["x", "broken", "x"], strict=True)
    )


def test_calls_are_drawn_one_by_one():
    engine = FakeEngine("x", lambda _: Response(text="x"))
    drawn = []

    def calls():
        for token in range(3):
            drawn.append(token)
            yield asked(token)

    for number, _ in enumerate(ask_all(Here(lambda: engine), calls()), start=1):
        assert len(drawn) == number
    with pytest.raises(StopIteration):
        next(ask_all(engine, []))


def numbered(tokens, drawn):
    for token in tokens:
        drawn.append(token)
        yield asked(token)


@given(seed=st.integers(0, 99), number=st.integers(1, 4), counts=st.lists(st.integers(0, 4), max_size=4))
def test_engines_are_asked_in_turn(seed, number, counts):
    drawn, opened, places = [], [], []

    def askings():
        for engine, count in enumerate(counts):
            assert drawn == [10 * e + i for e, c in enumerate(counts[:engine]) for i in range(c)]
            opened.append(engine)
            places.append(Shuffled(seed, number))
            yield Asking(places[-1], numbered(range(10 * engine, 10 * engine + count), drawn))

    answers = list(ask_in_turn(askings()))
    assert opened == list(range(len(counts)))
    ended = [asking.place for asking, answer in answers if answer is None]
    assert sorted(map(places.index, ended)) == opened and not any(place.busy for place in places)
    seen = [answer.call.job.requests[0].continuation_ids[0] for _, answer in answers if answer]
    assert sorted(seen) == sorted(drawn)


def test_one_engine_ends_before_the_next_begins_in_one_process():
    drawn = []
    engines = [FakeEngine(name, lambda _: Response(text="x")) for name in "ab"]

    def askings():
        for number, engine in enumerate(engines):
            assert len(answered) == 3 * number  # two answers and the end of each
            yield Asking(Here(lambda engine=engine: engine), numbered(range(2), drawn))

    answered = []
    for _, answer in ask_in_turn(askings()):
        answered.append(answer)
    assert [answer is None for answer in answered] == [False, False, True] * 2


def test_an_engine_whose_calls_fail_is_left_and_the_next_goes_on():
    def broken():
        yield asked(1)
        raise RuntimeError("no more prompts")

    engine = FakeEngine("x", lambda _: Response(text="x"))
    first, second = Asking(Here(lambda: engine), broken()), Asking(Here(lambda: engine), numbered(range(2), []))
    assert [(a is first, b is None) for a, b in ask_in_turn([first, second])] == [
        (True, False), (True, True), (False, False), (False, False), (False, True)]  # fmt: skip
    assert str(first.error) == "no more prompts" and second.error is None
    with pytest.raises(RuntimeError, match="no more prompts"):
        list(ask_all(engine, broken()))


def test_a_pause_ends_with_the_next_answer_and_a_job_is_decided_on_when_it_is_taken():
    place, decided = Shuffled(0, 1), []  # which answers one at a time

    def choose(worker):
        decided.append(worker)
        return Requests([request(len(decided))])

    def calls():
        for number in range(3):
            assert len(decided) == number
            yield Call(choose)
            if not decided[number:]:
                yield None

    tokens = [answer.call.job.requests[0].continuation_ids for answer in ask_all(place, calls())]
    assert tokens == [(1,), (2,), (3,)] and decided == [0, 0, 0]
    call = Call(choose)
    assert call.taken_by(5) is call.taken_by(6) and decided[3:] == [5]


class Frugal(FakeEngine):
    """Has memory for a number of requests; batches are never larger than `batch`."""

    batch, memory = 8, 2

    def halve_batches(self):
        self.batch //= 2
        return self.batch >= 1

    def _respond(self, requests):
        for start in range(0, len(requests), self.batch):
            if len(requests[start : start + self.batch]) > self.memory:
                raise MemoryError
            for i, response in super()._respond(requests[start : start + self.batch]):
                yield start + i, response


def test_what_does_not_fit_in_memory_is_sent_again_in_smaller_batches_and_only_that(caplog):
    engine = Frugal("x", lambda r: Response(text=str(r.continuation_ids[0])))
    requests = [request(token) for token in range(9)]  # at first the last alone would fit
    responses = list(ask(engine, "loglikelihood", requests))
    assert sorted((i, r.text) for i, r in responses) == [(i, str(i)) for i in range(9)]
    assert len(engine.asked) == 9 and engine.batch == 2
    assert caplog.messages == ["out of memory: continuing with smaller batches"] * 2
    engine.memory = 0
    with pytest.raises(MemoryError):
        list(ask(engine, "loglikelihood", requests))
