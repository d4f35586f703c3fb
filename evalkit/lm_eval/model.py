"""The model `evalkit` of lm-evaluation-harness: its requests, answered by evalkit's engines.

    python -m evalkit.lm_eval.model run --model evalkit --model_args pretrained=CKPT --tasks ...

is lm-evaluation-harness's own command line with this model added. The entry point (group lm_eval.models) does the same
for programs that read it; lm_eval 0.4.13 does not. lm_eval is imported when EvalkitLM is first used.
"""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from evalkit.engine.base import ask
from evalkit.engine.open import load_engine
from evalkit.errors import PromptTooLongError, UsageError, program
from evalkit.files import canonical_json, digest
from evalkit.harness.requests import Encoded, encode, with_empty_context
from evalkit.lm_eval.tasks.keys import Keys
from evalkit.lm_eval.tasks.taskfile import LENGTHS, decoding_of
from evalkit.model.precision import short_dtype
from evalkit.progress import progress
from evalkit.types import Decoding, Request, RequestKind, Response

log = logging.getLogger(__name__)

_TARGET = "evalkit.lm_eval.model:EvalkitLM"

_GREEDY = Decoding()
# Generation settings that are read, and those whose default changes nothing.
_READ = {"until", "do_sample", "temperature", "top_k", "top_p", *LENGTHS}
_NEUTRAL: Mapping[str, Any] = {"num_beams": 1, "repetition_penalty": 1.0, "use_cache": True}


class EngineModel:
    """lm-evaluation-harness's interface of a model, without its base class.

    pretrained: as `evalkit run --model`: a checkpoint folder, a name, or hf:FOLDER for transformers' models.
    tokenizer: for a checkpoint that has none. dtype: fp32, bf16, fp16 or torch's names; auto is the default.
    batch_tokens: chosen automatically by default; batch_size and max_batch_size, which the command line always passes,
    have no effect. seed: of sampling.

    Raises UsageError for anything that is not allowed, CheckpointError for a model that cannot be read.
    """

    def __init__(
        self,
        pretrained: str = "",
        *,
        tokenizer: str | None = None,
        dtype: str | None = None,
        device: str | None = None,
        batch_tokens: int | None = None,
        batch_size: object = None,
        max_batch_size: object = None,
        seed: int = 0,
        **unknown: object,
    ):
        super().__init__()
        if unknown:
            allowed = "pretrained, tokenizer, dtype, device, batch_tokens, seed"
            raise UsageError(f"model_args: {', '.join(unknown)}: not known to the model evalkit (allowed: {allowed})")
        if not pretrained:
            raise UsageError("model_args: pretrained is missing, for example pretrained=nano")
        engine_dtype = None if dtype in (None, "auto") else short_dtype(str(dtype))
        self.engine = load_engine(
            str(pretrained), dtype=engine_dtype, device=_device(device), batch_tokens=batch_tokens, tokenizer=tokenizer
        )
        self._encoder = with_empty_context(self.engine.tokenizer, "begin")
        self._seed = seed

    @property
    def max_length(self) -> int:
        """The most tokens that a prompt may have, including those scored or generated after it."""
        return self.engine.context_length

    @property
    def eot_token_id(self) -> int:
        """The end-of-text token."""
        return self.engine.tokenizer.end_of_text

    @property
    def prefix_token_id(self) -> int:
        """The token that stands for an empty context: the beginning of a sequence, where the tokenizer names it."""
        return self._encoder.end_of_text

    @property
    def tokenizer_name(self) -> str:
        """The name that lm-evaluation-harness keys cached prompts by."""
        return f"evalkit-{self.engine.tokenizer.content_hash()}"

    def get_model_info(self) -> dict[str, Any]:
        """Return the facts about the model that lm-evaluation-harness writes into its results."""
        signature = self.engine.signature()
        facts = {"model_dtype": signature["dtype"], "model_sha": signature["hash"], "model_revision": ""}
        return {"model_num_parameters": int(signature["parameters"]), **facts}

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """Refuse a chat template: prompts go to the model as tasks write them."""
        return _refuse_chat() if chat_template else None

    def apply_chat_template(self, chat_history: Sequence[Mapping[str, str]], add_generation_prompt: bool = True) -> str:
        """Refuse; see chat_template."""
        _refuse_chat()

    def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Return (log-likelihood, is greedy) of every continuation after its context."""
        pairs = [request.args for request in requests]
        encoded = [self._split(pair, ids) for pair, ids in zip(pairs, encode(pairs, self._encoder), strict=True)]
        ours = [_request("loglikelihood", r, ids) for r, ids in zip(requests, encoded, strict=True)]
        return self._answers(
            "loglikelihood", requests, ours, lambda response: (response.loglikelihood, response.is_greedy)
        )

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        """Return the log-likelihood of every text, in windows of the model's length."""
        texts = [request.args[0] for request in requests]
        ids = self.engine.tokenizer.encode_batch(texts)
        ours = [
            _request("loglikelihood_rolling", request, Encoded((self.prefix_token_id,), tuple(tokens)))
            for request, tokens in zip(requests, ids, strict=True)
        ]
        return self._answers("loglikelihood_rolling", requests, ours, lambda response: response.loglikelihood)

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """Return the text generated after every context, up to a stop; long contexts are cut on the left."""
        encoded = encode([(request.args[0], "") for request in requests], self.engine.tokenizer)
        before: Counter[str] = Counter()
        ours = []
        for request, ids in zip(requests, encoded, strict=True):
            decoding = _decoding(request)
            room = self.max_length - decoding.max_tokens
            if room < 1:
                raise PromptTooLongError(
                    f"{_where(request)}: {decoding.max_tokens} tokens are to be generated, the context holds "
                    f"{self.max_length}; --gen_kwargs max_gen_toks=N sets fewer"
                )
            # Each further sample of the same prompt uses other random numbers.
            words = canonical_json([self._seed, request.args[0], before[request.args[0]]])
            before[request.args[0]] += 1
            seeded = decoding if decoding.top_k == 1 else replace(decoding, seed=int(digest(words), 16))
            ours.append(_request("generate_until", request, Encoded(ids.context[-room:], ()), seeded))
        return self._answers("generate_until", requests, ours, lambda response: response.text)

    def _split(self, pair: tuple[str, str], ids: Encoded) -> Encoded:
        """Without a context, a text that starts with the token in its place is conditioned on that token."""
        alone = not pair[0] and ids.continuation[:1] == ids.context
        return Encoded(ids.context, ids.continuation[1:]) if alone else ids

    def _answers(
        self, kind: RequestKind, requests: Sequence[Any], ours: Sequence[Request], read: Callable[[Response], Any]
    ) -> list[Any]:
        """Ask the engine; pass each answer on to lm-evaluation-harness's cache as soon as it is there."""
        answers: list[Any] = [None] * len(ours)
        with progress(kind, total=len(ours), unit="requests") as bar:
            for place, response in ask(self.engine, kind, ours):
                if response.error:
                    raise PromptTooLongError(f"{_where(requests[place])}: {response.error}")
                answers[place] = read(response)
                self.cache_hook.add_partial(kind, requests[place].args, answers[place])  # type: ignore[attr-defined]
                bar.advance(1)
        return answers


