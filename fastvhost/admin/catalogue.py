"""The metrics: which counter or gauge of which part is exposed under which name, with which labels.

Parts count under names of their own, `part.name`; here stands what these mean to a monitoring system. A
figure that no pattern takes is exposed all the same, as `fastvhost_other`.

Source: the naming practices of Prometheus (base units, `_total` for counters).
"""

import re
from dataclasses import dataclass

__all__ = ["BUILD", "FAMILIES", "LATENCY", "OTHER", "Family"]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric. Its labels are the groups of its patterns; a group that takes no part is `other`."""

    name: str
    text: str
    """What it counts or shows, in one line."""
    patterns: tuple[str, ...] = ()
    """Regular expressions of `part.name`."""

    @property
    def kind(self) -> str:
        """The type of the text format."""
        if self is LATENCY:
            return "histogram"
        return "counter" if self.name.endswith("_total") else "gauge"

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the labels, in order."""
        if self is LATENCY:
            return ("face", "verdict")
        if self is BUILD:
            return ("version", "python")
        return tuple(re.compile(self.patterns[0]).groupindex)


LATENCY = Family(
    "fastvhost_reply_seconds",
    "From the receipt of a request to its reply; repeated replies count with the time of their turn.",
)
BUILD = Family("fastvhost_build_info", "Always 1; the version of fastvhost and of Python.")
OTHER = Family("fastvhost_other", "Figures that have no name of their own yet.", (r"(?P<figure>.+)",))


def _family(name: str, text: str, *patterns: str) -> Family:
    return Family(name, text, patterns)


_FACE = r"(?P<face>pdb|dns|evapi)"

