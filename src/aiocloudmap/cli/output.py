"""The output formats of `resolve`.

| format | with `--attribute`                          | without                           |
|--------|---------------------------------------------|-----------------------------------|
| table  | the instances that have it, and its value   | every instance, every attribute   |
| json   | an array of them                            | an array of all                   |
| jsonl  | one object a line                           | one object a line                 |
| env    | `KEY='value'` of one of them, at random     | every attribute of one, at random |
| value  | the value of one of them, at random         | not possible                      |
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any

from aiocloudmap.balancing.rotation import start_rotation
from aiocloudmap.cli.errors import CommandError, Exit
from aiocloudmap.cli.terminal import console, printable, say, shell_quoted
from aiocloudmap.errors import InvalidAttributeError
from aiocloudmap.model.answer import no_attribute_error
from aiocloudmap.model.instance import Instance

__all__ = ["Format", "chosen_format", "having", "write"]


class Format(StrEnum):
    """Formats of `resolve`."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    ENV = "env"
    VALUE = "value"


# Variables that control a shell, a loader, an interpreter or an AWS client. Other services choose the names of
# attributes. They must not be able to control a shell that evaluates our output.
_CONTROLLING = re.compile(
    r"(BASH|DYLD_|GCONV|GIT_|JAVA_|JDK_|LD_|LC_|NODE_|PERL|PYTHON|RUBY|SSL_|XDG_)\w*"
    r"|AWS_(?!INSTANCE_|EC2_INSTANCE_ID$|ALIAS_DNS_NAME$|INIT_HEALTH_STATUS$)\w*|AIOCLOUDMAP_\w*|\w+_PROXY"
    r"|CDPATH|EDITOR|ENV|FPATH|GLOBIGNORE|HOME|IFS|LANG|LANGUAGE|LOGNAME|MAIL|MAILPATH|OLDPWD|OPT(?:ARG|IND|ERR)|PAGER"
    r"|PATH|PROMPT_COMMAND|PS\d|PWD|SHELL|SHELLOPTS|TERM|TERMCAP|TMPDIR|TMP|TEMP|TZ|USER|VISUAL|ZDOTDIR|_",
    re.IGNORECASE,
)
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def chosen_format(asked: Format | None, *, attribute: str | None, on_terminal: bool) -> Format:
    """The requested format, else a table on a terminal, and in a pipe the bare value or one object a line."""
    if asked is not None:
        return asked
    if on_terminal:
        return Format.TABLE
    return Format.JSONL if attribute is None else Format.VALUE


def having(instances: Sequence[Instance], attribute: str | None) -> Sequence[Instance]:
    """The instances that have the attribute, or all instances if `attribute` is None.

    Raises:
        AttributeNotFoundError: No instance has it. The error lists the attributes that exist.
    """
    if attribute is None:
        return instances
    if found := [instance for instance in instances if attribute in instance.attributes]:
        return found
    raise no_attribute_error(f"no instance has the attribute {attribute}", attribute, instances)


def write(instances: Sequence[Instance], form: Format, attribute: str | None) -> None:
    """Write the instances to standard output. There is at least one."""
    if form is Format.TABLE:
        _write_table(instances, attribute)
    elif form is Format.ENV:
        print("\n".join(_assignments(_any_of(instances), attribute)))
    elif form is Format.VALUE:
        assert attribute is not None
        value = _any_of(instances).attributes[attribute]
        print(printable(value) if sys.stdout.isatty() else value)
    elif form is Format.JSON:
        print(json.dumps([_object(instance, attribute) for instance in instances], indent=2))
    else:
        print("\n".join(json.dumps(_object(instance, attribute)) for instance in instances))


def _any_of(instances: Sequence[Instance]) -> Instance:
    return instances[next(start_rotation()) % len(instances)]


def _object(instance: Instance, attribute: str | None) -> dict[str, Any]:
    return {
        "id": instance.id,
        "namespace": instance.service.namespace,
        "service": instance.service.service,
        "health": str(instance.health),
        "attributes": _attributes(instance, attribute),
    }


def _attributes(instance: Instance, attribute: str | None) -> dict[str, str]:
    return {key: value for key, value in sorted(instance.attributes.items()) if attribute in (None, key)}


def _assignments(instance: Instance, attribute: str | None) -> Iterable[str]:
    lines, left_out = [], []
    for key, value in sorted(instance.attributes.items()):
        if attribute not in (None, key):
            continue
        if not _IDENTIFIER.fullmatch(key) or (attribute is None and _CONTROLLING.fullmatch(key)):
            left_out.append(key)
        else:
            lines.append(f"{key}={shell_quoted(value)}")
    if left_out and not lines:
        raise CommandError(
            Exit.FAILURE,
            "NoVariable",
            f"{', '.join(left_out)} cannot be written as shell variables",
            "A variable name has letters, digits and '_', and must not control the shell. Use -o json.",
        )
    if left_out:
        say(
            f"note: left out {', '.join(left_out)}: not a variable name, or it would control the shell;",
            "      use --attribute to write a variable that controls the shell",
        )
    return lines


def _write_table(instances: Sequence[Instance], attribute: str | None) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    out = console(sys.stdout)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("instance", "health", *(("address", "attributes") if attribute is None else (attribute,))):
        table.add_column(Text(printable(heading)), no_wrap=True)
    blocks: list[Text] = []
    for instance in instances:
        health = Text(str(instance.health), style=_HEALTH_STYLES.get(str(instance.health), ""))
        cells = [Text(printable(instance.id)), health]
        pairs = [Text(printable(f"{key}={value}")) for key, value in _attributes(instance, attribute).items()]
        if attribute is None:
            cells.append(Text(printable(_address(instance))))
            table.add_row(*cells, Text("\n").join(pairs))
        else:
            table.add_row(*cells, Text(printable(instance.attributes[attribute])))
        blocks += [Text("  ").join(filter(None, cells)), *(Text.assemble("  ", pair) for pair in pairs)]
    if out.measure(table, options=out.options.update(max_width=_MAX_COLUMNS)).maximum <= out.width:
        out.print(table)
    else:
        # A folded cell would cut a URL into pieces. A long line is wrapped by the terminal, and can be copied.
        out.print(*blocks, sep="\n", soft_wrap=True)


_MAX_COLUMNS = 100_000
_HEALTH_STYLES = {"HEALTHY": "green", "UNHEALTHY": "red"}


def _address(instance: Instance) -> str:
    try:
        host, port = instance.host, instance.port
    except InvalidAttributeError:
        return "(invalid)"
    if host is None:
        return ""
    host = f"[{host}]" if ":" in host else host
    return host if port is None else f"{host}:{port}"
