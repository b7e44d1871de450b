"""`cxmyd config check`: every mistake in the configuration at once."""

import click

from gateway.admin.options import config_option, config_path, json_option
from gateway.admin.output import print_json
from gateway.config import load
from gateway.errors import ConfigError, Problem


@click.group()
def config() -> None:
    """The configuration."""


@config.command()
@config_option
@json_option
@click.pass_context
def check(ctx: click.Context, as_json: bool) -> None:
    """Read the configuration and name every mistake with its key, its value and how to mend it."""
    path = config_path(ctx)
    warnings: tuple[Problem, ...] = ()
    mistakes: tuple[Problem, ...] = ()
    try:
        loaded = load(path)
        warnings, path = loaded.warnings, loaded.path
    except ConfigError as error:
        mistakes, path = error.problems, error.path
    if as_json:
        findings = {"mistakes": [_object(p) for p in mistakes], "warnings": [_object(p) for p in warnings]}
        print_json({"file": str(path), "ok": not mistakes, **findings})
    else:
        _print(str(path), mistakes, warnings)
    if mistakes:
        many = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        click.echo(f"cxmyd: {path}: {many}", err=True)
        ctx.exit(1)


def _print(path: str, mistakes: tuple[Problem, ...], warnings: tuple[Problem, ...]) -> None:
    for problem in mistakes:
        click.echo(f"{click.style('mistake', fg='red')}  {_line(problem)}")
    for problem in warnings:
        click.echo(f"{click.style('warning', fg='yellow')}  {_line(problem)}")
    if not mistakes:
        click.echo(f"{path}: {click.style('fit for use', fg='green')}")


def _line(problem: Problem) -> str:
    """`str(problem)` with its parts in colour: key = value, then what to do about it."""
    where = f"{problem.file}: " if problem.file else ""
    key = click.style(problem.key, bold=True)
    what = f"{key} = {problem.value}" if problem.key and problem.value else key or problem.value
    return f"{where}{what}: {problem.mend}" if what else f"{where}{problem.mend}"


def _object(problem: Problem) -> dict[str, str | None]:
    return {**problem._asdict(), "file": str(problem.file) if problem.file else None}
