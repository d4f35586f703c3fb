"""The BPEs of GPT-1 and GPT-2 on their real vocabularies, against transformers; bytes survive any text."""

from __future__ import annotations

import json
import shutil
from itertools import chain

import pytest
import regex
import tokenizers
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import models, pre_tokenizers

from evalkit.errors import CheckpointError, UnknownTextError
from evalkit.model.folder import content_hash
from evalkit.tokenizer import Tokenizer, _no_panic
from evalkit.tokenizer.files import END_OF_TEXT

FILES = {
    "gpt1": ("gpt1-bpe", "encoder_bpe_40000.json", "vocab_40000.bpe", transformers.OpenAIGPTTokenizer, 40478),
    "gpt2": ("gpt2-bpe", "encoder.json", "vocab.bpe", transformers.GPT2TokenizerFast, 50257),
}
ODD = [
    "", " ", "  two  spaces ", "\n\nnew lines\r\n\ttabs", "L'ÉLÈVE à Zürich", "e\u0301 combining", "日本語 漢字",
    "🙂 emoji \U0001f469\u200d\U0001f467", "it's they're don't 'twas", "3.14 1,000,000 $5 50% #tag @name",
    "a\u00a0b\u200bc\ufeffd", "<unk> <|endoftext|> </w>", "«guillemets» — dash… “quotes”", "ﬁ ligature ½ ²",
    "\x00\x01 control", "ALL CAPS iPhone", "https://example.org/a?b=c&d",
]  # fmt: skip


@pytest.fixture(params=FILES)
def pair(request, data_dir, tmp_path):
    """Ours from OpenAI's files, ours from transformers' names, theirs."""
    folder, vocab, merges, kind, size = FILES[request.param]
    first = shutil.copy(data_dir / folder / vocab, tmp_path / "vocab.json")
    second = shutil.copy(data_dir / folder / merges, tmp_path / "merges.txt")
    theirs = kind.from_pretrained(tmp_path)
    assert theirs.vocab_size == size
    assert json.loads(first.read_text(encoding="utf-8")) == theirs.get_vocab() and second.is_file()
    return Tokenizer.load(data_dir / folder), Tokenizer.load(tmp_path), theirs


@pytest.fixture(scope="module")
def texts(data_dir):
    """ODD and 300 real passages."""
    with (data_dir / "lambada" / "lambada_test.jsonl").open(encoding="utf-8") as file:
        return ODD + [json.loads(line)["text"] for line, _ in zip(file, range(300), strict=False)]


def test_ids_and_texts_are_those_of_transformers(pair, texts):
    ours, renamed, theirs = pair
    encoded = ours.encode_batch(texts)
    assert encoded == renamed.encode_batch(texts) == theirs(texts, add_special_tokens=False)["input_ids"]
    assert sum(map(len, encoded)) > 20_000
    for ids in encoded:
        assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)


def test_a_saved_tokenizer_is_the_same_in_transformers(pair, texts, tmp_path):
    ours, _, theirs = pair
    (tmp_path / "saved").mkdir()
    ours.save(tmp_path / "saved", context=512)
    expected = ours.encode_batch(texts)
    assert Tokenizer.load(tmp_path / "saved").encode_batch(texts) == expected
    again = type(theirs).from_pretrained(tmp_path / "saved")
    assert again(texts, add_special_tokens=False)["input_ids"] == expected
    assert (ours.size, ours.content_hash()) == (theirs.vocab_size, Tokenizer.load(tmp_path / "saved").content_hash())


def test_gpt1_lower_cases_and_separates_by_its_unknown_token(data_dir):
    tokenizer = Tokenizer.load(data_dir / "gpt1-bpe")
    assert (tokenizer.size, tokenizer.end_of_text) == (40478, 0)
    assert tokenizer.encode("The Élève\n  said:") == tokenizer.encode("the eleve said :")
    assert tokenizer.decode(tokenizer.encode("The cat said: no!")) == "the cat said : no !"
    text = "The CAT sat"
    assert [text[start:end] for start, end in tokenizer.offsets(text)] == ["The", "CAT", "sat"]


