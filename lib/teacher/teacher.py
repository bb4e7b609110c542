"""The teacher: writes texts for prompts in fixed batches that share their few-shot prefix."""

from lib.models import checkpoints, decoding
from lib.teacher import prompt


class Teacher:
    """A causal LM that answers Prompts greedily; ``texts`` returns the cleaned first lines."""

    def __init__(self, settings):
        model, self.tokenizer = checkpoints.load(
            checkpoints.fetch(settings.model), settings.precision
        )
        self.chat = uses_chat(settings, self.tokenizer)
        self.decoder = decoding.Decoder(model, self.tokenizer)

    def texts(self, prompts: list[prompt.Prompt], limit: int) -> list[str]:
        """One cleaned text for each prompt; ``limit`` in new tokens."""
        rendered = [prompt.render(p, self.tokenizer, self.chat) for p in prompts]
        return [prompt.clean(text) for text in self.decoder.texts(rendered, limit)]


def uses_chat(settings, tokenizer) -> bool:
    """The profile's choice, else whether the checkpoint has a chat template."""
    return bool(tokenizer.chat_template) if settings.chat is None else settings.chat
