"""The teacher behind a server: a client of any OpenAI-compatible completions endpoint.

vLLM, SGLang, llama.cpp and ``transformers serve`` all offer ``/v1/completions``. Texts come back in the
order of the prompts; the same shards as with a local teacher keep what is finished.
"""

import itertools
import json
import os
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException

from lib.common.errors import UserError
from lib.teacher import prompt

PAUSES = (1, 2, 4, 8, 15, 30)  # seconds between tries; the last one repeats


class ServerTeacher:
    """Answers Prompts through a server, ``concurrency`` requests at a time.

    An interrupted or overloaded server (no connection, time-out, half an answer, 429, 5xx) is asked
    again with growing pauses for ``patience`` seconds; any other refusal is a UserError with the
    server's words. The key for servers that want one is read from HONEY_API_KEY and never stored.
    """

    def __init__(self, settings, sleep=time.sleep):
        self.settings, self.server, self._sleep = settings, settings.server, sleep

    def texts(self, prompts: list[prompt.Prompt], limit: int) -> list[str]:
        """One cleaned text for each prompt, in order; ``limit`` in new tokens."""
        rendered = [prompt.render(p, None, chat=False) for p in prompts]
        with ThreadPoolExecutor(self.server.concurrency) as pool:
            return list(pool.map(lambda text: self._text(text, limit), rendered))

    def _text(self, text: str, limit: int) -> str:
        """The first line; asked again without a stop if the model began with a line break."""
        found = prompt.clean(self._ask(text, limit, ["\n"]))
        return found or prompt.clean(self._ask(text, limit, None))

    def _ask(self, text: str, limit: int, stop: list[str] | None) -> str:
        body = {
            "model": self.settings.model,
            "prompt": text,
            "max_tokens": limit,
            "temperature": 0,
            "seed": 0,
        }
        if stop:
            body["stop"] = stop
        headers = {"Content-Type": "application/json"}
        if os.environ.get("HONEY_API_KEY"):
            headers["Authorization"] = f"Bearer {os.environ['HONEY_API_KEY']}"
        request = urllib.request.Request(
            f"{self.server.url.rstrip('/')}/v1/completions", json.dumps(body).encode(), headers
        )
        waited = 0.0
        for pause in itertools.chain(PAUSES, itertools.repeat(PAUSES[-1])):
            try:
                with urllib.request.urlopen(request, timeout=self.server.timeout) as answer:
                    return json.load(answer)["choices"][0]["text"]
            except urllib.error.HTTPError as error:
                reason = f"{error.code} {error.read(300).decode(errors='replace')}".strip()
                if error.code != 429 and error.code < 500:
                    raise UserError(
                        f"The server at {self.server.url} refuses: {reason}; check the "
                        "profile's teacher.model and teacher.server."
                    ) from None
            except (OSError, HTTPException, ValueError, LookupError, TypeError) as error:
                reason = f"{type(error).__name__}: {error}"
            if waited + pause > self.server.patience:
                raise UserError(
                    f"The server at {self.server.url} gave no text for {self.server.patience:.0f} s "
                    f"({reason}); start it and run the same command again (finished texts are kept)."
                )
            self._sleep(pause)
            waited += pause
