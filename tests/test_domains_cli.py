"""`fastvhost domains`, on SQLite: what each command says, writes and exits with."""

import csv
import json
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from fastvhost.cli import main
from fastvhost.config import Endpoint, LearnMode
from fastvhost.domains.consent import ConsentKind, consents
from fastvhost.domains.record import Attribute, AttributeType, DecidedBy, DomainRecord, DomainState
from fastvhost.domains.record_json import iso_instant, parse_instant
from fastvhost.domains.store import Store
from fastvhost.domains_command.access import wall_now
from fastvhost.domains_command.csv_file import COLUMNS
from fastvhost.domains_command.text import table_lines
from tests.support import OURS, ZONE
from tools.dnslab import Lab, open_lab

SECRET = b"0123456789abcdef0123456789abcdef"
ATTRIBUTES = (
    Attribute(name="dns.max-calls", type=AttributeType.INTEGER, value="5"),
    Attribute(name="dns.realm", type=AttributeType.STRING, value='a, "b"'),
)
COMMANDS = ["list", "show", "add", "remove", "approve", "reject", "confirm", "token", "verify"]


def record(domain: str, state: DomainState = DomainState.ACTIVE, **given: Any) -> DomainRecord:
    instants = {
        "first_seen": 1_700_000_000.1,
        "last_seen": 1_700_000_001.25,
        "last_verified": 1_750_000_000.123456,
        "next_check": 1_785_585_600.0,
    }
    return DomainRecord(domain=domain, state=state, **{**instants, **given})


def negative(domain: str, *, negatives: int = 3, seconds: float = 3_700.0) -> DomainRecord:
    return record(domain, negatives=negatives, negative_since=wall_now() - seconds, evidence="NXDOMAIN")


