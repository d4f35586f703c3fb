"""Small tokenizers like those of today's models: encodings, and the tokens around texts, as in transformers."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import tokenizers
import torch
import transformers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from evalkit.engine import hf
from evalkit.engine.open import load_engine, open_model
from evalkit.errors import CheckpointError
from evalkit.model import weights
from evalkit.tokenizer import Tokenizer
from evalkit.types import Decoding, Request
from tests.engine.responses import same_texts

TEXTS = [
    "the cat sat on a mat",
    " the dog",
    "",
    "a",
    "été 漢字 🙂\n\n\tend  ",
    "12345 <s> cats</s>",
    "the  dog's\r\n mat ",
]
READ = ["the cat sat on a mat and the dog ran home, été 漢字 " * 4]
CONTEXT = 40


def trained(backend, special, **options):
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=special, show_progress=False, **options)
    backend.train_from_iterator(READ, trainer)
    return backend


def begun(backend, token):
    """Put a token before every text."""
    ids = [(token, backend.token_to_id(token))]
    backend.post_processor = processors.TemplateProcessing(single=f"{token} $A", special_tokens=ids)
    return backend


def sentencepiece(*, metaspace):
    """Llama 2's, as converted from sentencepiece: a space before the text, unknown characters as bytes."""
    backend = tokenizers.Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    if metaspace:
        backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    else:
        backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    kept = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    trained(backend, ["<unk>", "<s>", "</s>", *bytes_])
    backend.decoder = decoders.Sequence(kept)
    raw = json.loads(backend.to_str())
    raw["added_tokens"] = raw["added_tokens"][:3]  # the bytes are ordinary tokens
    return begun(tokenizers.Tokenizer.from_str(json.dumps(raw)), "<s>")


def byte_level(special, *, normalizer=None):
    """Llama 3's and Qwen's: another splitting than GPT-2's, then bytes."""
    backend = tokenizers.Tokenizer(models.BPE())
    if normalizer:
        backend.normalizer = normalizer
    digits = pre_tokenizers.Split(tokenizers.Regex(r"\d{1,3}| ?\p{L}+|\s+|[^\s\p{L}\d]+"), "isolated")
    backend.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(False, use_regex=False)])
    backend.decoder = decoders.ByteLevel()
    return trained(backend, special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())


