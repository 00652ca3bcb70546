"""``kloster completion``."""

from __future__ import annotations

from typing import Literal

from kloster.cli import output


def run(shell: Literal["bash", "zsh", "fish"]) -> None:
    """Print the completion script of a shell.

    For example:

      source <(kloster completion bash)
      kloster completion fish > ~/.config/fish/completions/kloster.fish
    """
    from kloster.cli.__main__ import application  # noqa: PLC0415  the application lists this module

    output.say(application(listing=False).generate_completion(shell=shell))
