"""Signatures: one line that is read as it was written, whatever a name holds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from evalkit.runs.signature import Signature

NAMES = st.text(st.characters(codec="utf-8", exclude_characters=":|\\"), min_size=1)


def test_a_signature_is_split_into_fields_and_the_metrics_rule():
    text = "task:t.v2|protocol:gpt3|shots:4|model:m:x@1|dtype:f|evalkit:0.1.0|norm:a|refs:max"
    signature = Signature.parse(text)
    assert signature.fields == {
        "task": "t.v2", "protocol": "gpt3", "shots": "4", "model": "m:x@1", "dtype": "f", "evalkit": "0.1.0"
    }  # fmt: skip
    assert signature.rule == "norm:a|refs:max" and str(signature) == text


def test_a_bar_in_a_models_name_does_not_end_its_field():
    signature = Signature({"model": "a|b:c\\@1", "evalkit": "0.1.0"}, "norm:x")
    assert Signature.parse(str(signature)) == signature


@given(st.dictionaries(NAMES.filter(lambda name: name != "evalkit"), st.text()), st.text(), st.text())
def test_whatever_is_written_is_read(fields, version, rule):
    signature = Signature({**fields, "evalkit": version}, rule)
    assert Signature.parse(str(signature)) == signature


def test_other_texts_have_no_rule():
    assert Signature.parse("lm-eval|task:arc") == Signature({"lm-eval": "", "task": "arc"}, "")
    assert Signature.parse("") == Signature({})
