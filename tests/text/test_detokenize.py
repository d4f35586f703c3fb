from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.text.detokenize import wikitext


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (" He had a guest @-@ starring role . ", "He had a guest-starring role."),
        (" About 1 @,@ 250 @,@ 000 at 2 @.@ 5 % each ", "About 1,250,000 at 2.5% each"),
        (
            " a film , television ( and theatre ) actor ; see [ 1 ] : yes ! no ? ",
            "a film, television (and theatre) actor; see [1]: yes! no?",
        ),
        (" born in 1932 @,@ ", "born in 1932,"),
        (' as " Craig " in " Teddy \'s Story " . ', 'as "Craig" in "Teddy\'s Story".'),
        (" He didn 't say they 'd go to K 'awiil . ", "He didn't say they'd go to K'awiil."),
        (" the Dodgers ' farm system ", "the Dodgers' farm system"),
        (" a ' Harvey ' torpedo ", "a 'Harvey' torpedo"),
        (" from 2000 – 2005 – a long time ", "from 2000–2005 – a long time"),
        (" worth US $ 15 @.@ 2 million ( £ 9 million ) ", "worth US$15.2 million (£9 million)"),
        (" at 12 : 00 and 185 km / h ( 9 / 11 ) , 21 ° C ", "at 12:00 and 185 km/h (9/11), 21° C"),
        (" <unk> 's work ", "<unk>'s work"),
        (' an odd " mark ', 'an odd " mark'),
        (" = = Career = = ", " = = Career = = "),
        (" = Robert <unk> = ", " = Robert <unk> = "),
        ("", ""),
        (" \n one \n \n two \n", "\none\n\ntwo\n"),
    ],
)
def test_rules(raw: str, expected: str) -> None:
    assert wikitext(raw) == expected


def _signs(text: str) -> str:
    return "".join(re.sub(r"@([-,.])@", r"\1", text).split())


@settings(deadline=None, derandomize=True, max_examples=300)
@given(st.lists(st.sampled_from([*"ab1.,:;!?()[]%$'\"–/°=", "'s", "as", "<unk>", "@-@", "@,@", "\n"])))
def test_only_blanks_and_joiners_go(tokens: list[str]) -> None:
    text = " ".join(tokens)
    assert _signs(wikitext(text)) == _signs(text)
    assert wikitext(text).count("\n") == text.count("\n")


def test_real_pages_lose_no_sign_and_keep_few_loose_marks(data_dir: Path) -> None:
    text = (data_dir / "wikitext-2" / "valid.txt").read_text(encoding="utf-8")
    natural = wikitext(text)
    assert _signs(natural) == _signs(text)
    body = [line for line in natural.splitlines() if not line.lstrip().startswith("=")]
    loose = sum(word in {",", ".", "(", ")", ";", '"', "'", "%"} for line in body for word in line.split())
    before = sum(word in {",", ".", "(", ")", ";", '"', "'", "%"} for word in text.split())
    assert before > 20_000
    assert loose < before / 500
