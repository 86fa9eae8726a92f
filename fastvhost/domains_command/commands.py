"""What the commands of `fastvhost domains` do to the store; a running daemon sees it there.

Each takes its parsed arguments and the configuration and returns an exit code.
"""

import argparse
import json
import sys
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from itertools import islice
from math import inf

from fastvhost.config import Config, Housekeeping, LearnMode, ProxySchema
from fastvhost.domains.record import DecidedBy, DomainRecord, DomainState
from fastvhost.domains.store import MAX_BATCH, Store
from fastvhost.domains_command.access import RefusedError, canonical_domain, open_store, pages, put, wall_now

__all__ = ["COMMANDS"]

_UNKNOWN = 1


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


# Looking


def _list(args: argparse.Namespace, config: Config) -> int:
    from fastvhost.domains.record_json import json_record
    from fastvhost.domains_command.text import TABLE_HEADING, table_lines

    state = None if args.state is None else DomainState(args.state)
    with open_store(config, only_looks=True) as store:
        if not args.json:
            _say(TABLE_HEADING)
            for page in pages(store, state):
                _say("\n".join(map(table_lines, page)))
            return 0
        # One array, written as it is read.
        opening = "["
        for page in pages(store, state):
            for record in page:
                sys.stdout.write(f"{opening}\n{json.dumps(json_record(record))}")
                opening = ","
        _say("[]" if opening == "[" else "\n]")
    return 0


def _show(args: argparse.Namespace, config: Config) -> int:
    from fastvhost.domains.record_json import json_record
    from fastvhost.domains_command.text import record_text

    domain = canonical_domain(args.domain)
    with open_store(config, only_looks=True) as store:
        record = store.get(domain)
    if record is None:
        sys.stderr.write(f"fastvhost: {domain}: not known\n")
        return _UNKNOWN
    _say(json.dumps(json_record(record), indent=2) if args.json else record_text(record))
    return 0


# The operator's word


def _add(args: argparse.Namespace, config: Config) -> int:
    domain = canonical_domain(args.domain)
    with open_store(config) as store:
        record = store.get(domain) or _unseen(domain, wall_now())
        put(store, _accepted(store, [record], config, evidence="added by the operator"))
    _say(f"{domain}: active")
    return 0


def _approve(args: argparse.Namespace, config: Config) -> int:
    domains = _canonical_domains(args.domains)
    with open_store(config, only_looks=True) as store:
        waiting = []
        for domain in domains:
            record = store.get(domain)
            if record is None or record.state is DomainState.REMOVED:
                raise RefusedError(f"{domain}: not known; `fastvhost domains add` serves it")
            if record.state is DomainState.DISABLED:
                raise RefusedError(
                    f"{domain}: left DNS, and returns with it; `fastvhost domains add` serves it"
                )
            if record.state is not DomainState.ACTIVE:
                waiting.append(record)
        if waiting:
            put(store, _accepted(store, waiting, config, evidence="approved by the operator"))
    for domain in domains:
        _say(f"{domain}: active")
    return 0


def _reject(args: argparse.Namespace, config: Config) -> int:
    domains = _canonical_domains(args.domains)
    now = wall_now()
    with open_store(config) as store:
        records = [store.get(domain) or _unseen(domain, now) for domain in domains]
        put(
            store,
            [_ended(record, DomainState.REJECTED, "rejected by the operator", now) for record in records],
        )
    for domain in domains:
        _say(f"{domain}: rejected")
    return 0


def _remove(args: argparse.Namespace, config: Config) -> int:
    domain = canonical_domain(args.domain)
    with open_store(config, only_looks=True) as store:
        record = store.get(domain)
        if record is None:
            raise RefusedError(f"{domain}: not known")
        put(store, [_ended(record, DomainState.REMOVED, "removed by the operator", wall_now())])
    again = (
        "" if config.domains.learn is LearnMode.OFF else "; DNS may teach it again (`reject` prevents that)"
    )
    _say(f"{domain}: removed{again}")
    return 0


def _confirm(args: argparse.Namespace, config: Config) -> int:
    """Each page is written right after it was read: a check that finds a domain HOSTED may fall between."""
    count = 0
    with open_store(config, only_looks=True) as store:
        for page in pages(store, DomainState.ACTIVE):
            now = wall_now()
            held = [record for record in page if _is_held(record, config.housekeeping, now)]
            if held and not args.dry_run:
                evidence = "left DNS, confirmed by the operator"
                put(store, [_ended(record, DomainState.DISABLED, evidence, now) for record in held])
            for record in held:
                _say(f"{record.domain}: {record.negatives} negatives: {record.evidence}")
            count += len(held)
    _say(f"{count} {'to disable' if args.dry_run else 'disabled'}")
    return 0


def _is_held(record: DomainRecord, rules: Housekeeping, now: float) -> bool:
    since = record.negative_since
    return since is not None and record.negatives >= rules.negatives and now - since >= rules.over


