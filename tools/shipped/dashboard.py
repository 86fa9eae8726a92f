"""The dashboard for Grafana, from a list of what it shows.

Source: the JSON model of Grafana's dashboards, schema version 38.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase

__all__ = ["dashboard"]

_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_WIDTH, _HEIGHT = 8, 8
"""Of a panel; a dashboard has 24 columns."""
_COLUMNS = 24 // _WIDTH

_HITS = 'outcome=~"listed|hits_.*|denied|literals"'
_MOST_QUERIES, _MOST_UNDER_WAY = 'key="limits.upstream_qps"', 'key="limits.upstream_inflight"'
_CACHE_ENTRIES = 'key=~"cache[.].*"'


@dataclass(frozen=True, slots=True, kw_only=True)
class _Panel:
    """One chart."""

    title: str
    unit: str
    """Of Grafana's units."""
    lines: Sequence[tuple[str, str]]
    """Expression and legend of each."""
    text: str = ""
    """What it tells, for who points at its title."""
    most: float | None = None


def _of(metric: str, matchers: str = "") -> str:
    """A selector of the daemons that the dashboard's variable names."""
    return f'{metric}{{instance=~"$instance"{matchers and ", "}{matchers}}}'


def _rate(metric: str, matchers: str = "", *, by: str = "") -> str:
    of = f"rate({_of(metric, matchers)}[$__rate_interval])"
    return f"sum by ({by}) ({of})" if by else f"sum({of})"


def _quantile(share: str) -> str:
    return f"histogram_quantile({share}, {_rate('fastvhost_reply_seconds_bucket', by='le, face')})"


_ROWS: Sequence[tuple[str, Sequence[_Panel]]] = (
    (
        "Answers",
        (
            _Panel(
                title="Replies by verdict",
                unit="reqps",
                lines=[(_rate("fastvhost_replies_total", by="verdict"), "{{verdict}}")],
            ),
            _Panel(
                title="From memory",
                unit="percentunit",
                text="The share of replies that waited for nothing.",
                most=1.0,
                lines=[
                    (
                        (
                            f"({_rate('fastvhost_replies_repeated_total')}"
                            f" + {_rate('fastvhost_lookups_total', _HITS)})"
                            f" / {_rate('fastvhost_replies_total')}"
                        ),
                        "hit rate",
                    )
                ],
            ),
            _Panel(
                title="Reply time by face",
                unit="s",
                text="From the receipt of a request to its reply, guessed within the histogram's buckets.",
                lines=[(_quantile("0.5"), "{{face}} p50"), (_quantile("0.99"), "{{face}} p99")],
            ),
            _Panel(
                title="Look-ups by what answered them",
                unit="reqps",
                lines=[
                    (_rate("fastvhost_lookups_total", by="outcome"), "{{outcome}}"),
                    (_rate("fastvhost_walks_total", by="lane"), "{{lane}}"),
                ],
            ),
            _Panel(
                title="Refused by budget",
                unit="reqps",
                text="Look-ups answered LIMITED, by what was spent.",
                lines=[(_rate("fastvhost_lookups_limited_total", by="budget"), "{{budget}}")],
            ),
            _Panel(
                title="Datagrams without a reply",
                unit="pps",
                text="dropped: lost in a full socket.",
                lines=[
                    (_rate("fastvhost_datagrams_dropped_total", by="face, why"), "{{face}} {{why}}"),
                    (_rate("fastvhost_replies_overdue_total", by="face"), "{{face}} answered PENDING"),
                ],
            ),
        ),
    ),
    (
        "DNS",
        (
            _Panel(
                title="DNS queries and their cap",
                unit="reqps",
                lines=[
                    (_rate("fastvhost_upstream_queries_total", by="transport"), "{{transport}}"),
                    (f"sum({_of('fastvhost_limit', _MOST_QUERIES)})", "limits.upstream_qps"),
                ],
            ),
            _Panel(
                title="DNS answers by RCODE",
                unit="reqps",
                lines=[(_rate("fastvhost_upstream_answers_total", by="rcode"), "{{rcode}}")],
            ),
            _Panel(
                title="Budget left by lane",
                unit="percentunit",
                text="The share of the burst that could be spent at once; below 0 queries wait.",
                most=1.0,
                lines=[
                    (
                        f"min by (lane) ({_of('fastvhost_budget_tokens')} / {_of('fastvhost_budget_burst')})",
                        "{{lane}}",
                    )
                ],
            ),
            _Panel(
                title="Under way",
                unit="short",
                lines=[
                    (f"sum({_of('fastvhost_flights')})", "walks"),
                    (
                        (
                            f"sum({_of('fastvhost_limit', _MOST_UNDER_WAY)})"
                            f" - sum({_of('fastvhost_budget_slots_free')})"
                        ),
                        "DNS queries",
                    ),
                ],
            ),
            _Panel(
                title="Retries and strays",
                unit="reqps",
                lines=[(_rate("fastvhost_upstream_events_total", by="event"), "{{event}}")],
            ),
            _Panel(
                title="Wildcards and flips",
                unit="reqps",
                lines=[
                    (_rate("fastvhost_wildcard_events_total", by="event"), "wildcard {{event}}"),
                    (_rate("fastvhost_flips_total", by="outcome"), "flip {{outcome}}"),
                ],
            ),
        ),
    ),
    (
        "Known domains",
        (
            _Panel(
                title="Verdicts in the cache",
                unit="short",
                lines=[
                    (f"sum by (part) ({_of('fastvhost_cache_entries')})", "{{part}}"),
                    (f"sum by (key) ({_of('fastvhost_limit', _CACHE_ENTRIES)})", "{{key}}"),
                ],
            ),
            _Panel(
                title="Known without DNS",
                unit="short",
                lines=[(f"max by (instance) ({_of('fastvhost_domains_known')})", "{{instance}}")],
            ),
            _Panel(
                title="Found in DNS",
                unit="reqps",
                lines=[(_rate("fastvhost_domains_found_total", by="outcome"), "{{outcome}}")],
            ),
            _Panel(
                title="Store",
                unit="short",
                text="Records that wait, transactions a second, and those that failed.",
                lines=[
                    (f"sum({_of('fastvhost_store_queued')})", "queued"),
                    (_rate("fastvhost_store_batches_total"), "written a second"),
                    (_rate("fastvhost_store_failures_total"), "failed a second"),
                    (_rate("fastvhost_store_refused_total"), "lost a second"),
                ],
            ),
            _Panel(
                title="Housekeeping",
                unit="short",
                text="Checks a second; 1 while it brakes.",
                lines=[
                    (_rate("fastvhost_housekeeping_checks_total"), "checks a second"),
                    (f"max({_of('fastvhost_housekeeping_braked')})", "brakes"),
                ],
            ),
            _Panel(
                title="Proxies",
                unit="reqps",
                lines=[
                    (_rate("fastvhost_proxy_reloads_total", by="stage"), "reload {{stage}}"),
                    (_rate("fastvhost_proxy_htable_total", by="event"), "htable {{event}}"),
                ],
            ),
        ),
    ),
    (
        "Process",
        (
            _Panel(
                title="Processors",
                unit="percentunit",
                lines=[(_rate("process_cpu_seconds_total", by="instance"), "{{instance}}")],
            ),
            _Panel(
                title="Memory",
                unit="bytes",
                lines=[(_of("process_resident_memory_bytes"), "{{instance}}")],
            ),
            _Panel(
                title="Time since the start",
                unit="s",
                lines=[(f"time() - {_of('process_start_time_seconds')}", "{{instance}}")],
            ),
        ),
    ),
)