def test_gpt2_has_its_published_ids(data_dir):
    tokenizer = Tokenizer.load(data_dir / "gpt2-bpe")
    assert (tokenizer.size, tokenizer.end_of_text) == (50257, 50256)
    assert tokenizer.encode("Hello world") == [15496, 995]


@pytest.fixture(scope="module")
def small():
    return Tokenizer.train(["a small text, read twice " * 3], vocab_size=280)


@settings(max_examples=300, deadline=None)
@given(text=st.text())
def test_byte_level_bpe_reads_back_what_it_wrote(small, text):
    if END_OF_TEXT not in text:
        assert small.decode(small.encode(text)) == text


def test_gpt2s_own_bytes_read_back_too(data_dir, texts):
    tokenizer = Tokenizer.load(data_dir / "gpt2-bpe")
    for text in texts:
        if END_OF_TEXT not in text:
            assert tokenizer.decode(tokenizer.encode(text)) == text


def test_a_vocabulary_that_is_no_json_is_named(tmp_path):
    (tmp_path / "vocab.json").write_text("{")
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    with pytest.raises(CheckpointError, match=r"vocab\.json line 1: not valid JSON"):
        Tokenizer.load(tmp_path)


def test_merges_do_not_cross_character_categories():
    """GPT-2's rule (Radford et al. 2019, section 2.2): a blank may open a token; letters, digits, signs part."""
    text = "dog. dog! dog? route66 route66 x=1; x=1; don't don't it's 2024-11-20 été, été!   tab\t\tend\n\n" * 50
    trained = Tokenizer.train([text], vocab_size=400)
    pieces = [trained.decode([i]) for i in trained.encode(text)]
    assert "".join(pieces) == text
    kinds = regex.compile(r" ?(\p{L}+|\p{N}+|[^\s\p{L}\p{N}]+)|'(s|t|re|ve|m|ll|d)|\s+")
    assert [piece for piece in set(pieces) if not kinds.fullmatch(piece)] == []
    assert any(len(piece) > 3 for piece in pieces)


def plain(tokenizer, texts):
    """What the library itself makes of whole texts."""
    return [tokenizer.encode(text) for text in texts]


ANY = st.sampled_from("a1'!. \n\t\r\x1c\x85\u00a0\u200b\u2028\u3000éÉ中🙂")


@settings(deadline=None)
@given(texts=st.lists(st.text(ANY, max_size=20), max_size=5))
def test_lines_encoded_apart_are_those_of_the_whole_text(small, texts):
    texts += [text + "\n" + other for text in texts for other in ("", "<|endoftext|>\n", " b")]
    assert small.encode_batch(texts) == plain(small, texts) == small.encode_batch(texts)


def test_lines_are_kept_only_so_long_as_there_is_room(small, monkeypatch):
    monkeypatch.setattr("evalkit.tokenizer._LINES", 3)
    texts = [f"line {i}\nline {j}\n{'long ' * 200}\n" for i in range(3) for j in range(3)]
    for text in texts:
        assert small.encode_batch([text]) == plain(small, [text])
        assert len(small._lines) <= 6
        assert max(map(len, small._lines)) < 20


def test_a_special_token_that_takes_in_the_newline_behind_it_is_respected(small):
    backend = tokenizers.Tokenizer.from_str(small._backend.to_str())
    backend.add_special_tokens([tokenizers.AddedToken("<turn>", rstrip=True)])
    greedy = Tokenizer(backend)
    texts = ["a<turn>\nb", "a\nb<turn> \n c"]
    assert greedy.encode_batch(texts) == plain(greedy, texts) != small.encode_batch(texts)