def _token(args: argparse.Namespace, config: Config) -> int:
    from fastvhost.domains.attributes import OWNER_PREFIX
    from fastvhost.domains.consent import domain_token, read_secret

    domain = canonical_domain(args.domain)
    try:
        token = domain_token(domain, read_secret(config.domains))
    except ValueError as error:
        raise RefusedError(str(error)) from None
    _say(f'{OWNER_PREFIX}{domain}. IN TXT "v=vhost1" "token={token}"')
    return 0


def _verify(args: argparse.Namespace, config: Config) -> int:
    from fastvhost.domains_command.verify import verify

    return verify(_canonical_domains(args.domains), config, say=_say)


# Whole files


def _import(args: argparse.Namespace, config: Config) -> int:
    from fastvhost.domains.housekeeping import first_check
    from fastvhost.domains_command.csv_file import read_records

    now = wall_now()
    with (
        args.file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file,
        open_store(config) as store,
    ):

        def records() -> Iterator[DomainRecord]:
            return read_records(
                file,
                str(args.file),
                now=now,
                next_check=lambda domain: first_check(domain, inf, now, config.housekeeping),
                for_opensips=config.domains.schema is ProxySchema.OPENSIPS,
            )

        # Twice, so that nothing is written of a file with a fault, however long it is.
        count = sum(1 for _ in records())
        file.seek(0)
        rest = records()
        while batch := list(islice(rest, MAX_BATCH)):
            put(store, batch)
    _say(f"{args.file}: {count} domains written")
    return 0


def _export(args: argparse.Namespace, config: Config) -> int:
    import csv

    from fastvhost.domains_command.csv_file import COLUMNS, csv_row

    try:
        with (
            open_store(config, only_looks=True) as store,
            nullcontext(sys.stdout) if args.file is None else args.file.open("w", newline="") as file,
        ):
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            for page in pages(store):
                writer.writerows(map(csv_row, page))
    except OSError as error:
        if args.file is None:
            raise
        raise RefusedError(f"{args.file}: cannot be written: {error.strerror}") from error
    return 0


# Records


def _canonical_domains(texts: Sequence[str]) -> list[str]:
    """Each once, in the order given, and no more than are written at once."""
    domains = list(dict.fromkeys(map(canonical_domain, texts)))
    if len(domains) > MAX_BATCH:
        raise RefusedError(f"{len(domains)} domains; at most {MAX_BATCH} at once")
    return domains


def _unseen(domain: str, now: float) -> DomainRecord:
    return DomainRecord(
        domain=domain,
        state=DomainState.REMOVED,
        first_seen=now,
        last_seen=now,
        last_verified=0.0,
        next_check=now,
    )


def _accepted(
    store: Store, records: Sequence[DomainRecord], config: Config, *, evidence: str
) -> list[DomainRecord]:
    """The records as ACTIVE ones, with a did that is no other's."""
    from fastvhost.domains.housekeeping import first_check

    now = wall_now()
    rows = store.operator_rows()
    dids = store.operator_dids()
    for record in records:
        if record.domain in rows:
            raise RefusedError(
                f"{record.domain}: the proxy's table has a row of your own for it, which serves it"
            )
    return [
        replace(
            record,
            state=DomainState.ACTIVE,
            decided_by=DecidedBy.OPERATOR,
            did=_did_of(record, dids, config.domains.did),
            next_check=first_check(record.domain, inf, now, config.housekeeping),
            failures=0,
            negatives=0,
            negative_since=None,
            disabled_at=None,
            evidence=evidence,
        )
        for record in records
    ]


def _did_of(record: DomainRecord, dids: Container[str], says: Mapping[str, str]) -> str | None:
    """Its did, None where that is its own: the one that was granted to it, unless the operator names one."""
    from fastvhost.domains.did import DidRefused, decide_did

    if record.did is not None and record.domain not in says:
        return record.did
    decision = decide_did(
        record.domain, None, published_of=lambda _: None, operator_dids=dids, operator_says=says
    )
    if isinstance(decision, DidRefused):
        raise RefusedError(f"{record.domain}: {decision.why}")
    return None if decision.did == record.domain else decision.did


def _ended(record: DomainRecord, state: DomainState, evidence: str, now: float) -> DomainRecord:
    return replace(
        record,
        state=state,
        decided_by=DecidedBy.OPERATOR,
        disabled_at=now if state is DomainState.DISABLED else None,
        evidence=evidence,
    )


COMMANDS: Mapping[str, Callable[[argparse.Namespace, Config], int]] = {
    "list": _list,
    "show": _show,
    "add": _add,
    "remove": _remove,
    "approve": _approve,
    "reject": _reject,
    "confirm": _confirm,
    "token": _token,
    "verify": _verify,
    "import": _import,
    "export": _export,
}
"""By the name that the operator types."""