class Operator:
    """Types commands on a configuration and store of his own."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys
        self.path = folder / "fastvhost.toml"
        self.configure()

    def configure(self, more: str = "", *, store: str | None = None, servers: str = "127.0.0.1:9") -> None:
        url = f"sqlite:///{self.folder}/domains.db" if store is None else store
        self.path.write_text(
            f'[own]\naddresses = ["{OURS}"]\n[dns]\nservers = ["{servers}"]\ntimeout = 0.2\n'
            f'[domains]\nstore = "{url}"\n{more}'
        )

    def types(self, command: str, *arguments: str) -> tuple[int, str, str]:
        """The exit code, stdout and stderr."""
        code = main(["domains", command, *arguments, "--config", str(self.path)])
        captured = self._capsys.readouterr()
        return code, captured.out, captured.err

    def says(self, command: str, *arguments: str) -> str:
        code, out, err = self.types(command, *arguments)
        assert (code, err) == (0, "")
        return out

    def is_refused(self, command: str, *arguments: str) -> str:
        code, _, err = self.types(command, *arguments)
        assert code == 2
        assert err.count("\n") == 1
        assert err.startswith("fastvhost: ")
        return err

    def keep(self, *records: DomainRecord) -> None:
        with closing(Store(f"sqlite:///{self.folder}/domains.db", proxy="kamailio")) as store:
            store.prepare()
            assert not store.put(records).refused

    def kept(self) -> dict[str, DomainRecord]:
        with closing(Store(f"sqlite:///{self.folder}/domains.db", proxy="kamailio")) as store:
            store.prepare()
            return {one.domain: one for one in store.find(limit=10_000)}

    def rows(self) -> list[tuple[Any, ...]]:
        """What the proxy is served."""
        with closing(sqlite3.connect(self.folder / "domains.db")) as connection:
            return connection.execute("SELECT domain, did FROM domain ORDER BY domain").fetchall()


@pytest.fixture
def operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Operator:
    # main() leaves stdout to nobody after an error; here it is pytest's.
    monkeypatch.setattr("fastvhost.cli.os.dup2", lambda *_: None)
    operator = Operator(tmp_path, capsys)
    operator.keep()
    return operator


# Arguments


@pytest.mark.parametrize("command", [*COMMANDS, "import", "export"])
def test_help_of_a_domains_command_shows_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["domains", command, "--help"])
    assert ended.value.code == 0
    assert f"example:\n  fastvhost domains {command}" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["domains"], ["domains", "list", "--state", "x"], ["domains", "add"]])
def test_domains_with_wrong_arguments_exits_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2


@pytest.mark.parametrize("command", ["list", "export", "confirm"])
def test_domains_without_a_store_says_so(operator: Operator, command: str) -> None:
    operator.configure(store="")
    assert "domains.store is empty" in operator.is_refused(command)


def test_domains_with_a_store_that_cannot_be_opened_says_so(operator: Operator) -> None:
    file = f"{operator.folder}/no/such/folder.db"
    operator.configure(store=f"sqlite:///{file}")
    assert operator.is_refused("add", "a.example") == (
        f"fastvhost: domains.store cannot be used: {file}: unable to open database file\n"
    )


def test_domains_where_a_relative_store_has_lost_its_directory_is_one_line(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator.configure(store="sqlite:///domains.db")
    gone = operator.folder / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert "domains.db: No such file or directory" in operator.is_refused("add", "a.example")


@pytest.mark.parametrize(
    "arguments",
    [["list"], ["show", "a.test"], ["remove", "a.test"], ["approve", "a.test"], ["confirm"], ["export"]],
)
def test_looking_into_a_store_that_is_not_there_says_so_and_makes_none(
    operator: Operator, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    elsewhere = operator.folder / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    operator.configure(store="sqlite:///domains.db")
    assert operator.is_refused(*arguments) == (
        "fastvhost: domains.store: domains.db: no such file; a relative name counts from the directory "
        "of the command\n"
    )
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("command", ["show", "add", "remove", "approve", "reject", "token", "verify"])
@pytest.mark.parametrize(
    ("domain", "why"), [("a_b.example", "no domain"), (f"{'a' * 61}.test", "over 64 octets")]
)
def test_domain_that_no_table_can_hold_is_refused(
    operator: Operator, command: str, domain: str, why: str
) -> None:
    assert why in operator.is_refused(command, domain)


# Looking


def test_list_shows_a_line_of_80_columns_for_each_domain(operator: Operator) -> None:
    long = f"{'a' * 50}.example"
    operator.keep(
        record("b.example", evidence="x" * 200),
        record(long),
        record("c.example", DomainState.PENDING, last_verified=0.0),
    )
    lines = operator.says("list").splitlines()
    assert lines[0].split() == ["DOMAIN", "STATE", "VERIFIED", "NEXT", "CHECK", "(UTC)", "EVIDENCE"]
    assert lines[1:3] == [long, f"{'':28} active   2025-06-15 2026-08-01T12:00"]
    assert lines[3].startswith("b.example".ljust(29) + "active   2025-06-15 2026-08-01T12:00 xxx")
    assert lines[4].split() == ["c.example", "pending", "never", "-"]
    assert max(map(len, lines)) == 80


def test_list_by_state_shows_those_only(operator: Operator) -> None:
    operator.keep(record("a.example"), record("b.example", DomainState.REJECTED))
    assert [one["domain"] for one in json.loads(operator.says("list", "--state", "rejected", "--json"))] == [
        "b.example"
    ]


def test_list_of_several_pages_shows_all_in_order(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastvhost.domains_command.access._PAGE", 3)
    operator.keep(*(record(f"d{number}.example") for number in range(7)))
    listed = json.loads(operator.says("list", "--json"))
    assert [one["domain"] for one in listed] == [f"d{number}.example" for number in range(7)]


def test_list_whose_reader_has_gone_ends_without_a_word(operator: Operator) -> None:
    operator.keep(*(record(f"d{number:04}.example") for number in range(3_000)))
    # More than a pipe holds.
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "fastvhost", "domains", "list", "--config", operator.path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith("DOMAIN")
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0


def test_list_of_an_empty_store_as_json_is_an_empty_array(operator: Operator) -> None:
    assert json.loads(operator.says("list", "--json")) == []


def test_show_as_json_has_everything_with_instants_in_iso_8601(operator: Operator) -> None:
    operator.keep(
        record(
            "a.example", did="shared", negatives=1, negative_since=1e9, attributes=ATTRIBUTES, evidence="SRV"
        )
    )
    assert json.loads(operator.says("show", "A.Example.", "--json")) == {
        "domain": "a.example",
        "state": "active",
        "decided_by": "dns",
        "did": "shared",
        "first_seen": "2023-11-14T22:13:20.1Z",
        "last_seen": "2023-11-14T22:13:21.25Z",
        "last_verified": "2025-06-15T15:06:40.123456Z",
        "next_check": "2026-08-01T12:00:00Z",
        "failures": 0,
        "negatives": 1,
        "negative_since": "2001-09-09T01:46:40Z",
        "disabled_at": None,
        "evidence": "SRV",
        "attributes": [
            {"name": "dns.max-calls", "type": "integer", "value": "5"},
            {"name": "dns.realm", "type": "string", "value": 'a, "b"'},
        ],
    }


def test_show_as_text_has_state_evidence_and_attributes(operator: Operator) -> None:
    operator.keep(
        record("a.example", DomainState.DISABLED, disabled_at=1e9, attributes=ATTRIBUTES, evidence="x")
    )
    shown = operator.says("show", "a.example")
    for part in (
        "disabled, decided by dns",
        "2001-09-09T01:46:40Z",
        "dns.max-calls = 5 (integer)",
        "its own",
    ):
        assert part in shown


def test_show_of_an_unknown_domain_exits_1(operator: Operator) -> None:
    assert operator.types("show", "a.example") == (1, "", "fastvhost: a.example: not known\n")


# The operator's word


@pytest.mark.parametrize("typed", ["New.Example.", "new.example"])
def test_add_serves_an_unknown_domain_by_the_operator(operator: Operator, typed: str) -> None:
    assert operator.says("add", typed) == "new.example: active\n"
    kept = operator.kept()["new.example"]
    assert (kept.state, kept.decided_by) == (DomainState.ACTIVE, DecidedBy.OPERATOR)
    assert wall_now() < kept.next_check <= wall_now() + 86_400
    assert operator.rows() == [("new.example", None)]


def test_add_of_a_disabled_domain_serves_it_anew_with_its_attributes(operator: Operator) -> None:
    before = replace(
        negative("a.example"), state=DomainState.DISABLED, disabled_at=5.0, attributes=ATTRIBUTES
    )
    operator.keep(before)
    operator.says("add", "a.example")
    kept = operator.kept()["a.example"]
    assert (kept.state, kept.negatives, kept.disabled_at) == (DomainState.ACTIVE, 0, None)
    assert (kept.attributes, kept.first_seen) == (ATTRIBUTES, before.first_seen)


def test_add_of_a_domain_with_a_did_in_the_configuration_uses_it(operator: Operator) -> None:
    operator.configure('[domains.did]\n"a.example" = "shared"\n')
    operator.says("add", "a.example")
    assert operator.rows() == [("a.example", "shared")]


def operator_row(operator: Operator, domain: str, did: str) -> None:
    operator.says("list")
    with closing(sqlite3.connect(operator.folder / "domains.db")) as connection, connection:
        connection.execute(
            "INSERT INTO domain (domain, did, last_modified) VALUES (?, ?, '2000-01-01 00:00:00')",
            (domain, did),
        )


def test_add_of_a_domain_that_the_operator_s_row_has_is_refused(operator: Operator) -> None:
    operator_row(operator, "a.example", "a.example")
    assert "a row of your own" in operator.is_refused("add", "a.example")


@pytest.mark.parametrize("command", ["add", "approve"])
def test_domain_whose_did_is_the_operator_s_is_never_served(operator: Operator, command: str) -> None:
    operator_row(operator, "other.example", "a.example")
    operator.keep(record("a.example", DomainState.PENDING))
    assert "has the did a.example" in operator.is_refused(command, "a.example")
    assert operator.kept()["a.example"].state is DomainState.PENDING


def test_remove_takes_the_row_away(operator: Operator) -> None:
    operator.keep(record("a.example"), record("b.example"))
    assert operator.says("remove", "a.example").startswith("a.example: removed")
    assert operator.kept()["a.example"].state is DomainState.REMOVED
    assert operator.kept()["a.example"].decided_by is DecidedBy.OPERATOR
    assert operator.rows() == [("b.example", None)]


def test_remove_of_an_unknown_domain_is_refused(operator: Operator) -> None:
    assert operator.is_refused("remove", "a.example") == "fastvhost: a.example: not known\n"


def test_approve_serves_those_that_wait_or_were_rejected(operator: Operator) -> None:
    operator.keep(
        record("a.example", DomainState.PENDING),
        record("b.example", DomainState.REJECTED),
        record("c.example"),
    )
    operator.says("approve", "a.example", "b.example", "c.example")
    kept = operator.kept()
    assert {one.state for one in kept.values()} == {DomainState.ACTIVE}
    assert kept["a.example"].decided_by is DecidedBy.OPERATOR
    assert kept["c.example"].decided_by is DecidedBy.DNS


@pytest.mark.parametrize("state", [None, DomainState.REMOVED, DomainState.DISABLED])
def test_approve_with_one_that_does_not_wait_approves_none(
    operator: Operator, state: DomainState | None
) -> None:
    operator.keep(record("a.example", DomainState.PENDING))
    if state is not None:
        operator.keep(record("b.example", state))
    assert "b.example" in operator.is_refused("approve", "a.example", "b.example")
    assert operator.kept()["a.example"].state is DomainState.PENDING


def test_reject_ends_a_known_domain_and_bars_an_unknown_one(operator: Operator) -> None:
    operator.keep(record("a.example"))
    operator.says("reject", "a.example", "b.example")
    assert {one.state for one in operator.kept().values()} == {DomainState.REJECTED}
    assert operator.rows() == []


# The brake


def test_confirm_disables_what_the_brake_is_holding_and_no_other(operator: Operator) -> None:
    operator.keep(
        negative("gone.example"),
        negative("too-few.example", negatives=2),
        negative("too-soon.example", seconds=3_000.0),
        record("fine.example"),
    )
    assert operator.says("confirm", "--dry-run") == "gone.example: 3 negatives: NXDOMAIN\n1 to disable\n"
    assert len(operator.rows()) == 4
    assert operator.says("confirm").endswith("1 disabled\n")
    kept = operator.kept()
    assert [one.domain for one in kept.values() if one.state is DomainState.DISABLED] == ["gone.example"]
    assert kept["gone.example"].decided_by is DecidedBy.OPERATOR
    assert kept["gone.example"].disabled_at == pytest.approx(wall_now(), abs=60)
    assert len(operator.rows()) == 3
    assert operator.says("confirm") == "0 disabled\n"


# Tokens


def test_token_that_is_printed_proves_consent(operator: Operator) -> None:
    secret = operator.folder / "secret"
    secret.write_bytes(SECRET + b"\n")
    operator.configure(f'secret_file = "{secret}"\n')
    printed = operator.says("token", "A.Example")
    owner, _, _, version, token = printed.split()
    assert (owner, version) == ("_vhost._sip.a.example.", '"v=vhost1"')
    published = token.strip('"').removeprefix("token=")
    assert consents(LearnMode.TOKEN, "a.example", published, SECRET).kind is ConsentKind.ACTIVE
    assert consents(LearnMode.TOKEN, "b.example", published, SECRET).kind is ConsentKind.REFUSED


@pytest.mark.parametrize(
    ("octets", "why"), [(None, "No such file"), (b"short", "5 octets"), (b"", "0 octets")]
)
def test_token_without_a_usable_secret_is_refused(operator: Operator, octets: bytes | None, why: str) -> None:
    secret = operator.folder / "secret"
    if octets is not None:
        secret.write_bytes(octets)
    operator.configure(f'secret_file = "{secret}"\n')
    assert why in operator.is_refused("token", "a.example")


def test_token_without_a_secret_file_names_the_key(operator: Operator) -> None:
    assert "domains.secret_file is empty" in operator.is_refused("token", "a.example")


def test_token_for_an_address_is_refused(operator: Operator) -> None:
    (operator.folder / "secret").write_bytes(SECRET)
    operator.configure(f'secret_file = "{operator.folder}/secret"\n')
    assert "is an address" in operator.is_refused("token", "192.0.2.1")


# Verifying


async def beside(operator: Operator, lab: Lab, *domains: str, more: str = "") -> tuple[int, str, str]:
    """`verify`, while this process serves the lab."""
    operator.configure(more, servers=str(Endpoint(*lab.address)))
    return await trio.to_thread.run_sync(lambda: operator.types("verify", *domains))


async def test_verify_stores_what_dns_says_of_known_domains(operator: Operator) -> None:
    operator.keep(
        record("hosted.example", DomainState.DISABLED, disabled_at=1e9, failures=2),
        record("elsewhere.example"),
        record("address.example", DomainState.PENDING),
    )
    async with open_lab([ZONE], unknown="nxdomain") as lab:
        names = ("hosted.example", "elsewhere.example", "address.example")
        code, out, err = await beside(operator, lab, *names, more='never = ["hosted.example"]\n')
    assert (code, err) == (1, "")
    assert [line.split()[1] for line in out.splitlines()] == ["HOSTED:", "NOT_HOSTED:", "HOSTED:"]
    kept = operator.kept()
    assert kept["hosted.example"].state is DomainState.ACTIVE
    assert kept["hosted.example"].last_verified == pytest.approx(wall_now(), abs=60)
    assert (kept["elsewhere.example"].state, kept["elsewhere.example"].negatives) == (DomainState.ACTIVE, 1)
    assert kept["address.example"].state is DomainState.PENDING
    assert kept["address.example"].last_verified == kept["hosted.example"].last_verified


async def test_verify_beside_a_daemon_leaves_its_addresses_proxies_and_snapshot_alone(
    operator: Operator,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as evapi:
        evapi.setblocking(False)
        mine, proxy = (f"127.0.0.1:{one.getsockname()[1]}" for one in (taken, evapi))
        snapshot = operator.folder / "fastvhost.snapshot"
        more = (
            f'[listen]\ndns = "{mine}"\nadmin = "{proxy}"\n[proxies]\nevapi = ["tcp:{proxy}"]\n'
            f'[cache]\nsnapshot = "{snapshot}"\n'
        )
        async with open_lab([ZONE], unknown="nxdomain") as lab:
            code, _, err = await beside(operator, lab, "hosted.example", more=more)
        assert (code, err) == (0, "")
        assert not snapshot.exists()
        with pytest.raises(BlockingIOError):
            evapi.accept()


async def test_verify_of_unknown_domains_only_tells(operator: Operator) -> None:
    async with open_lab([ZONE], unknown="nxdomain") as lab:
        code, out, _ = await beside(operator, lab, "hosted.example")
    assert code == 0
    assert out.endswith("; not known to the store\n")
    assert operator.kept() == {}


def test_verify_without_an_answer_exits_3_and_counts_a_failure(operator: Operator) -> None:
    operator.keep(record("a.example"))
    code, out, _ = operator.types("verify", "a.example")
    assert code == 3
    assert out.startswith("a.example: UNDETERMINED: ")
    assert (operator.kept()["a.example"].failures, operator.kept()["a.example"].negatives) == (1, 0)


# Whole files


def test_export_and_import_round_trip_exactly(operator: Operator) -> None:
    operator.keep(
        record("a.example", did="shared", attributes=ATTRIBUTES, evidence='said "x", and y'),
        record(
            "b.example", DomainState.REJECTED, decided_by=DecidedBy.OPERATOR, last_verified=0.0, failures=7
        ),
        replace(
            negative("c.example"), state=DomainState.DISABLED, disabled_at=wall_now(), next_check=0.1 + 0.2
        ),
        record("[2001:db8::1]", DomainState.PENDING),
        record("d.example", DomainState.REMOVED),
    )
    before = operator.kept()
    rows = operator.rows()
    file = operator.folder / "domains.csv"
    operator.says("export", str(file))
    assert operator.says("export") == file.read_text()
    (operator.folder / "domains.db").unlink()
    assert operator.says("import", str(file)) == f"{file}: 5 domains written\n"
    assert operator.kept() == before
    assert operator.rows() == rows


def test_import_of_names_only_serves_them_by_the_operator(operator: Operator) -> None:
    file = operator.folder / "names.csv"
    file.write_text("domain\nA.example\nb.example.\n")
    operator.says("import", str(file))
    assert [row[0] for row in operator.rows()] == ["a.example", "b.example"]
    assert {one.decided_by for one in operator.kept().values()} == {DecidedBy.OPERATOR}


def test_import_of_more_than_a_batch_writes_all(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastvhost.domains_command.commands.MAX_BATCH", 3)
    file = operator.folder / "names.csv"
    file.write_text("domain\n" + "".join(f"d{number}.example\n" for number in range(7)))
    operator.says("import", str(file))
    assert len(operator.rows()) == 7


@pytest.mark.parametrize(
    ("content", "line", "why"),
    [
        ("", 1, "the header must have domain"),
        ("state\nactive\n", 1, "the header must have domain"),
        ("domain,domain\n", 1, "each at most once"),
        ("domain,colour\n", 1, "the header must have domain"),
        ("domain\na.example\na_b\n", 3, "no domain"),
        ("domain\na.example\nA.example\n", 3, "twice"),
        (f"domain\n{'a' * 61}.test\n", 2, "over 64 octets"),
        ("domain,state\na.example\n", 2, "1 fields; the header has 2"),
        ("domain,state\n,active\n", 2, "domain: empty"),
        ("domain,state\na.example,on\n", 2, "allowed is active, pending"),
        ("domain,decided_by\na.example,me\n", 2, "allowed is dns, operator"),
        ("domain,did\na.example,ü\n", 2, "not printable ASCII"),
        ("domain,first_seen\na.example,yesterday\n", 2, "an instant like"),
        ("domain,first_seen\na.example,nan\n", 2, "an instant like"),
        ("domain,first_seen\na.example,2026-13-01T00:00:00Z\n", 2, "an instant like"),
        ("domain,failures\na.example,-1\n", 2, "allowed is 0 to"),
        ("domain,negatives\na.example,2147483648\n", 2, "allowed is 0 to"),
        ("domain,attributes\na.example,{\n", 2, "a JSON list"),
        ('domain,attributes\na.example,"[[""a"",""float"",""1""]]"\n', 2, "a JSON list"),
        ('domain,attributes\na.example,"[[""a"",""integer"",""x""]]"\n', 2, "no 32-bit integer"),
        ('domain\n"a.example\n', 2, "unexpected end"),
        (f"domain,evidence\n{',' * 131_072}\n", 2, "a line of over 131,072 characters"),
        ("domain,evidence\n" + '"\n",' * 40_000, 32_770, "a line of over 131,072 characters"),
    ],
)
def test_import_of_a_file_with_a_fault_names_the_line_and_writes_nothing(
    operator: Operator, content: str, line: int, why: str
) -> None:
    file = operator.folder / "bad.csv"
    file.write_text(content)
    said = operator.is_refused("import", str(file))
    assert f"bad.csv:{line}: " in said
    assert why in said
    assert operator.kept() == {}


def test_import_of_a_line_as_long_as_may_be_is_read(operator: Operator) -> None:
    file = operator.folder / "long.csv"
    file.write_text("domain,evidence\n" + f"a.example,{'a' * 131_061}\n" + "b.example,\n" * 2)
    assert "long.csv:2: a.example: a evidence over 255 octets" in operator.is_refused("import", str(file))


def test_import_of_a_file_without_an_end_is_refused(operator: Operator) -> None:
    said = operator.is_refused("import", "/dev/zero")
    assert said == (
        "fastvhost: /dev/zero:1: a line of over 131,072 characters; "
        "allowed are at most that many for one domain\n"
    )


def test_import_of_octets_that_are_no_utf_8_is_refused(operator: Operator) -> None:
    file = operator.folder / "bad.csv"
    file.write_bytes(b"domain\na\xff.example\n")
    assert "bad.csv:2: " in operator.is_refused("import", str(file))


def test_import_of_attributes_that_opensips_cannot_hold_is_refused(operator: Operator) -> None:
    operator.configure('schema = "opensips"\n', store=f"sqlite:///{operator.folder}/opensips.db")
    file = operator.folder / "bad.csv"
    file.write_text('domain,attributes\na.example,"[[""a"",""string"",""x;y""]]"\n')
    assert "its attributes" in operator.is_refused("import", str(file))


@pytest.mark.parametrize(("command", "path"), [("import", "missing.csv"), ("export", "no/such/folder.csv")])
def test_file_that_cannot_be_opened_is_one_line(operator: Operator, command: str, path: str) -> None:
    assert "No such file" in operator.is_refused(command, str(operator.folder / path))


def test_export_into_a_file_that_takes_no_more_names_it(operator: Operator) -> None:
    assert operator.is_refused("export", "/dev/full") == (
        "fastvhost: /dev/full: cannot be written: No space left on device\n"
    )


def test_export_has_the_documented_header(operator: Operator) -> None:
    assert list(csv.reader(operator.says("export").splitlines())) == [list(COLUMNS)]


# Text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "1970-01-01T00:00:00Z"),
        (1_785_585_600.25, "2026-08-01T12:00:00.25Z"),
        (1_785_585_600.1234567, "2026-08-01T12:00:00.1234567Z"),
        (1e-05, "1970-01-01T00:00:00.00001Z"),
        (253_402_300_799.0, "9999-12-31T23:59:59Z"),
        (253_402_300_800.0, "253402300800.0"),
        (1e300, "1e+300"),
        (-1.5, "-1.5"),
    ],
)
def test_instant_as_text_reads_as_the_same_float(seconds: float, text: str) -> None:
    assert iso_instant(seconds) == text
    assert parse_instant(text) == seconds


@pytest.mark.parametrize("text", ["", "inf", "nan", "1969-12-31T23:59:59Z", "2026-08-01T12:00:00"])
def test_instant_in_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_instant(text)


@pytest.mark.parametrize(("length", "lines"), [(27, 1), (28, 1), (29, 2)])
def test_table_lines_of_a_long_domain_are_two(length: int, lines: int) -> None:
    shown = table_lines(record("a" * length, evidence="x" * 255))
    assert len(shown.splitlines()) == lines
    assert max(map(len, shown.splitlines())) == 80
