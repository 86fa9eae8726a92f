"""The manual pages in mdoc(7): fastvhost(1) from its parser, fastvhost.toml(5) from the default file."""

import re
from collections.abc import Iterator, Sequence
from textwrap import wrap

from tools.shipped.commands import Argument, Command

__all__ = ["command_page", "configuration_page"]

_DATE = "November 23, 2026"

_COMMAND_HEAD = r""".Dd {date}
.Dt FASTVHOST 1
.Os
.Sh NAME
.Nm fastvhost
.Nd is this SIP host one of ours? decided from DNS
.Sh SYNOPSIS
.Nm
.Ar COMMAND
.Op Ar ARGUMENTS
.Nm
.Fl -version
.Sh DESCRIPTION
A SIP proxy that hosts many domains asks for every request whether a host is one of its own.
.Nm
answers from DNS: a domain is ours when its NAPTR, SRV, A and AAAA records (RFC 3263) lead to this server.
It stands beside the proxy as a cache that answers in microseconds, and a flood of made\-up domains never
becomes a flood of DNS queries.
.Pp
Its commands are:
.Bl -tag -width Ds
"""

_COMMAND_TAIL = r""".El
.Sh SIGNALS
What
.Nm Cm serve
does on a signal:
.Bl -tag -width SIGTERM
.It Dv SIGHUP
reads its configuration again, and goes on as before where that is wrong; the log says which.
.It Dv SIGTERM , SIGINT
takes no more requests, gives look\-ups under way 3 seconds, stores what was learned, and ends with 0; the
second one ends it at once.
.El
.Sh FILES
.Bl -tag -width Ds
.It Pa /etc/fastvhost.toml
the configuration; without one, this machine's addresses are ours
.It Pa /run/fastvhost/fastvhost.pid
which process is the daemon, and what came of its last reload
.It Pa /var/lib/fastvhost/fastvhost.db
the known domains, where the unit that packages ship runs the daemon and
.Ic domains.store
has its default
.El
.Sh EXIT STATUS
0 when a command has done what it was told, 2 when it could not.
.Cm query ,
.Cm explain
and
.Cm domains verify
say what they found:
.Bl -tag -width Ds -compact
.It 0
HOSTED
.It 1
NOT_HOSTED
.It 2
usage or configuration error
.It 3
anything undecided, or no reply
.El
.Sh SEE ALSO
.Xr fastvhost.toml 5 ,
.Xr kamailio 8
"""

_CONFIGURATION_HEAD = r""".Dd {date}
.Dt FASTVHOST.TOML 5
.Os
.Sh NAME
.Nm fastvhost.toml
.Nd configuration of fastvhost
.Sh DESCRIPTION
One TOML file,
.Pa /etc/fastvhost.toml
or the one that
.Fl -config
names.
Only
.Ic [own]
is needed.
An unknown key, a wrong type or a value out of range is one line with file, key, value and what is allowed,
from
.Ic fastvhost check-config
as from
.Ic fastvhost serve .
.Pp
.Ic fastvhost reload
has a running daemon read it again.
"""

_CONFIGURATION_TAIL = r""".Sh SEE ALSO
.Xr fastvhost 1
"""


def command_page(commands: Sequence[Command]) -> str:
    """fastvhost(1)."""
    items = [line for command in commands if not command.nested for line in _command(command)]
    return "\n".join([_COMMAND_HEAD.format(date=_DATE).rstrip(), *items, _COMMAND_TAIL])


def configuration_page(default: str) -> str:
    """fastvhost.toml(5), from the text of the default configuration."""
    parts = [_CONFIGURATION_HEAD.format(date=_DATE).rstrip()]
    for before, section, body in re.findall(
        r"((?:^# .*\n)*)^\[(\w+)\]\n((?:^#?\w.*\n|^# .*\n)*)", default, re.MULTILINE
    ):
        parts.append(f".Sh [{section}]")
        parts.extend(_text(before.replace("# ", "")))
        parts.append(".Bl -tag -width Ds")
        for text, key, value in re.findall(r"^# (.*)\n#?(\w+) = (.*)$", body, re.MULTILINE):
            parts.append(f".It Ic {key} = {_escaped(value)}")
            parts.extend(_text(text))
        parts.append(".El")
    return "\n".join([*parts, _CONFIGURATION_TAIL])


def _command(command: Command) -> Iterator[str]:
    words = " ".join(f"Cm {word}" for word in command.words)
    yield f".It {words} {' '.join(map(_synopsis, command.arguments))}".rstrip()
    yield from _text(command.text)
    described = [argument for argument in command.arguments if argument.text]
    if described:
        yield ".Bl -tag -width Ds -compact"
        for argument in described:
            yield f".It {_name(argument)}"
            yield from _text(argument.text)
        yield ".El"
    example = re.search(r"example:\n((?:  .*\n?)+)", command.after)
    if example is not None:
        yield ".Pp"
        yield ".Dl " + _escaped(example[1].strip())


def _synopsis(argument: Argument) -> str:
    name = _name(argument) + (" ..." if argument.many else "")
    return name if argument.required else f"Oo {name} Oc"


def _name(argument: Argument) -> str:
    flag = f"Fl {argument.flag[1:]}" if argument.flag else ""
    value = f"Ar {argument.metavar}" if argument.metavar else ""
    return f"{flag} {value}".strip()


def _text(text: str) -> Iterator[str]:
    """Prose, a sentence a line, as mdoc wants it."""
    for sentence in re.split(r"(?<=[.:]) +(?=[A-Z])|\n", text.strip()):
        yield from map(_escaped, wrap(sentence, 76, break_on_hyphens=False, break_long_words=False))


def _escaped(text: str) -> str:
    """Nothing in it is markup: neither escapes nor, at the beginning of a line, requests."""
    escaped = text.replace("\\", r"\e").replace("-", r"\-").replace("`", r"\(ga").replace("…", "...")
    escaped = escaped.replace('"', r"\(dq").replace("~", r"\(ti").replace("^", r"\(ha")
    return rf"\&{escaped}" if escaped.startswith((".", "'")) else escaped
