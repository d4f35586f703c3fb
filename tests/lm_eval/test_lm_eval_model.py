"""The model for lm-evaluation-harness, with a stand-in for lm_eval: what it answers, and what it refuses."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest

from evalkit.errors import PromptTooLongError, UsageError
from evalkit.lm_eval import model as lm_eval_model
from evalkit.lm_eval.model import EngineModel


class StandIn:
    """What lm_eval's base class has that the model uses."""

    def __init__(self):
        self.cache_hook = SimpleNamespace(add_partial=lambda *what: self.kept.append(what))
        self.kept = []


class Registry(dict):
    def register(self, name, *, target):
        self[name] = target


@pytest.fixture
def lm_eval(monkeypatch):
    registry = Registry()
    names = ("lm_eval", "lm_eval.api", "lm_eval.api.model", "lm_eval.api.registry", "lm_eval.models")
    modules = {name: ModuleType(name) for name in names}
    modules["lm_eval.api.model"].LM = StandIn
    modules["lm_eval.api.registry"].model_registry = registry
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
        if "." in name:
            parent, _, own = name.rpartition(".")
            setattr(modules[parent], own, module)
    lm_eval_model._model_class.cache_clear()
    yield SimpleNamespace(registry=registry, modules=modules)
    lm_eval_model._model_class.cache_clear()


@pytest.fixture
def model(lm_eval):
    return lm_eval_model.EvalkitLM(pretrained="pico", dtype="float32", batch_size="1", max_batch_size=None)


def asks(*arguments):
    return [SimpleNamespace(args=a, task_name="toy", doc_id=i, idx=0) for i, a in enumerate(arguments)]


def test_it_is_a_model_of_lm_eval_and_tells_about_itself(model):
    assert isinstance(model, StandIn) and isinstance(model, EngineModel)
    assert model.max_length == model.engine.context_length
    info = model.get_model_info()
    assert info["model_dtype"] == "float32" and info["model_num_parameters"] > 0


def test_likelihoods_follow_the_chain_rule(model):
    (first, _), (second, _), (whole, _) = model.loglikelihood(
        asks(("", "the dog"), ("<|endoftext|>the dog", " went home"), ("", "the dog went home"))
    )
    assert first + second == pytest.approx(whole, abs=1e-4)
    assert model.loglikelihood_rolling(asks(("the dog went home",))) == pytest.approx([whole], abs=1e-4)


def test_boundaries_are_those_of_lm_eval(model):
    moved, plain, begun, bare = model.loglikelihood(
        asks(("the dog ", "went"), ("the dog", " went"), ("", "<|endoftext|>the dog"), ("", "the dog"))
    )
    assert moved[0] == pytest.approx(plain[0], abs=1e-5)
    assert begun[0] == pytest.approx(bare[0], abs=1e-5)


def test_a_text_longer_than_the_context_is_scored_whole(model):
    words = "the dog went home " * model.max_length
    (long,) = model.loglikelihood_rolling(asks((words,)))
    (short,) = model.loglikelihood_rolling(asks((words[: len(words) // 2],)))
    assert long < short < 0


def test_generation_ends_at_a_stop_or_at_the_length(model):
    free, stopped = model.generate_until(
        asks(("the dog", {"until": [], "max_gen_toks": 8}), ("the dog", {"until": ["e"], "max_gen_toks": 8}))
    )
    assert free and "e" not in stopped and free.startswith(stopped)
    long = "the dog went home " * model.max_length
    cut = long[len(long) // 2 :]
    texts = model.generate_until(asks((long, {"until": [], "max_gen_toks": 8}), (cut, {"max_gen_toks": 8})))
    assert texts[0] == texts[1]  # of both, only the last tokens are read


def test_samples_of_one_prompt_differ_and_come_again(model):
    sampling = {"do_sample": True, "temperature": 1.5, "max_gen_toks": 16}
    twice = [model.generate_until(asks(*[("the", sampling)] * 3)) for _ in range(2)]
    assert twice[0] == twice[1] and len(set(twice[0])) == 3


def test_answers_reach_the_cache_of_lm_eval(model):
    found = model.loglikelihood(asks(("the", " dog"), ("the", " house")))
    assert sorted(model.kept) == sorted(
        ("loglikelihood", pair, said) for pair, said in zip([("the", " dog"), ("the", " house")], found, strict=True)
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_beams": 4}, "toy document 0: generation setting num_beams=4 is not known"),
        ({"until": 3}, "toy: generation_kwargs.until: expected texts"),
        ({"max_gen_toks": 10**6}, "toy document 0: 1000000 tokens are to be generated"),
    ],
)
def test_generation_settings_that_cannot_be_followed_are_refused(model, settings, message):
    with pytest.raises(Exception, match=message):
        model.generate_until(asks(("the", settings)))
    assert model.generate_until(asks(("the", {"num_beams": 1, "max_gen_toks": 1})))


def test_a_continuation_longer_than_the_context_is_an_error(model):
    with pytest.raises(PromptTooLongError, match=r"toy document 0: the answer has \d+ tokens"):
        model.loglikelihood(asks(("the", " dog" * (model.max_length + 1))))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "pretrained is missing"),
        ({"pretrained": "pico", "parallelize": True}, "parallelize: not known to the model evalkit"),
        ({"pretrained": "pico", "dtype": "int7"}, "unknown dtype 'int7'"),
        ({"pretrained": "pico", "device": "tpu"}, "unknown device 'tpu'"),
        ({"pretrained": "pika"}, "unknown model 'pika'"),
    ],
)
def test_arguments_that_are_not_allowed(lm_eval, arguments, message):
    with pytest.raises(UsageError, match=message):
        lm_eval_model.EvalkitLM(**arguments)


def test_chat_templates_are_refused(model):
    assert model.chat_template(False) is None
    for ask in (lambda: model.chat_template(True), lambda: model.apply_chat_template([])):
        with pytest.raises(UsageError, match="no chat template"):
            ask()


def test_the_command_line_registers_the_model_and_reports_errors_in_one_line(lm_eval, monkeypatch, capsys):
    def run():
        raise UsageError("something is wrong")

    main = ModuleType("lm_eval.__main__")
    main.cli_evaluate = run
    monkeypatch.setitem(sys.modules, "lm_eval.__main__", main)
    assert lm_eval_model.main() == 2
    assert lm_eval.registry == {"evalkit": "evalkit.lm_eval.model:EvalkitLM"}
    assert capsys.readouterr().err == "evalkit: error: something is wrong\n"


def test_without_lm_eval_it_says_what_is_missing(monkeypatch, capsys):
    lm_eval_model._model_class.cache_clear()
    monkeypatch.setitem(sys.modules, "lm_eval.api.model", None)
    assert lm_eval_model.main() == 2
    assert "pip install lm_eval" in capsys.readouterr().err
    with pytest.raises(AttributeError, match="no attribute Nothing"):
        _ = lm_eval_model.Nothing
