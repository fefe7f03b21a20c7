"""Shell completion: the script, and the names that are offered while somebody types."""

from __future__ import annotations

from collections.abc import Callable

import click
from click.shell_completion import CompletionItem, get_completion_class

from clipperctl.session import session_of


@click.command(
    epilog="""\b
Examples:
  eval "$(clipperctl completion bash)"                                  # in ~/.bashrc
  eval "$(clipperctl completion zsh)"                                   # in ~/.zshrc
  clipperctl completion fish > ~/.config/fish/completions/clipperctl.fish
"""
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Prints the script that completes clipperctl's commands, options and names in a shell."""
    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"No completion for {shell}.")
    root = click.get_current_context().find_root().command
    click.echo(found(root, {}, "clipperctl", "_CLIPPERCTL_COMPLETE").source())


def application_names(context: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The applications of the cluster that is meant."""

    def names() -> list[str]:
        with session_of(context).connected() as connection:
            return list(connection.get_all_apps())

    return _offered(names, incomplete)


def model_names(context: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The models of the cluster that is meant."""

    def names() -> list[str]:
        with session_of(context).connected() as connection:
            return [each.name for each in connection.client.list_models()]

    return _offered(names, incomplete)


def _offered(names: Callable[[], list[str]], incomplete: str) -> list[CompletionItem]:
    try:
        return [CompletionItem(name) for name in names() if name.startswith(incomplete)]
    except Exception:  # noqa: BLE001  # while somebody types, no answer is better than an error
        return []