FAMILIES = (
    BUILD,
    _family("fastvhost_ready", "1 while requests are taken, 0 while it stops.", r"service\.ready"),
    _family("process_start_time_seconds", "When the process began, since the epoch.", r"process\.start"),
    _family("process_cpu_seconds_total", "Processor time, user and system.", r"process\.cpu"),
    _family("process_resident_memory_bytes", "Memory in use.", r"process\.resident"),
    # Faces
    LATENCY,
    _family(
        "fastvhost_replies_total",
        "Replies by face and verdict, repeated ones included.",
        rf"{_FACE}\.replies\.(?P<verdict>\w+)",
    ),
    _family(
        "fastvhost_replies_repeated_total",
        "Replies repeated from the reply table, unparsed.",
        rf"{_FACE}\.repeated",
    ),
    _family(
        "fastvhost_replies_overdue_total",
        "Replies that went out before their look-up had ended.",
        rf"{_FACE}\.overdue",
    ),
    _family("fastvhost_datagrams_received_total", "Datagrams taken in.", r"(?P<face>pdb|dns)\.received"),
    _family("fastvhost_datagrams_sent_total", "Datagrams sent.", r"(?P<face>pdb|dns)\.sent"),
    _family(
        "fastvhost_datagrams_dropped_total",
        "Datagrams without a reply: the kernel's buffer was full (dropped), "
        "too many waited for somebody to look at them, or for too long (overrun), "
        "the client not in listen.allow (not_allowed), "
        "or it was none of the protocol (not_pdb, not_queries).",
        r"(?P<face>pdb|dns)\.(?P<why>dropped|overrun|not_allowed|not_pdb|not_queries)",
    ),
    _family(
        "fastvhost_datagram_errors_total",
        "Errors of the socket.",
        r"(?P<face>pdb|dns)\.(?P<operation>receive|send)_errors",
    ),
    _family(
        "fastvhost_dns_without_verdict_total",
        "DNS queries that asked for no host: not well-formed, out of the zone, or for other types.",
        r"dns\.(?P<why>faulty|refused|without_verdict)",
    ),
    _family(
        "fastvhost_dns_tcp_messages_total",
        "DNS messages over TCP.",
        r"dns\.tcp\.(?P<direction>received|sent)",
    ),
    _family("fastvhost_evapi_questions_total", "Questions of proxies over evapi.", r"evapi\.received"),
    _family(
        "fastvhost_connections_total",
        "Connections that were opened.",
        r"(?P<face>dns)\.tcp\.accepted",
        r"(?P<face>admin)\.accepted",
        r"(?P<face>evapi)\.connections",
    ),
    _family(
        "fastvhost_connections_open",
        "Connections that are open.",
        r"(?P<face>dns)\.tcp\.open",
        r"(?P<face>admin)\.open",
        r"(?P<face>evapi)\.connected",
    ),
    _family(
        "fastvhost_connections_refused_total",
        "Connections closed at once: the client not in listen.allow, or too many at a time.",
        r"(?P<face>dns)\.tcp\.(?P<why>not_allowed|no_room)",
        r"(?P<face>admin)\.(?P<why>not_allowed|no_room)",
    ),
    _family(
        "fastvhost_connection_errors_total",
        "What went wrong on connections.",
        r"(?P<face>dns)\.tcp\.(?P<error>accept_errors|garbage|slow_readers)",
        r"(?P<face>admin)\.(?P<error>accept_errors|slow_clients)",
        r"(?P<face>evapi)\.(?P<error>outages|unreadable|undelivered|pauses)",
    ),
    _family("fastvhost_admin_requests_total", "HTTP requests.", r"admin\.requests"),
    _family("fastvhost_admin_refused_total", "HTTP responses of status 400 and above.", r"admin\.refused"),
    _family("fastvhost_admin_faults_total", "Faults of fastvhost in a page.", r"admin\.faults"),
    # Look-ups
    _family(
        "fastvhost_lookups_total",
        "Look-ups that the reply table did not answer, by what answered them.",
        r"lookup\.(?P<outcome>listed|hits_hosted|hits_stale|hits_outdated|hits_unknown|denied|literals"
        r"|malformed|joined|slow_zone|pending_waiters)",
    ),
    _family(
        "fastvhost_lookups_limited_total",
        "Look-ups answered LIMITED, by what was spent.",
        r"lookup\.limited_(?P<budget>\w+)",
    ),
    _family(
        "fastvhost_walks_total",
        "Walks through DNS: of unknown hosts (walks) and of those that were HOSTED (refreshes).",
        r"lookup\.(?P<lane>walks|refreshes)",
    ),
    _family("fastvhost_walk_faults_total", "Faults of fastvhost in a walk.", r"lookup\.walk_faults"),
    _family(
        "fastvhost_flips_total",
        "Hosts that became HOSTED, confirmed or refuted over TCP.",
        r"lookup\.flips_(?P<outcome>confirmed|refuted)",
    ),
    _family("fastvhost_flights", "Walks under way for hosts that somebody asks for.", r"lookup\.under_way"),
    _family(
        "fastvhost_zones_set_aside_total",
        "How often a zone was set aside for being slow.",
        r"lookup\.zones_set_aside",
    ),
    _family("fastvhost_cache_entries", "Verdicts in the cache.", r"cache\.(?P<part>hosted|unknown)_entries"),
    _family(
        "fastvhost_snapshot_age_seconds",
        "Since the last snapshot of the cache was begun, or since the start.",
        r"snapshot\.age",
    ),
    _family("fastvhost_snapshot_entries", "Verdicts in the last snapshot.", r"snapshot\.entries"),
    _family("fastvhost_snapshot_bytes", "Its size.", r"snapshot\.octets"),
    _family(
        "fastvhost_snapshot_restored_entries", "Verdicts taken back at the start.", r"snapshot\.restored"
    ),
    _family("fastvhost_snapshots_written_total", "Snapshots written.", r"snapshot\.written"),
    _family("fastvhost_snapshot_failures_total", "Snapshots that failed.", r"snapshot\.failures"),
    _family("fastvhost_denial_questions_total", "DNS questions saved by proofs.", r"denial\.questions"),
    _family(
        "fastvhost_denial_dropped_total",
        "Proofs forgotten for want of room.",
        r"denial\.(?P<proof>zones|absent)_dropped",
    ),
    _family("fastvhost_denial_entries", "Proofs that are kept.", r"denial\.(?P<proof>zones|ranges|absent)"),
    _family(
        "fastvhost_wildcard_events_total",
        "Wildcards that point at us: probed for, found, ended, presumed to speak for a name.",
        r"wildcards\.(?P<event>probes|put_off|found|ended|presumed)",
    ),
    _family("fastvhost_wildcards", "Wildcards that are known.", r"wildcards\.entries"),
    _family("fastvhost_wildcard_probes", "Probes for wildcards under way.", r"wildcards\.under_way"),
    # Upstream
    _family(
        "fastvhost_upstream_queries_total",
        "DNS queries sent, retries included.",
        r"upstream\.(?P<transport>udp|tcp)",
    ),
    _family(
        "fastvhost_upstream_answers_total",
        "Questions by how they ended: RCODE, NODATA, time-out, or other.",
        r"upstream\.outcome\.(?:(?P<rcode>[A-Z]+|time-out)|.*)",
    ),
    _family("fastvhost_upstream_received_bytes_total", "Octets of DNS replies.", r"upstream\.octets"),
    _family(
        "fastvhost_upstream_events_total",
        "Questions tried again (retries) or ended for others (gave_way); datagrams that were no reply "
        "(strays) or nearly one (near_misses).",
        r"upstream\.(?P<event>retries|strays|near_misses|gave_way)",
    ),
    _family(
        "fastvhost_budget_tokens",
        "DNS queries that may go out at once; below 0 those that wait.",
        r"budget\.(?P<lane>\w+)\.tokens",
    ),
    _family("fastvhost_budget_burst", "Most of these.", r"budget\.(?P<lane>\w+)\.burst"),
    _family("fastvhost_budget_tokens_per_second", "How fast they come.", r"budget\.(?P<lane>\w+)\.rate"),
    _family(
        "fastvhost_budget_slots_free",
        "Further DNS queries that may be under way.",
        r"budget\.(?P<lane>\w+)\.slots_free",
    ),
    _family("fastvhost_limit", "Bounds from the configuration.", r"limit\.(?P<key>[\w.]+)"),
    _family(
        "fastvhost_sources_established",
        "Sources told HOSTED lately.",
        r"sources\.established",
    ),
    # Known domains
    _family("fastvhost_domains_known", "Hosts decided without DNS.", r"domains\.known"),
    _family(
        "fastvhost_domains_found_total",
        "Hosts that DNS said are ours, by what became of them.",
        r"domains\.(?P<outcome>learned|pending|refused|over_quota|too_long|no_room|undecided)",
    ),
    _family("fastvhost_store_queued", "Records that are not written yet.", r"domains\.queued"),
    _family("fastvhost_store_batches_total", "Transactions written.", r"domains\.batches"),
    _family("fastvhost_store_failures_total", "Transactions that failed.", r"domains\.store_failures"),
    _family(
        "fastvhost_store_refused_total",
        "Records lost: the queue was full.",
        r"domains\.store_refused",
    ),
    _family("fastvhost_housekeeping_checks_total", "Known domains checked.", r"domains\.checks"),
    _family(
        "fastvhost_housekeeping_braked",
        "1 while so many domains turned negative that none is disabled.",
        r"domains\.braked",
    ),
    _family(
        "fastvhost_proxy_reloads_total",
        "Reloads of the proxies' tables: called for, sent, done, failed.",
        r"domains\.reload\.(?P<stage>changes|sent|done|failed)",
    ),
    _family(
        "fastvhost_proxy_htable_total",
        "Verdicts for the proxies' htables, by what became of them.",
        r"domains\.htable\.(?P<event>\w+)",
    ),
    OTHER,
)
"""All metrics; the first pattern that takes a figure counts."""
