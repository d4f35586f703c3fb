"""The engine of a live module: transformers' own numbers, and a module that is afterwards as it was before."""

from __future__ import annotations

import pytest
import torch
import transformers
from torch import nn

from evalkit.engine.encoders import PlainEncoder, encoder_of
from evalkit.engine.hf import HFEngine
from evalkit.engine.live import LiveEngine, positions_of
from evalkit.errors import UsageError
from evalkit.tokenizer import Tokenizer
from evalkit.types import Decoding, Request

CONTEXT = 32


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(["the cat sat on a mat and the dog ran home " * 4], vocab_size=280)


@pytest.fixture(scope="module")
def gpt2(tokenizer):
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=tokenizer.size, n_positions=CONTEXT, n_embd=32, n_layer=2, n_head=2, initializer_range=0.3,
        bos_token_id=tokenizer.end_of_text, eos_token_id=tokenizer.end_of_text,
    )  # fmt: skip
    return transformers.GPT2LMHeadModel(config)


class Characters:
    """A tokenizer of one's own, as of nanoGPT's character models."""

    def __init__(self, letters):
        self.letters = letters

    def encode(self, text):
        return [self.letters.index(letter) for letter in text]

    def decode(self, ids):
        return "".join(self.letters[i] for i in ids)


class Bigrams(nn.Module):
    """The smallest network of logits: a table. It keeps what it was called with, as rotary networks keep angles."""

    block_size = 8

    def __init__(self, size=40, *, last=False):
        super().__init__()
        self.table = nn.Embedding(size, size)
        self.drop = nn.Dropout(0.5)
        self.last = last
        self.seen = None

    def forward(self, tokens_BT):
        self.seen = self.table.weight[0].detach() * torch.arange(1, tokens_BT.shape[1] + 1)[:, None]
        logits_BTV = self.drop(self.table(tokens_BT))
        return (logits_BTV[:, -1:] if self.last else logits_BTV), None


def asked(tokenizer, *, context="the cat", continuation=" sat on a mat"):
    return Request(
        kind="loglikelihood", task="t", doc_id="d", context_ids=tuple(tokenizer.encode(context)),
        continuation_ids=tuple(tokenizer.encode(continuation)),
    )  # fmt: skip


# With its own cache, and as any other module, which has none.
@pytest.mark.parametrize("logits", [None, lambda module, tokens: module(tokens).logits])
def test_scores_and_texts_are_those_of_the_engine_of_transformers(gpt2, tokenizer, logits):
    live = LiveEngine(gpt2, tokenizer, name="live", positions=CONTEXT, logits=logits)
    assert live.network.continues == (logits is None)
    theirs = HFEngine(gpt2, tokenizer, name="hf", content_hash="x", positions=CONTEXT)
    requests = [asked(tokenizer, continuation=text) for text in (" sat", " sat on a mat", " ran home and the dog")]
    ours, reference = dict(live.loglikelihood(requests)), dict(theirs.loglikelihood(requests))
    for i in reference:
        assert ours[i].loglikelihood == pytest.approx(reference[i].loglikelihood, abs=1e-4)
        assert ours[i].is_greedy == reference[i].is_greedy
    whole = [Request(kind="loglikelihood_rolling", task="t", doc_id="d",
                     continuation_ids=tuple(tokenizer.encode("the dog ran home and " * 9)))]  # fmt: skip
    [(_, rolled)], [(_, expected)] = live.loglikelihood_rolling(whole), theirs.loglikelihood_rolling(whole)
    assert rolled.loglikelihood == pytest.approx(expected.loglikelihood, abs=1e-3)
    texts = [Request(kind="generate_until", task="t", doc_id="d", context_ids=tuple(tokenizer.encode(text)),
                     decoding=Decoding(max_tokens=8, beams=beams)) for beams in (1, 3)
             for text in ("the cat", "a mat and the dog", "the cat", "home", "on a mat and the dog ran")]  # fmt: skip
    assert {i: r.text for i, r in live.generate_until(texts)} == {i: r.text for i, r in theirs.generate_until(texts)}


