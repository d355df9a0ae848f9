"""A group of commands that answers a wrong name with the nearest right one."""

from __future__ import annotations

import click

from optimizer.errors import did_you_mean


class SuggestingGroup(click.Group):
    """Says "did you mean"."""

    def resolve_command(
        self, ctx: click.Context, args: list[str],
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command named by the first argument."""
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            ctx.fail(f"no command is called {args[0]!r}; {did_you_mean(args[0], self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)