def test_stretches_are_encoded_as_the_whole_is(pair, texts):
    ours, _, _ = pair
    whole = "\n\n".join(texts) + "  \n \t\n" + " ".join(texts)
    for characters in (3, 100):
        stretches = list(ours.stretches(whole, characters=characters))
        assert "".join(stretches) == whole and len(stretches) > 200
        assert list(chain.from_iterable(ours.encode_batch(stretches))) == ours.encode(whole)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(st.text(st.sampled_from("ab'1,. \n\t\r\u00a0\u2003\x1c\x85é日!s"), max_size=30), st.integers(0, 5))
def test_no_cut_changes_an_encoding(text, characters):
    tokenizer = Tokenizer.train(["a b 's  ab 1 11 .. ,, a\n\nb !!\n\n é日"] * 3, vocab_size=290)
    stretches = list(tokenizer.stretches(text, characters=characters))
    assert "".join(stretches) == text
    assert [i for stretch in stretches for i in tokenizer.encode(stretch)] == tokenizer.encode(text)


def test_a_text_under_other_rules_is_not_cut():
    backend = tokenizers.Tokenizer(models.BPE(unk_token=END_OF_TEXT))
    backend.add_special_tokens([END_OF_TEXT])
    for rule in (pre_tokenizers.ByteLevel(add_prefix_space=True), pre_tokenizers.Metaspace(), None):
        if rule:
            backend.pre_tokenizer = rule
        assert list(Tokenizer(backend).stretches("one two three", characters=2)) == ["one two three"]


PAIR_TEXT = "hi <user> there, <user>you say hi\nthere user hi [PAD] <a b> hi<sys>  there 17"


@pytest.fixture
def pair_folder(tmp_path):
    """A vocabulary and its merges, as transformers writes them for GPT-2."""
    tokenizer = Tokenizer.train([PAIR_TEXT.replace("<", "").replace(">", "")] * 9, vocab_size=290)
    (tmp_path / "whole").mkdir()
    tokenizer.save(tmp_path / "whole", context=32)
    raw = json.loads((tmp_path / "whole" / "tokenizer.json").read_text())["model"]
    folder = tmp_path / "pair"
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps(raw["vocab"]))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(" ".join(pair) for pair in raw["merges"]))
    (folder / "config.json").write_text('{"model_type": "gpt2"}')
    return folder


def listed(content, **flags):
    plain = {"lstrip": False, "rstrip": False, "single_word": False, "normalized": False, "special": True}
    return {"content": content, **plain, **flags}


ADDITIONS = {
    "nothing": {},
    "added_tokens.json": {"added_tokens.json": {"<user>": 0, "<a b>": 1}},
    "special ones": {
        "added_tokens.json": {"<user>": 0, "<sys>": 1},
        "special_tokens_map.json": {"extra_special_tokens": ["<sys>"], "pad_token": "<user>"},
    },
    "special ones by their older name": {
        "added_tokens.json": {"<user>": 0, "<sys>": 1},
        "special_tokens_map.json": {"additional_special_tokens": ["<sys>", "there"]},
    },
    "flags in the map": {
        "added_tokens.json": {"<user>": 0},
        "special_tokens_map.json": {"bos_token": listed("hi", lstrip=True)},
    },
    "listed in the configuration": {
        "tokenizer_config.json": {
            "added_tokens_decoder": {
                "0": listed("<user>", lstrip=True),
                "1": listed("<sys>", rstrip=True),
                "2": listed("zq", single_word=True, special=False),
            },
        },
        "added_tokens.json": {"<a b>": 0},
    },
    "end of text among them": {
        "tokenizer_config.json": {
            "added_tokens_decoder": {"-1": listed(END_OF_TEXT), "0": listed("<user>", normalized=True)}
        }
    },
    "a space before": {"tokenizer_config.json": {"add_prefix_space": True}},
    "a word of the vocabulary": {"tokenizer_config.json": {"pad_token": "17"}},
}  # fmt: skip


