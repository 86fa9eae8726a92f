"""An outage played against a configuration: what the lab says, what the daemon is kept from, and the play."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from ipaddress import ip_network
from pathlib import Path

import pytest

from fastvhost.config import (
    Cache,
    Config,
    Dns,
    Domains,
    Endpoint,
    Limits,
    Listen,
    Log,
    LogLevel,
    Own,
    Proxies,
    Transport,
)
from fastvhost.model import VerdictKind
from fastvhost.service import open_service
from tests.support import refusal
from tools.dnslab import open_lab, parse_zone
from tools.flood import FloodError
from tools.whatif.__main__ import main
from tools.whatif.daemon import on_the_lab
from tools.whatif.zone import MOST_HOSTS, hosted_zone, made_up_hosts

LAB = Endpoint("127.0.0.1", 5300)
OWN = Own(addresses=(ip_network("203.0.113.8/30"),))


@pytest.mark.parametrize(
    "own",
    [
        OWN,
        Own(addresses=(ip_network("2001:db8::10"),), ports={Transport.TLS: frozenset({5061, 6061})}),
        Own(names=frozenset({"sip.provider.example", "a.provider.example"})),
        Own(addresses=OWN.addresses, names=frozenset({"sip.provider.example"})),
        Own(addresses=OWN.addresses, ports={Transport.WSS: frozenset({443}), Transport.WS: frozenset({80})}),
    ],
)
async def test_zone_has_hosts_that_lead_to_us_and_no_others(own: Own) -> None:
    names = (b"a.test", b"b.example 192.0.2.1", b"B.example", b"203.0.113.8", b"no_host", b"\xff")
    zone = parse_zone(hosted_zone(own, names, ttl=30))
    async with open_lab([zone], unknown="nxdomain") as lab:
        config = on_the_lab(Config(own=own), Endpoint(*lab.address), store="")
        async with open_service(config) as service:
            verdicts = {host: (await service.lookup(host)).kind for host in ("a.test", "b.example", "c.test")}
    assert verdicts == {
        "a.test": VerdictKind.HOSTED,
        "b.example": VerdictKind.HOSTED,
        "c.test": VerdictKind.NOT_HOSTED,
    }


def test_zone_of_more_hosts_than_the_lab_takes_is_an_error() -> None:
    assert hosted_zone(OWN, made_up_hosts(MOST_HOSTS), ttl=0).count(" SRV ") == MOST_HOSTS
    with pytest.raises(FloodError, match="20,001 hosts: at most 20,000"):
        hosted_zone(OWN, made_up_hosts(MOST_HOSTS + 1), ttl=0)


def test_daemon_on_the_lab_touches_nothing_of_the_operators() -> None:
    config = Config(
        own=OWN,
        listen=Listen(
            pdb=Endpoint("192.0.2.1", 5380), dns=None, admin=None, allow=(ip_network("192.0.2.0/24"),)
        ),
        dns=Dns(servers=(Endpoint("192.0.2.53", 53),), timeout=0.5),
        limits=Limits(upstream_qps=77.0),
        cache=Cache(stale=7.0, snapshot="/var/lib/fastvhost/snapshot"),
        domains=Domains(store="postgresql+psycopg://db/proxy", always=("a.test",)),
        proxies=Proxies(kamailio=("udp:127.0.0.1:8090",), evapi=(Endpoint("127.0.0.1", 8448),)),
        log=Log(level=LogLevel.ERROR),
    )
    played = on_the_lab(config, LAB, store="")
    free = Endpoint("127.0.0.1", 0)
    assert (played.listen.pdb, played.listen.dns, played.listen.admin) == (free, None, free)
    assert played.listen.allow == (ip_network("192.0.2.0/24"), ip_network("127.0.0.0/8"))
    assert (played.dns.servers, played.dns.timeout) == ((LAB,), 0.5)
    assert (played.domains.store, played.domains.always) == ("", ("a.test",))
    assert (played.proxies, played.log) == (Proxies(), Log())
    assert (played.own, played.limits) == (config.own, config.limits)
    assert played.cache == Cache(stale=7.0)


def test_play_reports_what_was_told_while_dns_was_dead(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "fastvhost.toml").write_text('[own]\naddresses = ["203.0.113.10"]\n')
    (tmp_path / "hosts").write_text("a.test\nb.test\n")
    report = tmp_path / "report.json"
    command = ["--config", str(tmp_path / "fastvhost.toml"), "--hosts", str(tmp_path / "hosts"), "--quiet"]
    command += ["--script", "0 s: silent", "--rate", "100", "--seconds", "1", "--random", "0.5", "--learn"]
    assert main([*command, "--report", str(report)]) == 0
    said = capsys.readouterr()
    assert "2 of 2 hosts are HOSTED; load and script begin" in said.err
    assert "fastvhost.toml on a DNS that fails: 100 requests a second" in said.out
    read = json.loads(report.read_text())
    assert read["whole"]["verdicts"].keys() == {"HOSTED"}
    assert read["whole"]["verdicts_of_random"]["PENDING"] > 0
    assert [event["text"] for event in read["events"]] == ["silent"]
    assert read["events"][0]["at"] < 1.0


def test_play_that_is_terminated_leaves_neither_processes_nor_files(tmp_path: Path) -> None:
    (tmp_path / "fastvhost.toml").write_text('[own]\naddresses = ["203.0.113.10"]\n')
    (tmp_path / "hosts").write_text("a.test\n")
    (tmp_path / "scratch").mkdir()
    command = [sys.executable, "-m", "tools.whatif", "--config", str(tmp_path / "fastvhost.toml")]
    command += ["--hosts", str(tmp_path / "hosts"), "--rate", "10", "--seconds", "60", "--quiet"]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(tmp_path / "scratch")}
    ) as process:
        assert process.stderr is not None
        assert "load and script begin" in process.stderr.readline()
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.terminate()
        _, said = process.communicate(timeout=30)
    left = [child for child in children if Path(f"/proc/{child}").exists()]
    for child in left:
        os.kill(int(child), signal.SIGKILL)
    assert len(children) == 2  # lab and daemon
    assert (left, list((tmp_path / "scratch").iterdir())) == ([], [])
    assert (process.returncode, said) == (143, "")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--script", "10 s"), "a change is `10 s: WORD`"),
        (("--ttl", "-1"), "--ttl -1: 0 to 86,400"),
        (("--rate", "0"), "--rate 0"),
        (("--config", "absent.toml"), "absent.toml: cannot be read"),
        (("--zone-file", "absent"), "absent: cannot be read"),
        (("--hosts", "/dev/null"), "no hosts to ask for"),
        (("--config", "secret.toml", "--learn"), "not ready: daemon: "),
    ],
)
def test_command_line_wrong_is_one_line_and_exit_2(
    arguments: Sequence[str],
    why: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    own = '[own]\naddresses = ["203.0.113.10"]\n'
    Path("fastvhost.toml").write_text(own)
    Path("secret.toml").write_text(f'{own}[domains]\nlearn = "token"\nsecret_file = "absent"\n')
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    assert why in refusal(main, ["--config", "fastvhost.toml", *arguments], capsys)
