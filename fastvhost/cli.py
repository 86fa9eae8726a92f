"""The command line: arguments in, an exit code out.

Each command imports what it needs when it runs: `fastvhost query` in a script should not wait for what
only `serve` uses.
"""

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from errno import EDQUOT, EFBIG, EIO, ENOSPC, EPIPE
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from fastvhost.command_line import DEFAULT_CONFIG, UNDECIDED, command_parser
from fastvhost.errors import ConfigError, FastvhostError
from fastvhost.one_line_parser import USAGE

if TYPE_CHECKING:
    from fastvhost.config import Config, Endpoint
    from fastvhost.model import VerdictKind

__all__ = ["main"]

_INTERRUPTED = 130
"""What a shell makes of SIGINT."""

_UNWRITTEN = frozenset({EPIPE, ENOSPC, EDQUOT, EFBIG, EIO})


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Errors of the user's making are one line on stderr and exit code 2. Whatever else goes wrong is never
    1, which would say NOT_HOSTED.
    """
    _open_closed_streams()
    _print_anything()
    args = command_parser().parse_args(argv)
    try:
        return _run(args)
    finally:
        with suppress(OSError):  # a closed one
            _forget_unless_written(sys.stderr)


def _run(args: argparse.Namespace) -> int:
    try:
        code = _COMMANDS[args.command](args)
        sys.stdout.flush()
    except FastvhostError as error:
        return _complain(str(error), USAGE)
    except OSError as error:
        return _complain(_what_and_why(error), args.fault)
    except BaseException as error:
        if _is_interrupt(error):
            return _INTERRUPTED
        if not isinstance(error, Exception):
            raise
        # A fault of ours: with its traceback, and with an exit code of its own.
        with suppress(OSError):
            traceback.print_exc()
        return int(args.fault)
    return code


def _is_interrupt(error: BaseException) -> bool:
    """Whether it is Ctrl-C, which the nurseries that it ended may have wrapped."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(_is_interrupt, error.exceptions))
    return isinstance(error, KeyboardInterrupt)


def _what_and_why(error: OSError) -> str:
    """In one line; what has no file name and could not be written is the output."""
    why = error.strerror or str(error)
    if error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {why}"
    return f"standard output: {why}" if error.errno in _UNWRITTEN else why


def _open_closed_streams() -> None:
    """A standard stream that is closed leads nowhere: else the next file that is opened takes its place."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - it stays open
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115


def _complain(line: str, code: int) -> int:
    with suppress(OSError):
        _forget_unless_written(sys.stdout)
    with suppress(OSError):
        print(f"fastvhost: {line}", file=sys.stderr, flush=True)
    return code


def _forget_unless_written(stream: TextIO) -> None:
    """Leave nothing in it for the interpreter to fail on at its end, with an exit code of its own."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _print_anything() -> None:
    """A host is printed in any locale, and whatever octets the shell gave us."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _serve(args: argparse.Namespace) -> int:
    import gc

    # What is made at start stays, and to look through it for garbage again and again is a sixth of the start.
    gc.disable()
    try:
        from fastvhost.serve import run_daemon

        run_daemon(lambda: _config_to_serve(args), pid_file=args.pid_file)
    finally:
        gc.enable()
    return 0


def _config_to_serve(args: argparse.Namespace) -> "Config":
    from dataclasses import replace

    from fastvhost.config import LogLevel

    config = _config(args.config)
    if args.log_level is None:
        return config
    return replace(config, log=replace(config.log, level=LogLevel(args.log_level)))


def _reload(args: argparse.Namespace) -> int:
    import time

    from fastvhost.pid_file import reload_daemon

    print(reload_daemon(args.pid_file, sleep=time.sleep))
    return 0


def _query(args: argparse.Namespace) -> int:
    from fastvhost.config import Listen
    from fastvhost.query import NoReplyError, ask

    server = Listen().pdb
    if args.server is not None:
        from fastvhost.config_file import parse_endpoint

        server = parse_endpoint(args.server, default_port=5380, name="--server")
    assert server is not None  # noqa: S101 - the default of `listen.pdb`
    # The daemon would call the name as a whole MALFORMED, as if it were the host.
    _check_source(args.source)
    name = args.host if args.source is None else f"{args.host} {args.source}"
    try:
        kind, seconds = ask(server, name.encode(errors="surrogateescape"), timeout=args.timeout)
    except NoReplyError as error:
        return _complain(str(error), UNDECIDED)
    except ValueError as error:
        return _complain(f"{args.host!r} cannot be asked: {error}", USAGE)
    print(f"{_printable(args.host)} {kind.name} {seconds * 1e6:.0f} us")
    return _exit_code(kind)


def _check_source(source: str | None) -> None:
    from fastvhost.host import parse_address

    if source is not None and parse_address(source) is None:
        raise ConfigError(f"--source: found {source!r}; allowed: an IPv4 or IPv6 address")


def _printable(text: str) -> str:
    """What breaks a line, or a terminal would obey, spelled out."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def _top(args: argparse.Namespace) -> int:
    from fastvhost.admin_client import NoAdminError

    try:
        from fastvhost.top.command import run_top
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "rich":
            raise
        return _complain("top needs the package rich: pip install 'fastvhost[top]'", USAGE)
    server = _admin_endpoint(args)
    try:
        run_top(server, interval=args.interval, once=args.once)
    except NoAdminError as error:
        return _complain(str(error), UNDECIDED)
    except KeyboardInterrupt:
        return _INTERRUPTED
    return 0


