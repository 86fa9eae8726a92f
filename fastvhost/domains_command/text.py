"""A record of a domain as text for people.

Nothing here needs escaping: the store holds printable ASCII only (`fastvhost.domains.rows`).
"""

from fastvhost.domains.record import DomainRecord, DomainState
from fastvhost.domains.record_json import iso_instant

__all__ = ["TABLE_HEADING", "record_text", "table_lines"]

_WIDTH = 80
_DOMAIN_WIDTH = 28
_LAYOUT = "{domain:28} {state:8} {verified:10} {due:16} {evidence}"
_EVIDENCE_WIDTH = _WIDTH - len(_LAYOUT.format(domain="", state="", verified="", due=" " * 16, evidence=""))

TABLE_HEADING = _LAYOUT.format(
    domain="DOMAIN", state="STATE", verified="VERIFIED", due="NEXT CHECK (UTC)", evidence="EVIDENCE"
)

_CHECKED = (DomainState.ACTIVE, DomainState.DISABLED)


def table_lines(record: DomainRecord) -> str:
    """The record within 80 columns: one line, or two where the domain is a long one."""
    evidence = record.evidence
    if len(evidence) > _EVIDENCE_WIDTH:
        evidence = f"{evidence[: _EVIDENCE_WIDTH - 3]}..."
    is_long = len(record.domain) > _DOMAIN_WIDTH
    line = _LAYOUT.format(
        domain="" if is_long else record.domain,
        state=record.state.value,
        verified=iso_instant(record.last_verified)[:10] if record.last_verified else "never",
        due=iso_instant(record.next_check)[:16] if record.state in _CHECKED else "-",
        evidence=evidence,
    ).rstrip()
    return f"{record.domain}\n{line}" if is_long else line


def record_text(record: DomainRecord) -> str:
    """All that is known of a domain, a line for each."""
    since = record.negative_since
    lines = [
        record.domain,
        f"  state:         {record.state.value}, decided by {record.decided_by.value}",
        f"  evidence:      {record.evidence or '-'}",
        f"  did:           {record.did or f'{record.domain} (its own)'}",
        f"  first seen:    {_to_the_second(record.first_seen)}",
        f"  last seen:     {_to_the_second(record.last_seen)}",
        f"  last verified: {_to_the_second(record.last_verified) if record.last_verified else 'never'}",
        f"  next check:    {_to_the_second(record.next_check) if record.state in _CHECKED else '-'}",
        f"  failures:      {record.failures} in a row",
        f"  negatives:     {record.negatives} in a row{f', since {_to_the_second(since)}' if since else ''}",
    ]
    if record.disabled_at is not None:
        lines.append(f"  disabled at:   {_to_the_second(record.disabled_at)}")
    lines.append(f"  attributes:    {len(record.attributes) or 'none'}")
    lines += [f"    {one.name} = {one.value} ({one.type.name.lower()})" for one in record.attributes]
    return "\n".join(lines)


def _to_the_second(seconds: float) -> str:
    return iso_instant(float(int(seconds)))