def dashboard() -> str:
    """The JSON that Grafana imports."""
    panels: list[dict[str, object]] = []
    top = 0
    for heading, row in _ROWS:
        place = {"x": 0, "y": top, "w": 24, "h": 1}
        panels.append({"id": len(panels) + 1, "type": "row", "title": heading, "gridPos": place})
        top += 1
        for number, panel in enumerate(row):
            line, column = divmod(number, _COLUMNS)
            place = {"x": column * _WIDTH, "y": top + line * _HEIGHT, "w": _WIDTH, "h": _HEIGHT}
            panels.append(_chart(len(panels) + 1, panel, place))
        top += -(-len(row) // _COLUMNS) * _HEIGHT
    whole = {
        "uid": "fastvhost",
        "title": "fastvhost",
        "tags": ["sip", "dns"],
        "schemaVersion": 38,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": _variables()},
        "panels": panels,
    }
    return json.dumps(whole, indent=1) + "\n"


def _chart(number: int, panel: _Panel, place: dict[str, int]) -> dict[str, object]:
    limits = {} if panel.most is None else {"max": panel.most}
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.text,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {
            "defaults": {"unit": panel.unit, **limits, "custom": {"fillOpacity": 10, "showPoints": "never"}},
            "overrides": [],
        },
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": letter, "datasource": _SOURCE, "expr": expr, "legendFormat": legend}
            for letter, (expr, legend) in zip(ascii_uppercase, panel.lines, strict=False)
        ],
    }


def _variables() -> list[dict[str, object]]:
    return [
        {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"},
        {
            "name": "instance",
            "label": "Daemon",
            "type": "query",
            "datasource": _SOURCE,
            "query": "label_values(fastvhost_build_info, instance)",
            "refresh": 2,
            "multi": True,
            "includeAll": True,
            "current": {"text": "All", "value": "$__all"},
        },
    ]
