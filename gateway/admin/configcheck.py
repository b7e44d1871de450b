"""`cxmyd config check`: every mistake in the configuration at once."""

from pathlib import Path

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
        findings = {"mistakes": mistakes, "warnings": warnings}
        objects = {name: [_object(problem, path) for problem in found] for name, found in findings.items()}
        print_json({"file": str(path), "ok": not mistakes, **objects})
    else:
        _print(path, mistakes, warnings)
    if mistakes:
        many = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        click.echo(f"cxmyd: {path}: {many}", err=True)
        ctx.exit(1)


def _print(path: Path, mistakes: tuple[Problem, ...], warnings: tuple[Problem, ...]) -> None:
    for problem in mistakes:
        click.echo(f"{click.style('mistake', fg='red')}  {_line(problem, path)}")
    for problem in warnings:
        click.echo(f"{click.style('warning', fg='yellow')}  {_line(problem, path)}")
    if not mistakes:
        click.echo(f"{path}: {click.style('fit for use', fg='green')}")


def _line(problem: Problem, path: Path) -> str:
    """`str(problem)` with its parts in colour: key = value, then what to do about it."""
    file = _file(problem, path)
    where = f"{file}: " if file else ""
    key = click.style(problem.key, bold=True) if problem.key else ""
    what = f"{key} = {problem.value}" if problem.key and problem.value else key or problem.value
    return f"{where}{what}: {problem.mend}" if what else f"{where}{problem.mend}"


def _object(problem: Problem, path: Path) -> dict[str, str | None]:
    file = _file(problem, path)
    return {**problem._asdict(), "file": str(file) if file else None}


def _file(problem: Problem, path: Path) -> Path | None:
    """The file to name with the problem: where it is not in a key of the one that was asked for."""
    return problem.file or (None if problem.key else path)
