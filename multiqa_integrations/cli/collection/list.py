"""`multiqa collection list`."""

from __future__ import annotations

from multiqa_integrations.cli import terminal
from multiqa_integrations.cli.options import AsJson, StoreOptions, options


@options
def list_(store: StoreOptions, as_json: AsJson = False) -> None:
    """List the collections and their aliases."""
    with store.open() as opened:
        names, aliases = opened.collections(), opened.aliases()
    if as_json:
        terminal.echo_json({"collections": names, "aliases": aliases})
        return
    for name in names:
        standing = [alias for alias, target in aliases.items() if target == name]
        terminal.echo(f"{name}  (alias {', '.join(standing)})" if standing else name)