def test_the_module_is_afterwards_as_it_was(tokenizer):
    module = Bigrams(tokenizer.size)
    module.train()
    module.drop.eval()  # a part that its owner froze stays frozen
    engine = LiveEngine(module, tokenizer, name="m", positions=CONTEXT)
    random, weights = torch.get_rng_state(), module.table.weight.detach().clone()
    list(engine.loglikelihood([asked(tokenizer)]))
    assert torch.equal(torch.get_rng_state(), random) and torch.equal(module.table.weight, weights)
    assert (module.training, module.table.training, module.drop.training) == (True, True, False)
    assert module.table.weight.requires_grad and not module.seen.is_inference()
    module(torch.tensor([[1, 2]]))[0].sum().backward()  # it can be trained on


def test_a_model_of_transformers_trains_on_after_an_evaluation_with_its_cache(tokenizer):
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=tokenizer.size, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=CONTEXT,
    )  # fmt: skip
    module = transformers.LlamaForCausalLM(config).train()
    engine = LiveEngine(module, tokenizer, name="m", positions=CONTEXT)
    assert engine.network.continues and module.training
    requests = [asked(tokenizer, context="the cat sat on a mat and the dog", continuation=c) for c in (" ran", " sat")]
    scores = dict(engine.loglikelihood(requests))
    plain = LiveEngine(module, tokenizer, name="m", positions=CONTEXT, logits=lambda m, t: m(t).logits)
    assert [scores[i].loglikelihood for i in (0, 1)] == pytest.approx(
        [response.loglikelihood for _, response in sorted(plain.loglikelihood(requests))], abs=1e-4
    )
    assert module.training and all(part.training for part in module.modules())
    tokens = torch.tensor([tokenizer.encode("the cat sat on a mat")])
    module(input_ids=tokens, labels=tokens).loss.backward()
    assert all(p.grad is not None for p in module.parameters())


def test_every_text_begins_with_the_token_that_the_user_names(tokenizer):
    module, seen = Bigrams(tokenizer.size), []
    encoder = encoder_of(tokenizer, begin=7)
    engine = LiveEngine(
        module, encoder, name="m", positions=CONTEXT,
        logits=lambda module, tokens: seen.append(tokens.clone()) or module.table(tokens),
    )  # fmt: skip
    assert engine.context_length == CONTEXT - 1 and engine.signature()["first"] == "7" and tokenizer.begin is None
    del seen[:]
    list(engine.loglikelihood([asked(tokenizer, context="the cat"), asked(tokenizer, context="a mat")]))
    assert seen and all(tokens[:, 0].eq(7).all() for tokens in seen)


def test_prompts_of_any_length_are_decoded_side_by_side(tokenizer):
    module, rows = Bigrams(tokenizer.size), []
    engine = LiveEngine(
        module, tokenizer, name="m", positions=CONTEXT, batch_tokens=80,
        logits=lambda module, tokens: rows.append(tuple(tokens.shape)) or module.table(tokens),
    )  # fmt: skip
    requests = [
        Request(kind="generate_until", task="t", doc_id=str(i), context_ids=tuple(range(1, 2 + i)),
                decoding=Decoding(max_tokens=6)) for i in range(12)
    ]  # fmt: skip
    del rows[:]
    together = {i: response.text for i, response in engine.generate_until(requests)}
    calls = len(rows)
    assert together == {i: next(engine.generate_until([request]))[1].text for i, request in enumerate(requests)}
    assert max(b * t for b, t in rows[:calls]) <= 80 and calls < len(rows) - calls


def test_the_module_is_put_back_when_its_call_fails(tokenizer):
    module = Bigrams(tokenizer.size)
    engine = LiveEngine(module, tokenizer, name="m", positions=CONTEXT)
    module.train()
    module.forward = lambda tokens: 1 / 0
    with pytest.raises(ZeroDivisionError):
        list(engine.loglikelihood([asked(tokenizer)]))
    assert module.training and torch.is_grad_enabled() and not torch.is_inference_mode_enabled()


