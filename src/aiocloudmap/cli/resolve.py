"""`aiocloudmap resolve`: show the instances of a service."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aiocloudmap.cli.errors import reporting
from aiocloudmap.cli.output import Format, chosen_format, having, write
from aiocloudmap.cli.runner import run_async
from aiocloudmap.cli.terminal import can_draw, console
from aiocloudmap.errors import CloudMapError, ConfigurationError, NoInstancesError
from aiocloudmap.model.query import HealthFilter, Query, ServiceName

if TYPE_CHECKING:
    from aiocloudmap.model.answer import Snapshot

__all__ = ["resolve"]


def resolve(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="namespace/service, such as shop/orders.")],
    *,
    attribute: Annotated[
        str | None, typer.Option("--attribute", "-a", metavar="KEY", help="Show only this attribute.")
    ] = None,
    where: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Only instances with this attribute. May be repeated.")
    ] = None,
    prefer: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Like --where, but ignored if no instance matches. May be repeated."),
    ] = None,
    health: Annotated[
        HealthFilter, typer.Option(case_sensitive=False, help="Which instances to show.")
    ] = HealthFilter.HEALTHY_OR_ELSE_ALL,
    region: Annotated[str | None, typer.Option(metavar="REGION", help="The Region, instead of AWS_REGION.")] = None,
    endpoint_url: Annotated[
        str | None, typer.Option(metavar="URL", help="Call this URL instead of AWS; see 'aiocloudmap serve'.")
    ] = None,
    profile: Annotated[str | None, typer.Option(metavar="NAME", help="A profile of the AWS configuration.")] = None,
    owner_account: Annotated[
        str | None, typer.Option(metavar="ACCOUNT", help="The account that shares the namespace.")
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(min=0.001, metavar="SECONDS", help="Fail after this time with exit code 124.")
    ] = None,
    output: Annotated[
        Format | None,
        typer.Option("--output", "-o", help="Output format.", show_default="table on a terminal, else value or jsonl"),
    ] = None,
) -> None:
    """Show the instances of a service.

    [bold]Examples[/bold]

    aiocloudmap resolve shop/orders

    QUEUE_URL=$(aiocloudmap resolve shop/orders --attribute QUEUE_URL)

    aiocloudmap resolve shop/orders --where STAGE=live --health healthy -o json

    [dim]value and env write one of the matching instances, chosen at random.
    The answer goes to standard output, everything else to standard error.
    With -o json or jsonl, errors are JSON too.[/dim]
    """
    form = chosen_format(output, attribute=attribute, on_terminal=sys.stdout.isatty())
    query = _query(name, health, where, prefer, owner_account)
    if form is Format.VALUE and attribute is None:
        raise typer.BadParameter("'-o value' needs --attribute", param_hint="'--output' / '-o'")
    with reporting(context, as_json=output in (Format.JSON, Format.JSONL)):
        with console(sys.stderr).status(f"resolving {query.service}") if can_draw(sys.stderr) else nullcontext():
            snapshot = run_async(_ask(query, region, endpoint_url, profile), timeout=timeout)
        if not snapshot:
            raise NoInstancesError(
                "no instance is registered" if not where else "no instance matches",
                service=query.service,
                advice="Check --where and --health, and the registered instances.",
            )
        write(having(snapshot, attribute), form, attribute)


async def _ask(query: Query, region: str | None, endpoint_url: str | None, profile: str | None) -> Snapshot:
    from aiocloudmap import CloudMap

    # The profile wins over keys in the environment, as with `aws --profile`.
    session_factory = None if profile is None else partial(_session, profile)
    with _advice_in_options(region, profile):
        cloud_map = CloudMap.from_env(region=region, endpoint_url=endpoint_url, session_factory=session_factory)
        service = cloud_map.service(
            str(query.service),
            health=query.health,
            where=dict(query.where),
            prefer=dict(query.prefer),
            owner_account=query.owner_account,
        )
        return await service.resolve()


# The library's words for Python programs, and what they are on the command line.
_OPTIONS: Mapping[str, str] = {
    r"CloudMap\(region=\.\.\.\)": "--region",
    r"(?<=\binvalid )region\b": "--region",
    r"(?<!profile's )\bendpoint_url\b": "--endpoint-url",
    r", or None\b": "",
    r"\b[Ss]ee the error's __cause__": "'aiocloudmap --debug resolve ...' shows the cause",
}


@contextmanager
def _advice_in_options(region: str | None, profile: str | None) -> Iterator[None]:
    """Let errors name the options to change instead of the arguments of `CloudMap`."""
    words = dict(_OPTIONS)
    if region is not None:
        words[r"\bthe Region\b"] = "--region"
    if profile is not None:
        words[r"\bAWS_PROFILE\b"] = "--profile"
    try:
        yield
    except CloudMapError as error:
        what, advice = error.what, error.advice
        for python, option in words.items():
            what, advice = re.sub(python, option, what), re.sub(python, option, advice)
        raise error.again(what=what, advice=advice) from error


def _session(profile: str) -> Any:
    from aiobotocore.session import AioSession

    return AioSession(profile=profile)


def _query(
    name: str, health: HealthFilter, where: list[str] | None, prefer: list[str] | None, owner_account: str | None
) -> Query:
    """The query of the command line. A value that AWS would refuse is wrong usage."""
    with _usage("NAME"):
        query = Query(ServiceName.parse(name), health)
    with _usage("--where"):
        query = replace(query, where=_pairs("--where", where))
    with _usage("--prefer"):
        query = replace(query, prefer=_pairs("--prefer", prefer))
    with _usage("--owner-account"):
        return replace(query, owner_account=owner_account)


@contextmanager
def _usage(parameter: str) -> Iterator[None]:
    try:
        yield
    except ConfigurationError as error:
        raise typer.BadParameter(str(error.again(service=None)), param_hint=f"'{parameter}'") from None


def _pairs(option: str, texts: list[str] | None) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for text in texts or ():
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise typer.BadParameter(f"invalid pair {text!a}: expected KEY=VALUE", param_hint=f"'{option}'")
        if key in found:
            raise typer.BadParameter(f"{key!a} is given twice", param_hint=f"'{option}'")
        found[key] = value
    return tuple(sorted(found.items()))