def _device(requested: str | None) -> str:
    """Return the device; by default lm_eval's command line passes cuda:0, even on machines without a GPU."""
    import torch

    if requested == "cuda:0" and not torch.cuda.is_available():
        log.warning("no CUDA device here: the model evalkit runs on the CPU")
        return "cpu"
    return requested or "cpu"


def _refuse_chat() -> NoReturn:
    raise UsageError("the model evalkit has no chat template: prompts are continued as they are")


def _where(request: Any) -> str:
    return f"{request.task_name} document {request.doc_id}"


def _request(kind: RequestKind, request: Any, ids: Encoded, decoding: Decoding = _GREEDY) -> Request:
    return Request(
        kind=kind, task=str(request.task_name), doc_id=str(request.doc_id), index=request.idx,
        context_ids=ids.context, continuation_ids=ids.continuation, decoding=decoding,
    )  # fmt: skip


def _decoding(request: Any) -> Decoding:
    """Read a request's generation settings. Raises UsageError for an unknown one that could change the text."""
    options = request.args[1]
    for key, value in options.items():
        if key not in _READ and _NEUTRAL.get(key) != value:
            raise UsageError(
                f"{_where(request)}: generation setting {key}={value!r} is not known to the model evalkit "
                f"(known: {', '.join(sorted(_READ))})"
            )
    return decoding_of(Keys(Path(str(request.task_name)), options, "generation_kwargs."), until=[])


@cache
def _model_class() -> type:
    """Join EngineModel with lm_eval's base class. Raises UsageError where lm_eval is not installed."""
    try:
        from lm_eval.api.model import LM
    except ImportError:
        raise UsageError("the model evalkit needs lm-evaluation-harness: pip install lm_eval") from None
    return type(
        "EvalkitLM", (EngineModel, LM), {"__module__": _TARGET.partition(":")[0], "__doc__": EngineModel.__doc__}
    )


def __getattr__(name: str) -> Any:
    if name == "EvalkitLM":
        return _model_class()
    raise AttributeError(f"module {__name__} has no attribute {name}")


def register() -> None:
    """Add the model to lm_eval's registry, once."""
    import lm_eval.models  # noqa: F401  (its own models come first: an empty list would not be filled later)
    from lm_eval.api.registry import model_registry

    if "evalkit" not in model_registry:
        model_registry.register("evalkit", target=_TARGET)


@program
def main() -> None:
    """Run lm-evaluation-harness's command line."""
    _model_class()  # raises UsageError where lm_eval is not installed
    register()
    from lm_eval.__main__ import cli_evaluate

    cli_evaluate()


if __name__ == "__main__":
    sys.exit(main())
