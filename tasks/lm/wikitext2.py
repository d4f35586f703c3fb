r"""WikiText-2: perplexity of whole Wikipedia pages.

Paper: Merity et al. 2016, "Pointer Sentinel Mixture Models", https://arxiv.org/abs/1609.07843.
Splits: the test split, 62 pages. There are no shots.
A document is a page, named by its position. The release file is tokenised and has <unk> for rare words, as in the
results that papers report; the hub's pages are tokenised too but keep the rare words, so its perplexity is another one.
The model reads de-tokenised text, which can be turned back into the page (evalkit.text.detokenize); words, bytes and
characters are counted on the page as released (GPT-2, section 3.1): 245,569 words over the release's test split, one
per end of line included. lm-evaluation-harness counts pieces of a split at white space, fewer words, so its perplexity
of the same likelihood is higher; its de-tokeniser is another one too, so this protocol `lm-eval` has its unit alone.

    document  {"page": " = Robert <unk> = \n \n Robert <unk> is an English film , television and theatre actor . ..."}
    prompt    (nothing)
    target     = Robert <unk> = \n\nRobert <unk> is an English film, television and theatre actor. ...
"""

from __future__ import annotations

from evalkit.data.formats import read_pages
from evalkit.data.sources import BenchmarkSource, Hub, released
from evalkit.harness.perplexity import WORDS, rolling, whole_text
from evalkit.harness.task import Task
from evalkit.text import detokenize

TASKS = (
    Task(
        name="wikitext2",
        family="lm",
        title="perplexity of Wikipedia pages (Merity et al. 2016)",
        licence="CC BY-SA 3.0 and GFDL (Wikipedia)",
        source=BenchmarkSource(
            name="wikitext2",
            hub=Hub(id="EleutherAI/wikitext_document_level", config="wikitext-2-raw-v1", splits={"test": "test"}),
            releases=released("wikitext-2/wiki.test.tokens", read=read_pages),
            samples=released("wikitext-2/test.txt", read=read_pages),
        ),
        to_example=whole_text("page", detokenize.wikitext),
        protocols={
            "gpt2": rolling(*WORDS),
            "lm-eval": rolling("ppl_word_lm_eval", "bits_per_byte"),
        },
        version=2,
    ),
)