def test_the_hash_follows_the_weights_and_not_the_mode(tokenizer):
    module = Bigrams(tokenizer.size)
    engine = LiveEngine(module, tokenizer, name="m", positions=CONTEXT)
    before = engine.signature()["hash"]
    module.train(not module.training)
    assert engine.signature()["hash"] == before
    with torch.no_grad():
        module.table.weight[3, 3] += 1
    assert engine.signature()["hash"] != before


def test_a_module_of_the_last_logits_alone_is_refused_and_can_be_called_another_way(tokenizer):
    module = Bigrams(tokenizer.size, last=True)
    with pytest.raises(UsageError, match=r"\(2, 1, \d+\).*expected logits \(batch, positions, vocabulary\)"):
        LiveEngine(module, tokenizer, name="m", positions=CONTEXT)
    LiveEngine(module, tokenizer, name="m", positions=CONTEXT, logits=lambda module, tokens: module.table(tokens))


def test_a_network_that_sees_later_tokens_is_refused(tokenizer):
    with pytest.raises(UsageError, match="sees later tokens"):
        LiveEngine(
            Bigrams(tokenizer.size), tokenizer, name="m", positions=CONTEXT,
            logits=lambda module, tokens: module.table(tokens) + module.table(tokens).mean(1, keepdim=True),
        )  # fmt: skip


def test_a_module_that_does_not_know_the_tokenizers_ids_is_refused(tokenizer):
    with pytest.raises(UsageError, match="the tokenizer has 280 tokens, the module's logits cover only 5"):
        LiveEngine(Bigrams(5), tokenizer, name="m", positions=CONTEXT)
    with pytest.raises(UsageError, match=r"Bigrams cannot be called with tokens .* index out of range"):
        LiveEngine(Bigrams(5), encoder_of(Characters("abcdef"), end_of_text=5), name="m", positions=CONTEXT)


def test_the_context_is_asked_for_where_the_module_does_not_say(gpt2):
    assert positions_of(gpt2, given=None) == CONTEXT
    assert positions_of(Bigrams(), given=None) == 8
    assert positions_of(Bigrams(), given=5) == 5
    with pytest.raises(UsageError, match="context_length=NUMBER"):
        positions_of(nn.Linear(2, 2), given=None)


def test_a_tokenizer_of_ones_own_scores_as_its_table_says():
    encoder = encoder_of(Characters("abcdef"), end_of_text=5)
    assert encoder.begin is None and isinstance(encoder, PlainEncoder)
    module = Bigrams(6)
    engine = LiveEngine(module, encoder, name="m", positions=8)
    [(_, response)] = engine.loglikelihood([asked(encoder, context="abc", continuation="de")])
    table = module.table.weight.detach().log_softmax(1)
    assert response.loglikelihood == pytest.approx(float(table[2, 3] + table[3, 4]), abs=1e-5)
    assert encoder.offsets("abc") == [(0, 1), (1, 2), (2, 3)]


def test_tokenizers_of_the_field_give_the_same_ids_and_stay_as_they_are(tokenizer, tmp_path):
    tokenizer.save(tmp_path, context=CONTEXT)
    fast = transformers.AutoTokenizer.from_pretrained(tmp_path)
    fast.backend_tokenizer.enable_truncation(4)
    encoder = encoder_of(fast)
    text = "the cat sat on a mat"
    assert encoder.encode(text) == tokenizer.encode(text) == encoder_of(tmp_path).encode(text)
    assert fast.backend_tokenizer.truncation is not None
    assert encoder.end_of_text == tokenizer.end_of_text


@pytest.mark.parametrize(
    ("wrong", "message"),
    [(3, "int cannot be used"), (Characters("ab"), "give end_of_text=ID")],
)
def test_what_is_no_tokenizer_is_refused(wrong, message):
    with pytest.raises(UsageError, match=message):
        encoder_of(wrong)
