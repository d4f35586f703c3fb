r"""WikiText-103: perplexity of whole Wikipedia pages.

Paper: Merity et al. 2016, "Pointer Sentinel Mixture Models", https://arxiv.org/abs/1609.07843.
Splits: the test split, the 62 pages of WikiText-2's but with the vocabulary of a hundred million words: fewer
words are <unk>. There are no shots. A document is a page, named by its position.
Read, counted and de-tokenised as WikiText-2: 245,569 words with ends of line.

    document  {"page": " = Robert Boulter = \n \n Robert Boulter is an English film , television ..."}
    prompt    (nothing)
    target     = Robert Boulter = \n\nRobert Boulter is an English film, television ...
"""

from __future__ import annotations

from evalkit.data.formats import read_pages
from evalkit.data.sources import BenchmarkSource, Hub, released
from evalkit.harness.perplexity import WORDS, rolling, whole_text
from evalkit.harness.task import Task
from evalkit.text import detokenize

TASKS = (
    Task(
        name="wikitext103",
        family="lm",
        title="perplexity of Wikipedia pages, fewer unknown words (Merity et al. 2016)",
        licence="CC BY-SA 3.0 and GFDL (Wikipedia)",
        source=BenchmarkSource(
            name="wikitext103",
            hub=Hub(id="EleutherAI/wikitext_document_level", config="wikitext-103-raw-v1", splits={"test": "test"}),
            releases=released("wikitext-103/wiki.test.tokens", read=read_pages),
            samples=released("wikitext-103/wiki.test.restored.txt", read=read_pages),
        ),
        to_example=whole_text("page", detokenize.wikitext),
        protocols={
            "gpt2": rolling(*WORDS),
            "lm-eval": rolling("ppl_word_lm_eval", "bits_per_byte"),
        },
    ),
)