def _explain(args: argparse.Namespace) -> int:
    from fastvhost.explain_command.command import explain_belief, explain_from_scratch

    if not args.daemon:
        if args.server is not None or args.source is not None or args.walk:
            raise ConfigError("--server, --source and --walk are for --daemon")
        found, shown = explain_from_scratch(_config(args.config), args.host, as_json=args.json)
        print(shown)
        return _exit_code(found)
    from fastvhost.explain_command.daemon import DaemonError

    _check_source(args.source)
    server = _admin_endpoint(args)
    try:
        kind, shown = explain_belief(server, args.host, source=args.source, walk=args.walk, as_json=args.json)
    except DaemonError as error:
        return _complain(str(error), UNDECIDED)
    print(shown)
    return UNDECIDED if kind is None else _exit_code(kind)


def _admin_endpoint(args: argparse.Namespace) -> "Endpoint":
    """Where the daemon's admin face is: as said, or by its configuration, or where it is by default."""
    from fastvhost.config import Listen
    from fastvhost.config_file import load_config, parse_endpoint

    if args.server is not None:
        return parse_endpoint(args.server, default_port=5382, name="--server")
    path: Path | None = args.config or (DEFAULT_CONFIG if DEFAULT_CONFIG.exists() else None)
    admin = (Listen() if path is None else load_config(path).listen).admin
    if admin is None:
        raise ConfigError(f"{path}: listen.admin is empty, so the daemon cannot be asked")
    return admin


def _check_config(args: argparse.Namespace) -> int:
    from fastvhost.config_file import load_config

    load_config(args.file)
    print(f"{args.file}: ok")
    return 0


def _config(path: Path | None) -> "Config":
    from fastvhost.config import Config
    from fastvhost.config_file import load_config

    if path is not None:
        return load_config(path)
    if DEFAULT_CONFIG.exists():
        return load_config(DEFAULT_CONFIG)
    from fastvhost.local import own_by_default

    try:
        config = Config(own=own_by_default())
    except ConfigError as error:
        raise ConfigError(f"no {DEFAULT_CONFIG}, and {error}: write one that gives them") from error
    addresses = ", ".join(
        f"{network.network_address}{' (private: DNS will not lead to it)' if network.is_private else ''}"
        for network in config.own.addresses
    )
    print(f"fastvhost: no {DEFAULT_CONFIG}: taking this machine's addresses, {addresses}", file=sys.stderr)
    return config


def _exit_code(kind: "VerdictKind") -> int:
    return {"HOSTED": 0, "NOT_HOSTED": 1}.get(kind.name, UNDECIDED)


def _domains(args: argparse.Namespace) -> int:
    from fastvhost.domains_command.commands import COMMANDS

    try:
        code = COMMANDS[args.domains_command](args, _config(args.config))
        sys.stdout.flush()
    except BrokenPipeError:
        _forget_unless_written(sys.stdout)  # `list | head`: its reader has had enough
        return 0
    return code


_COMMANDS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "serve": _serve,
    "reload": _reload,
    "query": _query,
    "top": _top,
    "explain": _explain,
    "check-config": _check_config,
    "domains": _domains,
}
"""By the name that the operator types."""