FAST = {"tokenizer_class": "PreTrainedTokenizerFast"}
LLAMA2 = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
LLAMA3 = {**FAST, "bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>"}
# Name -> how it is made, its tokenizer_config.json, its first token, its end of text.
KINDS = {
    "llama 2": (lambda: sentencepiece(metaspace=False), {**FAST, **LLAMA2}, "<s>", "</s>"),
    "llama 2, class and settings": (
        lambda: sentencepiece(metaspace=True),
        {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True, "add_eos_token": False, **LLAMA2}, "<s>", "</s>",
    ),
    "metaspace": (lambda: sentencepiece(metaspace=True), {**FAST, **LLAMA2}, "<s>", "</s>"),
    "settings that tokenizer.json overrules": (
        lambda: sentencepiece(metaspace=True), {**FAST, **LLAMA2, "add_bos_token": False}, "<s>", "</s>",
    ),
    "llama 3": (
        lambda: begun(byte_level(["<|begin_of_text|>", "<|end_of_text|>"]), "<|begin_of_text|>"), LLAMA3,
        "<|begin_of_text|>", "<|end_of_text|>",
    ),
    "no beginning": (
        lambda: byte_level(["<|begin_of_text|>", "<|end_of_text|>"]), {**LLAMA3, "add_bos_token": True}, None,
        "<|end_of_text|>",
    ),
    "qwen": (
        lambda: byte_level(["<|endoftext|>", "<|im_end|>"], normalizer=normalizers.NFC()),
        {**FAST, "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}, None, "<|im_end|>",
    ),
    "smollm 2": (
        lambda: byte_level(["<|endoftext|>", "<|im_start|>", "<|im_end|>"]),
        {**FAST, "bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}, None, "<|endoftext|>",
    ),
}  # fmt: skip


def save(name, folder):
    make, settings, _, _ = KINDS[name]
    make().save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def alike(ours, theirs, texts=TEXTS):
    begin = [] if ours.begin is None else [ours.begin]
    assert (ours.begin, ours.end_of_text) == (theirs.bos_token_id if begin else None, theirs.eos_token_id)
    for text in texts:
        assert begin + ours.encode(text) == theirs(text)["input_ids"]
        assert ours.encode(text) == theirs(text, add_special_tokens=False)["input_ids"]
    assert ours.encode_batch(texts) == [ours.encode(text) for text in texts]


@pytest.mark.parametrize("name", KINDS)
def test_encodings_and_their_beginning_are_those_of_transformers(name, tmp_path):
    save(name, tmp_path)
    _, _, begin, end = KINDS[name]
    ours, theirs = Tokenizer.load(tmp_path), transformers.AutoTokenizer.from_pretrained(tmp_path)
    alike(ours, theirs)
    assert ours.begin == (theirs.convert_tokens_to_ids(begin) if begin else None)
    assert (ours.end_of_text, ours.bos) == (theirs.convert_tokens_to_ids(end), theirs.bos_token_id)
    for text in TEXTS[:2]:
        assert ours.decode(ours.encode(text)) == theirs.decode(theirs(text)["input_ids"], skip_special_tokens=True)


@pytest.mark.parametrize("name", KINDS)
def test_saved_again_it_is_the_same_in_transformers(name, tmp_path):
    save(name, tmp_path)
    ours = Tokenizer.load(tmp_path)
    (tmp_path / "again").mkdir()
    ours.save(tmp_path / "again", context=CONTEXT)
    alike(ours, transformers.AutoTokenizer.from_pretrained(tmp_path / "again"))
    again = Tokenizer.load(tmp_path / "again")
    assert (again.begin, again.end_of_text) == (ours.begin, ours.end_of_text)


def test_a_text_that_is_unknown_has_no_beginning():
    backend = tokenizers.Tokenizer(models.WordLevel({"<s>": 0, "cat": 1}, unk_token="<s>"))
    assert backend.encode("a").ids == [0] and Tokenizer(backend, end_of_text="<s>", begin="<s>").begin is None
    assert Tokenizer(begun(backend, "<s>"), end_of_text="<s>", begin="<s>").begin == 0


def test_opts_pair_of_files_begins_texts_by_its_settings(tmp_path):
    Tokenizer.train(READ, vocab_size=300)._backend.model.save(str(tmp_path))
    vocabulary = json.loads((tmp_path / "vocab.json").read_text())
    (tmp_path / "vocab.json").write_text(json.dumps({**vocabulary, "</s>": len(vocabulary)}))
    settings = {"tokenizer_class": "GPT2Tokenizer", "add_bos_token": True}
    settings |= dict.fromkeys(("bos_token", "eos_token", "unk_token"), "</s>")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    ours = Tokenizer.load(tmp_path)
    alike(ours, transformers.AutoTokenizer.from_pretrained(tmp_path), texts=["the cat", " sat 12", ""])
    assert ours.begin == ours.end_of_text == len(vocabulary) and ours.highest == len(vocabulary)


def model(folder, name, *, kind="llama"):
    """Save a small model with a tokenizer of one of these kinds."""
    save(name, folder)
    size, end = Tokenizer.load(folder).size, Tokenizer.load(folder).end_of_text
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(
        kind, vocab_size=size, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=CONTEXT, initializer_range=0.3, bos_token_id=None,
        eos_token_id=end, pad_token_id=None,
    )  # fmt: skip
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    save(name, folder)
    return folder


def answers(engine, kind, asked):
    return [response for _, response in sorted(getattr(engine, kind)(asked), key=lambda pair: pair[0])]


@pytest.mark.parametrize("name", KINDS)
def test_both_engines_answer_alike(name, tmp_path):
    """Contexts begin where they should, none, short or too long; documents longer than the context; generated texts."""
    folder = model(tmp_path, name)
    ours, theirs = load_engine(str(folder), dtype="fp32"), hf.load(folder, name="theirs")
    assert ours.context_length == theirs.context_length == CONTEXT - (ours.tokenizer.begin is not None)
    contexts = [ours.tokenizer.encode(text) or [ours.tokenizer.end_of_text] for text in [*TEXTS, READ[0]]]
    for kind in ("loglikelihood", "loglikelihood_rolling", "generate_until"):
        asked = [
            Request(
                kind=kind, task="t", doc_id=str(i), context_ids=() if "rolling" in kind else tuple(context[:30]),
                continuation_ids=() if "until" in kind else tuple(contexts[(i + 1) % len(contexts)][:20]),
                decoding=Decoding(until=("at",), max_tokens=8),
            )
            for i, context in enumerate(contexts)
        ]  # fmt: skip
        found, expected = answers(ours, kind, asked), answers(theirs, kind, asked)
        if kind == "generate_until":
            same_texts(found, expected)
        for one, other in zip(found, expected, strict=True):
            assert one.loglikelihood == pytest.approx(other.loglikelihood, abs=1e-3)


def edit(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_generation_ends_where_either_file_says(tmp_path):
    folder = model(tmp_path, "llama 3")
    assert load_engine(str(folder))._ends == hf.load(folder, name="x")._ends == {1}
    before = weights.content_hash(folder)
    edit(folder / "generation_config.json", eos_token_id=[1, 40])
    assert load_engine(str(folder))._ends == hf.load(folder, name="x")._ends == {1, 40}
    assert weights.content_hash(folder) != before
    (folder / "generation_config.json").unlink()
    edit(folder / "config.json", eos_token_id=[1, 41, 42])
    assert load_engine(str(folder))._ends == hf.load(folder, name="x")._ends == {1, 41, 42}
    edit(folder / "config.json", eos_token_id="</s>")
    with pytest.raises(
        CheckpointError, match=r'config\.json: eos_token_id is "</s>"; it must be a whole number or a list'
    ):
        load_engine(str(folder))


@pytest.mark.parametrize(
    "changes", [{"bos_token": None}, {"bos_token": "<|end_of_text|>"}, {"eos_token": "<|begin_of_text|>"}]
)
def test_what_changes_the_beginning_or_the_end_changes_the_hash(changes, tmp_path):
    folder = model(tmp_path, "llama 3")
    before = weights.content_hash(folder)
    edit(folder / "tokenizer_config.json", **changes)
    assert weights.content_hash(folder) != before


def test_a_run_whose_answers_are_all_cached_needs_no_torch(tmp_path, monkeypatch):
    monkeypatch.setenv("EVALKIT_CACHE", str(tmp_path / "cache"))
    folder = model(tmp_path, "llama 3")
    command = ["run", "--model", str(folder), "--tasks", "world_lm", "--limit", "2", "--out"]
    program = (
        "import sys; from evalkit.cli import main\ncode = main(sys.argv[1:]); sys.exit(code or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program, *command, str(tmp_path / "first")]).returncode == 1
    subprocess.run([sys.executable, "-c", program, *command, str(tmp_path / "second")], check=True)
    assert open_model(str(folder)).engine(None).context_length == CONTEXT - 1
    first, second = ((tmp_path / name / "results.json").read_bytes() for name in ("first", "second"))
    assert first == second
