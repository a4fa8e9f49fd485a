"""`multiqa collection list`."""

from __future__ import annotations

from multiqa_integrations.cli import terminal
from multiqa_integrations.cli.options import AsJson, StoreOptions, options


@options
def list_(store: StoreOptions, as_json: AsJson = False) -> None:
    """List the collections and their aliases."""
    with store.open() as opened:
        names, aliases, broken = opened.collections(), opened.aliases(), opened.broken()
    if as_json:
        values = {"collections": names, "aliases": aliases}
        terminal.echo_json({**values, "broken": broken} if broken else values)
        return
    for name in names:
        standing = [alias for alias, target in aliases.items() if target == name]
        notes = [f"(alias {', '.join(standing)})"] if standing else []
        notes += ["(broken)"] if name in broken else []
        terminal.echo("  ".join([name, *notes]))
    for reason in broken.values():
        terminal.show_warning(reason)
