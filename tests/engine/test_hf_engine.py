"""The engine of transformers' models: its numbers are transformers' own, and our GPT's where both can run a folder."""

from __future__ import annotations

import copy
import json
import random
import shutil
import sys
from functools import lru_cache

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tokenizers import processors

from evalkit.engine import hf, network_reading
from evalkit.engine.gpt import GPTEngine
from evalkit.engine.rolling import rolling_windows
from evalkit.errors import CheckpointError, UsageError
from evalkit.model import weights
from evalkit.model.config import GPTConfig
from evalkit.model.gpt import GPT
from evalkit.tokenizer import Tokenizer
from evalkit.types import Decoding, Request
from tests.engine.responses import same_texts

CONTEXT = 32
SMALL = {"hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2, "initializer_range": 0.3}
CONFIGS = {
    "gpt_neox": lambda size: transformers.GPTNeoXConfig(
        vocab_size=size, intermediate_size=64, max_position_embeddings=CONTEXT, **SMALL
    ),
    "llama": lambda size: transformers.LlamaConfig(
        vocab_size=size, intermediate_size=64, max_position_embeddings=CONTEXT, num_key_value_heads=1, **SMALL
    ),
    "opt": lambda size: transformers.OPTConfig(
        vocab_size=size, hidden_size=32, ffn_dim=64, num_attention_heads=2, num_hidden_layers=2, init_std=0.3,
        max_position_embeddings=CONTEXT, word_embed_proj_dim=16,
    ),
    "bloom": lambda size: transformers.BloomConfig(
        vocab_size=size, hidden_size=32, n_head=2, n_layer=2, initializer_range=0.3, seq_length=CONTEXT
    ),
    "gemma2": lambda size: transformers.Gemma2Config(  # caps its logits and slides its window
        vocab_size=size, intermediate_size=64, max_position_embeddings=CONTEXT, num_key_value_heads=1, head_dim=16,
        sliding_window=8, **SMALL,
    ),
    "mamba": lambda size: transformers.MambaConfig(  # has no key-value cache
        vocab_size=size, hidden_size=16, state_size=4, num_hidden_layers=2, initializer_range=0.3
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(["the cat sat on a mat and the dog ran home " * 4], vocab_size=280)


@pytest.fixture(scope="module")
def folders(tokenizer, tmp_path_factory):
    """Return a function that saves a small random model of an architecture, once, and gives its folder."""
    made = {}

    def folder_of(name):
        if name not in made:
            made[name] = folder = tmp_path_factory.mktemp(name)
            config = CONFIGS[name](tokenizer.size)
            config.bos_token_id = config.eos_token_id = tokenizer.end_of_text
            config.pad_token_id = 1
            torch.manual_seed(0)
            transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
            save_tokenizer(tokenizer, folder)
        return made[name]

    return folder_of


def save_tokenizer(tokenizer, folder):
    tokenizer.save(folder, context=CONTEXT)
    edit(folder / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")


def edit(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def load(folder, **options):
    return hf.load(folder, name="test", **options)


def reference(folder):
    return transformers.AutoModelForCausalLM.from_pretrained(folder).eval()


def request(kind, context=(), continuation=(), **decoding):
    return Request(
        kind=kind, task="t", doc_id="0", context_ids=tuple(context), continuation_ids=tuple(continuation),
        decoding=Decoding(**{"until": (), "max_tokens": 8} | decoding),
    )  # fmt: skip


def answers(iterator):
    found = dict(iterator)
    return [found[i] for i in range(len(found))]


def sequences(count, *, longest, seed=0):
    rng = random.Random(seed)
    return [rng.choices(range(2, 280), k=rng.randint(1, longest)) for _ in range(count)]


@torch.no_grad()
def naive(model, tokens, scored):
    """Sum of log-probabilities of the last tokens, by transformers alone."""
    logits = model(input_ids=torch.tensor([tokens[:-1]])).logits[0, -scored:].double()
    return float(logits.log_softmax(1).gather(1, torch.tensor(tokens[-scored:])[:, None]).sum())


@pytest.mark.parametrize("name", CONFIGS)
def test_loglikelihoods_equal_transformers_in_any_batch(name, folders):
    theirs = reference(folders(name))
    pairs = list(zip(sequences(7, longest=14), sequences(7, longest=14, seed=1), strict=True))
    expected = [naive(theirs, context + after, len(after)) for context, after in pairs]
    for batch_tokens in (1, 60, 10_000):
        engine = load(folders(name), batch_tokens=batch_tokens)
        got = answers(engine.loglikelihood([request("loglikelihood", *pair) for pair in pairs]))
        assert [r.loglikelihood for r in got] == pytest.approx(expected, abs=2e-4, rel=1e-5)
        assert [r.tokens for r in got] == [len(after) for _, after in pairs]


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("beams", [1, 3])
def test_decoding_equals_transformers_in_any_batch(name, beams, folders, tokenizer):
    theirs = reference(folders(name))
    engine = load(folders(name))
    prompts = [*sequences(3, longest=12), [5, 6, 7], [7, 6, 5]]
    asked = [request("generate_until", prompt, beams=beams, length_penalty=0.6) for prompt in prompts]
    together = answers(engine.generate_until(asked))
    same_texts(together, [answers(engine.generate_until([one]))[0] for one in asked])
    assert ["".join(engine.stream(one)) for one in asked] == [response.text for response in together]
    for prompt, response in zip(prompts, together, strict=True):
        new = theirs.generate(
            torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long), max_new_tokens=8,
            do_sample=False, num_beams=beams, length_penalty=0.6, early_stopping=False, pad_token_id=1,
        )[0].tolist()[len(prompt) :]  # fmt: skip
        expected = new[: new.index(tokenizer.end_of_text)] if tokenizer.end_of_text in new else new
        assert (response.text, response.tokens) == (tokenizer.decode(expected), len(expected))


@pytest.mark.parametrize("name", CONFIGS)
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_shared_beginnings_change_nothing(name, folders, data):
    """Nested, equal and crossing requests, with and without what all begin with, in any budget."""
    theirs, engine = opened(folders(name))
    draw = random.Random(data.draw(st.integers(0, 999)))
    trunk, passages = sequences(1, longest=data.draw(st.sampled_from([1, 18])))[0], sequences(2, longest=18, seed=5)
    room = CONTEXT - len(trunk) - 2
    pairs = []
    for _ in range(data.draw(st.integers(1, 9))):
        context = [
            *trunk,
            *(draw.choice(passages) + [7, 8] * draw.randint(0, 1))[: max(room - 4, 0)],
            draw.randint(2, 9),
        ]
        pairs.append((context, draw.choices(range(2, 6), k=draw.randint(1, CONTEXT + 1 - len(context)))[:6]))
    engine._batch_tokens = data.draw(st.sampled_from([1, 90, 10_000]))
    got = answers(engine.loglikelihood([request("loglikelihood", *pair) for pair in pairs]))
    expected = [naive(theirs, context + after, len(after)) for context, after in pairs]
    assert [r.loglikelihood for r in got] == pytest.approx(expected, abs=1e-4, rel=1e-5)
    asked = [request("generate_until", context[: CONTEXT - 4], max_tokens=3) for context, _ in pairs]
    together = answers(engine.generate_until(asked))
    same_texts(together, [answers(engine.generate_until([one]))[0] for one in asked])


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("beams", [1, 2])
def test_texts_of_any_length_start_and_end_at_any_time(name, beams, folders, monkeypatch):
    monkeypatch.setitem(network_reading.ROWS, "cpu", 4)
    lengths = random.Random(3).choices(range(1, 13), k=13)
    prompts = [*sequences(12, longest=18, seed=4), [5] * 18]
    asked = [
        request("generate_until", prompt, max_tokens=n, beams=beams)
        for prompt, n in zip([*prompts, prompts[0]], [*lengths, 5], strict=True)
    ]
    for batch_tokens in (1, 70, 10_000):
        engine = load(folders(name), batch_tokens=batch_tokens)
        same_texts(answers(engine.generate_until(asked)), [answers(engine.generate_until([one]))[0] for one in asked])


@lru_cache
def opened(folder):
    return reference(folder), load(folder)


def count_tokens(engine, monkeypatch):
    """Return a list that gets the number of tokens of every pass, padding included."""
    read = []

    def counting(real):
        def counted(tokens_BT, **more):
            read.append(tokens_BT.numel())
            return real(tokens_BT, **more)

        return counted

    for method in ("run", "hidden"):
        monkeypatch.setattr(engine._network, method, counting(getattr(engine._network, method)))
    return read


def test_caches_that_keep_every_position_are_shared(folders, monkeypatch):
    networks = {name: load(folders(name))._network for name in CONFIGS}
    assert {name for name in CONFIGS if networks[name].continues} == {"gpt_neox", "llama", "opt", "bloom"}
    assert {name for name in CONFIGS if networks[name].packs} == {"gpt_neox", "llama", "opt"}
    engine = load(folders("bloom"))
    read = count_tokens(engine, monkeypatch)

    def tokens_read(pairs):
        read.clear()
        answers(engine.loglikelihood([request("loglikelihood", *pair) for pair in pairs]))
        return sum(read)

    shots, after = [5] * 20, range(40, 44)
    passages = [[30 + i] * 29 for i in range(3)]
    # Of an answer's two tokens the second is not read; the context's last token is, with each answer.
    assert tokens_read([(passage, (a, a)) for passage in passages for a in after]) == 3 * 28 + 12 * 2
    assert tokens_read([([*shots, 30 + a], (a, a)) for a in after]) == 20 + 4 * 2
    assert tokens_read([(shots, (a,)) for a in after]) == 20  # answers of one token: the context alone


def test_rows_hold_many_sequences_and_every_beginning_once(folders, monkeypatch):
    engine = load(folders("llama"))
    read = count_tokens(engine, monkeypatch)
    pairs = [([30 + i] * (9 + i) + [n], (n, n)) for i in range(8) for n in range(40, 44)]
    for batch_tokens, passes in ((10_000, 1), (60, 3)):
        read.clear()
        engine._batch_tokens = batch_tokens
        answers(engine.loglikelihood([request("loglikelihood", *pair) for pair in pairs]))
        assert sum(read) == sum(9 + i + 4 * 2 for i in range(8))
        assert len(read) == passes
    read.clear()
    answers(engine.generate_until([request("generate_until", context, max_tokens=1) for context, _ in pairs]))
    assert sum(read) == sum(9 + i + 4 for i in range(8))


@pytest.mark.parametrize("name", ["bloom", "gemma2", "mamba"])
def test_padding_is_bounded_where_rows_hold_one_sequence(name, folders, monkeypatch):
    engine = load(folders(name))
    read = count_tokens(engine, monkeypatch)
    documents = sequences(90, longest=CONTEXT - 2, seed=7)
    answers(engine.loglikelihood([request("loglikelihood", document, (2,)) for document in documents]))
    real = sum(map(len, documents))
    assert real <= sum(read) <= real * 1.1 + 32 * len(read)
    assert len(read) < 10


def test_only_models_whose_output_matrix_gives_their_logits_are_split(folders):
    split = {name: load(folders(name))._network.splits for name in CONFIGS}
    assert split == {name: name != "gemma2" for name in CONFIGS}


@pytest.fixture(scope="module")
def both(tokenizer, tmp_path_factory):
    """The same GPT-2 folder in our engine and in theirs."""
    folder = tmp_path_factory.mktemp("gpt2")
    model = GPT(GPTConfig(n_layer=2, d_model=32, n_head=2, context=CONTEXT, vocab_size=tokenizer.size))
    model.initialize(torch.Generator().manual_seed(0))
    with torch.no_grad():
        for i, parameter in enumerate(model.parameters()):
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(i)) * 0.15)
    weights.save(model, tokenizer, folder, record={})
    return GPTEngine(model, tokenizer, name="ours", content_hash="0"), load(folder)


def test_a_gpt2_folder_gives_the_same_in_both_engines(both):
    ours, theirs = both
    assert theirs.context_length == ours.context_length == CONTEXT
    contexts, after = sequences(9, longest=16), sequences(9, longest=16, seed=1)
    scored = [request("loglikelihood", *pair) for pair in zip(contexts, [[], *after[1:]], strict=True)]
    documents = [request("loglikelihood_rolling", (), ids) for ids in ([], *sequences(6, longest=100, seed=2))]
    for a, b in (
        (ours.loglikelihood(scored), theirs.loglikelihood(scored)),
        (ours.loglikelihood_rolling(documents), theirs.loglikelihood_rolling(documents)),
    ):
        for mine, other in zip(answers(a), answers(b), strict=True):
            assert mine.loglikelihood == pytest.approx(other.loglikelihood, abs=1e-4, rel=1e-6)
            assert (mine.tokens, mine.is_greedy) == (other.tokens, other.is_greedy)
    for decoding in ({}, {"beams": 4}, {"top_k": 0, "seed": 5}, {"top_k": 3, "seed": 6}, {"until": ("a", "th")}):
        asked = [request("generate_until", prompt, **decoding) for prompt in contexts]
        same_texts(answers(ours.generate_until(asked)), answers(theirs.generate_until(asked)))


@pytest.fixture
def beginning(tokenizer, folders, tmp_path):
    """A Llama folder whose tokenizer puts <s> before every text, and knows </s> as the end."""
    folder = shutil.copytree(folders("llama"), tmp_path / "begins")
    backend = Tokenizer.load(folder)._backend
    backend.add_special_tokens(["<s>", "</s>"])
    first = backend.token_to_id("<s>")
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", first)]
    )
    backend.save(str(folder / "tokenizer.json"))
    edit(folder / "tokenizer_config.json", bos_token="<s>", eos_token="</s>", unk_token="<s>")
    config = transformers.LlamaConfig(
        vocab_size=tokenizer.size + 2, intermediate_size=64, max_position_embeddings=CONTEXT, **SMALL
    )
    config.bos_token_id, config.eos_token_id = first, [first + 1, 40]
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder, first


def test_texts_begin_with_the_tokenizers_own_beginning(beginning):
    folder, first = beginning
    engine, theirs = load(folder), reference(folder)
    assert engine.tokenizer.end_of_text == first + 1
    assert engine.context_length == CONTEXT - 1
    assert first not in engine.tokenizer.encode("the cat")
    empty = (engine.tokenizer.end_of_text,)
    cases = [((5, 6), (first, 5, 6)), ((first, 5), (first, 5)), (empty, (first,))]
    got = answers(engine.loglikelihood([request("loglikelihood", given, (7, 8)) for given, _ in cases]))
    for (_, read), response in zip(cases, got, strict=True):
        assert response.loglikelihood == pytest.approx(naive(theirs, [*read, 7, 8], 2), abs=1e-4)
    document = sequences(1, longest=90, seed=8)[0]
    stream = [first, *document]
    expected = sum(
        naive(theirs, stream[w.start : w.stop], w.scored)
        for w in rolling_windows(len(document), context=CONTEXT, stride=CONTEXT)
    )
    [response] = answers(engine.loglikelihood_rolling([request("loglikelihood_rolling", (), document)]))
    assert response.loglikelihood == pytest.approx(expected, abs=1e-3)
    assert engine._ends == {first + 1, 40}  # every token that the model's own configuration ends a text with


@pytest.mark.parametrize("length", [1, CONTEXT - 1, CONTEXT, CONTEXT + 1, 3 * CONTEXT - 2, 90])
@pytest.mark.parametrize("stride", [None, 7])
def test_every_window_begins_with_the_beginning_if_it_is_wanted(stride, length, beginning):
    """By hand: the first window reads <s> and the rest of a context, a later one <s> and one token of the text less."""
    folder, first = beginning
    loaded = hf.load(folder, name="test", every_window=True)
    engine = hf.HFEngine(
        loaded._network.model, loaded.tokenizer, name="test", content_hash="0", positions=CONTEXT,
        stride=stride, every_window=True,
    )  # fmt: skip
    document, theirs = random.Random(length).choices(range(280), k=length), reference(folder)
    expected, done = 0.0, 0
    while done < length:
        most = min(stride or CONTEXT, CONTEXT - 1) if done else CONTEXT
        stop = min(length, done + most)
        expected += naive(theirs, [first, *document[max(0, stop - CONTEXT) : stop]], stop - done)
        done = stop
    [response] = answers(engine.loglikelihood_rolling([request("loglikelihood_rolling", (), document)]))
    assert response.loglikelihood == pytest.approx(expected, abs=1e-3) and response.tokens == length
    assert engine.signature()["begin"] == "every-window" and "begin" not in load(folder).signature()


def test_a_context_that_is_cut_keeps_its_beginning(beginning):
    folder, first = beginning
    theirs, context = reference(folder), list(range(3, 100))
    asked = [request("loglikelihood", context, (7, 8)), request("loglikelihood", context, tuple(range(CONTEXT)))]
    found = answers(load(folder).loglikelihood(asked))
    assert found[0].loglikelihood == pytest.approx(naive(theirs, [first, *context[-CONTEXT + 2 :], 7, 8], 2), abs=1e-4)
    whole = naive(theirs, [context[-1], *range(CONTEXT)], CONTEXT)  # the answer leaves it no place
    assert found[1].loglikelihood == pytest.approx(whole, abs=1e-3)


BREAKAGES = {
    "no config": (lambda f: (f / "config.json").unlink(), "config.json is missing"),
    "cut config": (lambda f: (f / "config.json").write_text("{"), "cannot be read by transformers"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "cannot be read by transformers"),
    "cut weights": (lambda f: (f / "model.safetensors").write_bytes(b"x" * 99), "cannot be read by transformers"),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), "tokenizer|cannot be read"),
    "no end": (
        lambda f: edit(f / "tokenizer_config.json", eos_token=None, bos_token=None),
        "names no end-of-text token",
    ),
    "lacking tensor": (lambda f: drop(f / "model.safetensors", "final_layer_norm.weight"), "lack .*final_layer_norm"),
    "unknown architecture": (lambda f: edit(f / "config.json", model_type="gpt9"), "cannot be read by transformers"),
    "code of its own": (
        lambda f: edit(f / "config.json", model_type="x", auto_map={"AutoConfig": "code.Config"}),
        "cannot be read by transformers",
    ),
    "encoder-decoder": (
        lambda f: transformers.T5Config(d_model=8).save_pretrained(f),
        "t5 is an encoder-decoder",
    ),
}


