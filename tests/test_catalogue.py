"""The catalogue: every figure of a running service has a name, and docs/admin.md lists them all."""

import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families as parse

from fastvhost.admin.catalogue import BUILD, FAMILIES, LATENCY, OTHER
from fastvhost.resolve.reply import Failure
from fastvhost.service import open_service
from tests.all_faces import config_with_all_faces
from tests.documents import documented_block
from tests.http_client import get
from tests.support import ZONE
from tools.dnslab import open_lab


async def test_every_figure_of_a_service_with_all_faces_has_a_name_of_its_own(tmp_path: Path) -> None:
    async with open_lab([ZONE]) as lab, open_service(config_with_all_faces(lab, tmp_path)) as service:
        assert set(service.faces) == {"pdb", "dns", "evapi", "admin"}
        await service.lookup("hosted.example")
        assert service.admin_endpoint is not None
        reply = await get(service.admin_endpoint, "/metrics")
        found = {family.name: family for family in parse(reply.text)}
        # The parser takes `_total` off.
        assert set(found) == {
            family.name.removesuffix("_total") for family in FAMILIES if family is not OTHER
        }
        for name in service.counters():
            assert any(
                re.fullmatch(pattern, name)
                for family in FAMILIES
                if family is not OTHER
                for pattern in family.patterns
            ), name
        faces = {sample.labels["face"] for sample in found[LATENCY.name].samples}
        assert faces == {"pdb", "dns", "evapi"}


def test_names_follow_the_rules_and_no_two_are_the_same() -> None:
    names = [family.name for family in FAMILIES]
    assert len(set(names)) == len(names)
    for family in FAMILIES:
        assert re.fullmatch(r"(fastvhost|process)_[a-z_]+", family.name)
        assert "\n" not in family.text
        for pattern in family.patterns:
            assert tuple(re.compile(pattern).groupindex) == family.labels, family.name


def test_rcodes_are_all_capitals_or_time_out() -> None:
    """What is no RCODE must not become a label of its own: some of it is an error's text."""
    (pattern,) = next(one for one in FAMILIES if one.name == "fastvhost_upstream_answers_total").patterns
    for why in (Failure(why="unreadable reply: EVIL").why, "over dns.walk_timeout", "NXDOMAIN without SOA"):
        match = re.fullmatch(pattern, f"upstream.outcome.{why}")
        assert match is not None
        assert match["rcode"] is None


def test_document_lists_every_metric_with_type_labels_and_meaning() -> None:
    lines = [f"{'metric':<44} {'type':<9} labels\n", "\n"]
    for family in FAMILIES:
        lines.append(f"{family.name:<44} {family.kind:<9} {', '.join(family.labels)}".rstrip() + "\n")
        lines.append(f"    {family.text}\n")
    assert documented_block("docs/admin.md", "metrics") == "".join(lines)
    assert BUILD in FAMILIES