def with_additions(folder, name):
    size = len(json.loads((folder / "vocab.json").read_text()))
    ids = {"-1": 0, "0": size, "1": size + 1, "2": size + 2}
    for file, content in ADDITIONS[name].items():
        if file == "added_tokens.json":
            content = {token: ids[str(number)] for token, number in content.items()}
        if "added_tokens_decoder" in content:
            by_id = {str(ids[key]): about for key, about in content["added_tokens_decoder"].items()}
            content = {**content, "added_tokens_decoder": by_id}
        (folder / file).write_text(json.dumps(content))


@pytest.mark.parametrize("name", ADDITIONS)
def test_added_tokens_are_read_as_by_transformers(name, pair_folder):
    with_additions(pair_folder, name)
    config = pair_folder / "tokenizer_config.json"
    raw = json.loads(config.read_text()) if config.is_file() else {}
    config.write_text(json.dumps({"tokenizer_class": "GPT2Tokenizer", **raw}))
    ours, theirs = Tokenizer.load(pair_folder), transformers.AutoTokenizer.from_pretrained(pair_folder)
    lines = [
        PAIR_TEXT,
        *PAIR_TEXT.split("\n"),
        f"hi{END_OF_TEXT}there",
        "<user><sys>",
        "a  <user>  b",
        "",
        "17 <a b>",
        "zq zqs zq",
    ]
    texts = [*lines, "\n".join(lines), " user ".join(lines), ("there <a b>" * 50 + "\n") * 30]
    expected = theirs(texts, add_special_tokens=False)["input_ids"]
    assert [ours.encode(text) for text in texts] == ours.encode_batch(texts) == expected
    for text, ids in zip(texts, expected, strict=True):
        assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        assert list(chain.from_iterable(ours.encode(part) for part in ours.stretches(text, characters=9))) == ids
    (pair_folder / "again").mkdir()
    ours.save(pair_folder / "again", context=32)
    assert Tokenizer.load(pair_folder / "again").encode_batch(texts) == expected


@pytest.mark.parametrize("name", [name for name in ADDITIONS if name != "nothing"])
def test_added_tokens_are_a_part_of_the_models_hash(name, pair_folder):
    (pair_folder / "model.safetensors").touch()
    before = content_hash(pair_folder)
    with_additions(pair_folder, name)
    assert content_hash(pair_folder) != before


def test_the_usual_special_tokens_leave_the_hash_as_it_was(pair_folder):
    (pair_folder / "model.safetensors").touch()
    before = content_hash(pair_folder)
    usual = {"bos_token": END_OF_TEXT, "eos_token": listed(END_OF_TEXT), "unk_token": END_OF_TEXT}
    (pair_folder / "special_tokens_map.json").write_text(json.dumps(usual))
    (pair_folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 1024}))
    assert content_hash(pair_folder) == before


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("added_tokens.json", {"<user>": 9999}, "'<user>' should have the id 9999, but the vocabulary gives it [0-9]+"),
        ("added_tokens.json", {"<user>": "x"}, "cannot be read: invalid literal"),
        ("added_tokens.json", ["<user>"], "added_tokens.json: expected a JSON object, found list"),
        ("tokenizer_config.json", {"added_tokens_decoder": {"290": {"no": 1}}}, "cannot be read: 'content'"),
        ("tokenizer_config.json", {"added_tokens_decoder": 3}, "cannot be read"),
        ("special_tokens_map.json", {"pad_token": 3}, "cannot be read"),
    ],
)
def test_broken_additions_are_named(file, content, message, pair_folder):
    (pair_folder / file).write_text(json.dumps(content))
    (pair_folder / "model.safetensors").touch()
    with pytest.raises(CheckpointError, match=message):
        Tokenizer.load(pair_folder)
    if "should have" not in message:
        with pytest.raises(CheckpointError, match=message):
            content_hash(pair_folder)


@pytest.mark.parametrize("pattern", ["(a+)+$", r"(\w+\s?)+$X", "(.*)*$Y"])
def test_a_pattern_that_may_never_end_is_refused(pattern, tmp_path):
    Tokenizer.train(["some words"] * 9, vocab_size=270).save(tmp_path, context=8)
    path = tmp_path / "tokenizer.json"
    raw = json.loads(path.read_text())
    raw["pre_tokenizer"] = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    path.write_text(json.dumps(raw))
    with pytest.raises(CheckpointError, match="repeats a repetition"):
        Tokenizer.load(tmp_path)