def drop(path, ending):
    save_file({k: v for k, v in load_file(path).items() if not k.endswith(ending)}, path, metadata={"format": "pt"})


@pytest.mark.parametrize("name", BREAKAGES)
def test_a_folder_that_cannot_be_read_is_named(name, folders, tmp_path):
    folder = shutil.copytree(folders("gpt_neox"), tmp_path / "model")
    breaks, message = BREAKAGES[name]
    breaks(folder)
    with pytest.raises(CheckpointError, match=message) as caught:
        load(folder)
    assert str(folder) in str(caught.value) and "\n" not in str(caught.value)


def test_a_model_that_sees_later_tokens_is_refused(tokenizer, tmp_path):
    config = transformers.BertConfig(
        vocab_size=tokenizer.size, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        eos_token_id=0,
    )  # fmt: skip
    transformers.BertLMHeadModel(config).save_pretrained(tmp_path)
    save_tokenizer(tokenizer, tmp_path)
    with pytest.raises(CheckpointError, match="not a causal language model"):
        load(tmp_path)


def test_without_transformers_the_error_says_what_to_install(folders, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UsageError, match=r"pip install 'evalkit\[hf\]'"):
        load(folders("llama"))


def test_the_signature_tells_what_ran(folders, tokenizer):
    signature = load(folders("opt"), dtype=torch.bfloat16).signature()
    assert signature["architecture"] == "OPTForCausalLM"
    assert signature["dtype"] == "bfloat16"
    assert signature["context"] == str(CONTEXT)
    assert signature["library"] == f"transformers {transformers.__version__}"
    assert len({load(folders(name)).signature()["hash"] for name in ("opt", "llama", "mamba")}) == 3
    assert signature["first"] == str(tokenizer.end_of_text)


