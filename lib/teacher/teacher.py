"""The teacher: a causal language model that writes texts greedily, here or behind a server."""

import itertools
import os
from concurrent.futures import ThreadPoolExecutor

from lib.common.errors import UserError
from lib.models import checkpoints
from lib.teacher import prompt


def load(settings):
    """The teacher of TeacherSettings; its ``texts(prompts, limit)`` gives cleaned first lines."""
    if settings.engine == "server":
        return ServerTeacher(settings)
    checkpoints.quiet()
    print(f"Loading the teacher {settings.model} ...", flush=True)
    return Teacher(settings)


class Teacher:
    """A model of this machine; prompts of one batch share their few-shot prefix, read once."""

    def __init__(self, settings):
        from lib.models.decoding import Decoder  # torch, which written texts do without

        model, self.tokenizer = checkpoints.load(
            checkpoints.fetch(settings.model), settings.precision
        )
        self.chat = prompt.uses_chat(settings.chat, self.tokenizer)
        self.decoder = Decoder(model, self.tokenizer)

    def texts(self, prompts: list[prompt.Prompt], limit: int) -> list[str]:
        """One cleaned text for each prompt; ``limit`` in new tokens."""
        rendered = [prompt.render(p, self.tokenizer, self.chat) for p in prompts]
        texts = self.decoder.texts(rendered, limit, f"{prompt.OPENING}|{prompt.CLOSING}")
        return [prompt.clean(text) for text in texts]


class ServerTeacher:
    """A model behind any OpenAI-compatible ``/v1/completions``: vLLM, SGLang, llama.cpp, ...

    ``concurrency`` requests at a time. A server that is interrupted or overloaded (no connection,
    time-out, half an answer, 429, 5xx) is asked again with growing pauses for about ``patience``
    seconds; any other refusal is a UserError with the server's words. The key for servers that want
    one is read from HONEY_API_KEY and never stored.
    """

    def __init__(self, settings):
        import openai

        self.model, self.server = settings.model, settings.server
        self.client = openai.OpenAI(
            base_url=f"{self.server.url.rstrip('/')}/v1",
            api_key=os.environ.get("HONEY_API_KEY") or "none",
            timeout=self.server.timeout,
            max_retries=retries(self.server.patience),
        )

    def texts(self, prompts: list[prompt.Prompt], limit: int) -> list[str]:
        """One cleaned text for each prompt, in order; ``limit`` in new tokens."""
        rendered = [prompt.render(p, None, chat=False) for p in prompts]
        with ThreadPoolExecutor(self.server.concurrency) as pool:
            return list(pool.map(lambda text: self._text(text, limit), rendered))

    def _text(self, text: str, limit: int) -> str:
        """The first line; asked again without a stop if the model began with a line break."""
        first_line = prompt.clean(self._ask(text, limit, stop=["\n"]))
        return first_line or prompt.clean(self._ask(text, limit))

    def _ask(self, text: str, limit: int, **options) -> str:
        import openai

        try:
            answer = self.client.completions.create(
                model=self.model, prompt=text, max_tokens=limit, temperature=0, seed=0, **options
            )
            return answer.choices[0].text
        except openai.APIStatusError as error:
            reason = f"{error.status_code} {error.response.text[:300]}"
            refused = error.status_code < 500 and error.status_code != 429
        except openai.APIConnectionError as error:
            reason, refused = error.__cause__, False
        except (openai.APIError, AttributeError, LookupError, TypeError) as error:
            reason, refused = f"no completion came ({error})", True
        if refused:
            raise UserError(
                f"The server at {self.server.url} refuses: {reason}; check the profile's "
                "teacher.model and teacher.server."
            )
        raise UserError(
            f"The server at {self.server.url} gave no text for {self.server.patience:.0f} s "
            f"({reason}); start it and run the same command again (finished texts are kept)."
        )


def retries(patience: float) -> int:
    """How often the client can ask again in so many seconds: it waits 0.5, 1, 2, 4, then 8 s."""
    pauses = itertools.chain([0.5, 1, 2, 4], itertools.repeat(8, int(patience // 8)))
    return sum(waited <= patience for waited in itertools.accumulate(pauses))
