"""Calls from the cache: in whatever order they are answered, the same requests go together."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.engine.cache import ResponseCache
from evalkit.engine.cached import CachedCalls, Keys
from evalkit.engine.calls import Answer, Asking, Call, Here, ask_all, ask_in_turn
from evalkit.engine.fake import FakeEngine
from evalkit.types import Request, Response


class Shuffled:
    """Has room for several calls at once, and answers any of them first."""

    def __init__(self, seed, number, broken=()):
        self._rng, self._number, self._broken = random.Random(seed), number, broken
        self._calls, self.sent = [], []

    @property
    def room(self):
        return len(self._calls) < self._number

    @property
    def busy(self):
        return bool(self._calls)

    def send(self, call):
        assert self.room
        self._calls.append(call)
        self.sent.append([r.continuation_ids[0] for r in call.requests])

    def wait(self):
        assert self._calls

    def answers(self):
        if self._calls and (not self.room or self._rng.random() < 0.5):
            call = self._calls.pop(self._rng.randrange(len(self._calls)))
            if any(r.continuation_ids[0] in self._broken for r in call.requests):
                yield Answer.failure(call, RuntimeError("broken"))
                return
            # The number of the call's requests stands for what else is in a batch, which decides the last bits.
            for i in self._rng.sample(range(len(call.requests)), len(call.requests)):
                token = call.requests[i].continuation_ids[0]
                yield Answer(call, i, Response(loglikelihood=-token - len(call.requests) / 1000))


def request(token):
    return Request(kind="loglikelihood", task="t", doc_id="1", context_ids=(1,), continuation_ids=(token,))


def answered(folder, asked, place):
    calls = [Call([request(token) for token in tokens]) for tokens in asked]
    cached = CachedCalls(place, ResponseCache(folder), Keys({"model": "m", "hash": "x"}, "cpu"))
    found = [{} for _ in calls]
    for call, position, response, error in ask_all(cached, calls):
        assert position not in found[calls.index(call)]
        found[calls.index(call)][position] = str(error) if error else response
    assert not cached.busy
    return found


TOKENS = st.lists(st.integers(2, 9), min_size=1, max_size=5)


@given(asked=st.lists(TOKENS, max_size=30), seed=st.integers(0, 99), number=st.integers(2, 4))
def test_the_same_answers_from_any_number_of_workers(tmp_path_factory, asked, seed, number):
    one, several = Shuffled(seed, 1), Shuffled(seed, number)
    expected = answered(tmp_path_factory.mktemp("one"), asked, one)
    assert answered(tmp_path_factory.mktemp("several"), asked, several) == expected
    assert sorted(several.sent) == sorted(one.sent)
    assert [len(responses) for responses in expected] == [len(tokens) for tokens in asked]


def test_a_call_that_failed_is_asked_again_by_those_that_waited_for_it(tmp_path):
    place = Shuffled(0, 3, broken=(7,))
    found = answered(tmp_path, [[2, 7], [2, 3], [4], [2, 3]], place)
    assert found[0] == {-1: "broken"}
    assert [sorted(each) for each in found[1:]] == [[0, 1], [0], [0, 1]]
    assert sorted(place.sent) == [[2, 3], [2, 7], [4]]


def test_an_engines_error_is_an_answer_and_the_next_call_is_asked():
    def answer(request):
        if request.continuation_ids == (5,):
            raise RuntimeError("broken")
        return Response(text="x")

    calls = [Call([request(token)]) for token in (4, 5, 6)]
    answers = list(ask_all(FakeEngine("x", answer), calls))
    assert [(a.call, str(a.error or a.response.text)) for a in answers] == list(
        zip(calls, ["x", "broken", "x"], strict=True)
    )


def test_calls_are_drawn_one_by_one():
    engine = FakeEngine("x", lambda _: Response(text="x"))
    drawn = []

    def calls():
        for token in range(3):
            drawn.append(token)
            yield Call([request(token)])

    for number, _ in enumerate(ask_all(Here(lambda: engine), calls()), start=1):
        assert len(drawn) == number
    with pytest.raises(StopIteration):
        next(ask_all(engine, []))


def numbered(tokens, drawn):
    for token in tokens:
        drawn.append(token)
        yield Call([request(token)])


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
    seen = [answer.call.requests[0].continuation_ids[0] for _, answer in answers if answer]
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
        yield Call([request(1)])
        raise RuntimeError("no more prompts")

    engine = FakeEngine("x", lambda _: Response(text="x"))
    first, second = Asking(Here(lambda: engine), broken()), Asking(Here(lambda: engine), numbered(range(2), []))
    assert [(a is first, b is None) for a, b in ask_in_turn([first, second])] == [
        (True, False), (True, True), (False, False), (False, False), (False, True)]  # fmt: skip
    assert str(first.error) == "no more prompts" and second.error is None
    with pytest.raises(RuntimeError, match="no more prompts"):
        list(ask_all(engine, broken()))