def test_layers_on_devices_of_their_own_give_the_same_answers(tokenizer, tmp_path):
    """As accelerate distributes them, with its hooks at every layer; here all devices are the one processor."""
    accelerate = pytest.importorskip("accelerate")
    model = transformers.LlamaForCausalLM(CONFIGS["llama"](tokenizer.size)).eval()
    whole = hf.HFEngine(copy.deepcopy(model), tokenizer, name="x", content_hash="0", positions=CONTEXT)
    parts = ["model.embed_tokens", "model.rotary_emb", "model.layers.0", "model.layers.1", "model.norm", "lm_head"]
    split = accelerate.dispatch_model(model, dict.fromkeys(parts, "cpu"), main_device="cpu", force_hooks=True)
    engine = hf.HFEngine(split, tokenizer, name="x", content_hash="0", positions=CONTEXT)
    assert (engine._network.splits, engine._network.packs) == (whole._network.splits, whole._network.packs)
    text = tuple(tokenizer.encode("the cat sat on a mat"))
    asked = [
        Request(kind="loglikelihood", task="t", doc_id=str(i), context_ids=text[:3], continuation_ids=text[3 : 4 + i])
        for i in range(3)
    ]
    scored = [dict(each.loglikelihood(asked)) for each in (whole, engine)]
    for i in range(3):
        assert scored[0][i].loglikelihood == pytest.approx(scored[1][i].loglikelihood, abs=1e-4)
    decode = [Request(kind="generate_until", task="t", doc_id="1", context_ids=text, decoding=Decoding(max_tokens=5))]
    texts = [dict(each.generate_until(decode))[0].text for each in (whole, engine)]
    assert texts[0] == texts[1]