def test_a_panic_is_an_error_of_the_checkpoint():
    class PanicException(BaseException):
        pass

    with pytest.raises(CheckpointError, match="the tokenizer fails: index out of bounds"), _no_panic():
        raise PanicException("index out of bounds")


def _split(pattern):
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def _replace(text, content):
    return {"type": "Replace", "pattern": {"String": text}, "content": content}


_BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}


@pytest.mark.parametrize(
    ("part", "rule", "message"),
    [
        ("pre_tokenizer", _split("(a|aa)+$"), "may never end: for 'aaaa"),
        ("pre_tokenizer", _split(r"(\w|\d)+\z"), "may never end: for '1111"),
        ("pre_tokenizer", _split("(é|éé)+x"), "may never end"),
        ("pre_tokenizer", _split(r"(.|..)+\z"), "may never end"),
        ("normalizer", _replace("a", "") | {"pattern": {"Regex": "(ab|abab)+$"}}, "may never end: for 'abab"),
        ("normalizer", {"type": "Sequence", "normalizers": [_replace("a", "aa")] * 40}, "1,000 times as long"),
        ("normalizer", {"type": "Sequence", "normalizers": [_replace("", "ab")] * 40}, "1,000 times as long"),
        ("normalizer", {"type": "Prepend", "prepend": "a" * 2000}, "2,000 characters before every text"),
        ("pre_tokenizer", {"type": "Sequence", "pretokenizers": [_BYTES] * 6}, "1,000 times as long"),
        ("decoder", {"type": "Sequence", "decoders": [_replace("a", "a" * 50)] * 2}, "1,000 times as long"),
    ],
)
def test_rules_that_lengthen_texts_or_never_end_are_refused(part, rule, message, tmp_path):
    Tokenizer.train(["some words"] * 9, vocab_size=270).save(tmp_path, context=8)
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {part: rule}))
    with pytest.raises(CheckpointError, match=message):
        Tokenizer.load(tmp_path)


_CL100K = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
    r"\s+(?!\S)|\s+"
)
_LLAMA = [{"type": "Prepend", "prepend": "▁"}, _replace(" ", "▁")]
_ALBERT = [_replace("``", '"'), {"type": "NFKD"}, {"type": "StripAccents"}, {"type": "Lowercase"},
           _replace("", " ") | {"pattern": {"Regex": " {2,}"}}]  # fmt: skip


@pytest.mark.parametrize(
    ("part", "rule"),
    [
        ("pre_tokenizer", {"type": "Sequence", "pretokenizers": [_split(_CL100K), _BYTES]}),
        ("normalizer", {"type": "Sequence", "normalizers": _LLAMA}),
        ("normalizer", {"type": "Sequence", "normalizers": _ALBERT}),
    ],
)
def test_rules_of_usual_tokenizers_are_read(part, rule, tmp_path):
    Tokenizer.train(["some words"] * 9, vocab_size=270).save(tmp_path, context=8)
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {part: rule}))
    assert Tokenizer.load(tmp_path).size > 256


def test_a_tokenizer_that_fails_is_named(tmp_path):
    Tokenizer.train(["some words"] * 9, vocab_size=270).save(tmp_path, context=8)
    tokenizer = Tokenizer.load(tmp_path)
    message = f"the tokenizer in {tmp_path} fails: index out of bounds"
    with pytest.raises(CheckpointError, match=message), _no_panic(tokenizer._name):
        raise Exception("index out of bounds")


def test_half_of_a_surrogate_pair_is_an_unknown_character(small):
    """JSON can hold one; it makes a failed item, not a failed task."""
    for texts in (["a \ud800"], ["b " * 3000, "a \ud800"]):
        with pytest.raises(UnknownTextError, match=r"has no token for '\\ud800'"):
            small.encode_batch(texts)
