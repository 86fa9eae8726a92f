"""The commands, run as users run them: exit codes, one line for each mistake, signals."""

import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
import trio

import fastvhost
from fastvhost.cli import main
from fastvhost.config import Endpoint
from fastvhost.faces.pdb_codec import write_request
from fastvhost.faces.udp import open_batch
from tests.support import OURS, ZONE, free_port, refusal
from tools.dnslab import Effect, Fault, Lab, open_lab, parse_zone

COMMAND = [sys.executable, "-W", "error", "-m", "fastvhost"]


def run(*arguments: str, timeout: float = 30.0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=timeout, check=False
    )


async def run_beside(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The same while this process serves the lab."""
    return await trio.to_thread.run_sync(lambda: run(*arguments))


@contextmanager
def daemon(config: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], Endpoint]]:
    """`fastvhost serve`, from its line that it is ready until the block ends."""
    with subprocess.Popen(
        [*COMMAND, "serve", "--config", str(config), *arguments], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        try:
            line = process.stderr.readline()
            assert "ready: PDB on " in line, line
            found = re.search(r"PDB on \[?([^],;]+)\]?:(\d+)", line)
            assert found is not None, line
            yield process, Endpoint(found[1], int(found[2]))
        finally:
            if process.poll() is None:
                process.kill()


def config_file(folder: Path, lab: Lab | None = None, *, pdb: str = "127.0.0.1:0", more: str = "") -> Path:
    servers = f'["{Endpoint(*lab.address)}"]' if lab else '["127.0.0.1:9"]'
    path = folder / "fastvhost.toml"
    path.write_text(
        f'[own]\naddresses = ["{OURS}"]\n[listen]\npdb = "{pdb}"\ndns = ""\nadmin = ""\nanswer_within = 5\n'
        f"[dns]\nservers = {servers}\ntimeout = 0.2\n{more}[domains]\nstore = ''\n"
    )
    return path


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async with open_lab([ZONE], unknown="nxdomain") as lab:
        yield lab


def test_version_is_the_package_s() -> None:
    assert run("--version").stdout == f"fastvhost {fastvhost.__version__}\n"


@pytest.mark.parametrize("command", ["serve", "reload", "query", "top", "explain", "check-config", "domains"])
def test_help_of_a_command_shows_an_example(command: str) -> None:
    result = run(command, "--help")
    assert result.returncode == 0
    assert f"example:\n  fastvhost {command} " in result.stdout


COMMANDS = "serve, reload, query, top, explain, check-config, domains"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], f"fastvhost: COMMAND: missing; allowed: {COMMANDS}"),
        (["nonsense"], f"fastvhost: argument COMMAND: found 'nonsense'; allowed: {COMMANDS}"),
        (["--nope", "check-config", "x"], "fastvhost: found '--nope'; allowed: --help, --version, COMMAND"),
        (["query"], "fastvhost query: the following arguments are required: HOST"),
        (["query", "a", "--timeout", "0"], "fastvhost query: argument --timeout: found '0'; allowed: "),
        (["query", "a", "--server"], "fastvhost query: argument --server: expected one argument"),
        (
            ["query", "a", "b\n"],
            "fastvhost query: found 'b\\n'; allowed: --help, HOST, --source, --server, --timeout",
        ),
        (["query", "a", "--time", "1"], "fastvhost query: found '--time'; allowed: "),
        (["check-config"], "fastvhost check-config: the following arguments are required: FILE"),
        (
            ["serve", "--log-level", "debug"],
            "fastvhost serve: argument --log-level: found 'debug'; allowed: info, warning, error",
        ),
        (["domains"], "fastvhost domains: COMMAND: missing; allowed: list, show, add, remove, "),
        (["domains", "ad"], "fastvhost domains: argument COMMAND: found 'ad'; allowed: list, show, add, "),
        (["domains", "list", "--yes"], "fastvhost domains list: found '--yes'; allowed: "),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refusal(main, arguments, capsys).startswith(said)


def test_wrong_usage_is_one_line_also_of_the_process() -> None:
    result = run("query")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "fastvhost query: the following arguments are required: HOST\n"


def test_check_config_of_a_good_file_says_so(tmp_path: Path) -> None:
    path = config_file(tmp_path)
    result = run("check-config", str(path))
    assert (result.returncode, result.stdout) == (0, f"{path}: ok\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[own]\naddreses = []\n", "own.addreses: unknown, with value []; did you mean addresses?"),
        ("[own]\n", "own: found neither addresses nor names"),
        (
            '[own]\nnames = ["a.b"]\n[limits]\nwaiters = 0\n',
            "limits.waiters: found 0; allowed: an integer from 1",
        ),
        ("[own\n", "not TOML"),
    ],
)
@pytest.mark.parametrize(
    "command", [["check-config"], ["serve", "--config"], ["explain", "a.test", "--config"]]
)
def test_wrong_file_is_one_line_and_exit_2(
    tmp_path: Path, command: list[str], text: str, expected: str
) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    result = run(*command, str(path))
    assert result.returncode == 2
    assert result.stderr.startswith(f"fastvhost: {path}: ")
    assert expected in result.stderr
    assert result.stderr.count("\n") == 1


def test_file_that_is_not_there_is_one_line_and_exit_2(tmp_path: Path) -> None:
    result = run("serve", "--config", str(tmp_path / "none.toml"))
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert "none.toml" in result.stderr


def test_port_in_use_is_one_line_and_exit_2(tmp_path: Path) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        pdb = f"127.0.0.1:{taken.getsockname()[1]}"
        result = run("serve", "--config", str(config_file(tmp_path, pdb=pdb)))
    assert result.returncode == 2
    assert result.stderr == f"fastvhost: cannot listen on UDP {pdb}: Address already in use\n"


async def test_query_exits_by_verdict(tmp_path: Path, lab: Lab) -> None:
    lab.faults = [Fault(effect=Effect.SERVFAIL, name="broken.example")]
    expected = {
        "hosted.example": (0, "HOSTED"),
        "elsewhere.example": (1, "NOT_HOSTED"),
        "broken.example": (3, "UNDETERMINED"),
        "foo_bar": (3, "MALFORMED"),
    }
    with daemon(config_file(tmp_path, lab)) as (_, server):
        for host, (code, kind) in expected.items():
            result = await run_beside("query", host, "--server", str(server), "--source", "192.0.2.1")
            assert result.returncode == code
            assert result.stdout.startswith(f"{host} {kind} ")


def test_query_without_a_daemon_exits_3_with_one_line() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        closed = f"127.0.0.1:{sock.getsockname()[1]}"
    result = run("query", "example.com", "--server", closed)
    assert (result.returncode, result.stdout) == (3, "")
    assert result.stderr == f"fastvhost: no reply from {closed}: Connection refused\n"


def test_query_that_nobody_answers_exits_3_in_time() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        server = f"127.0.0.1:{silent.getsockname()[1]}"
        result = run("query", "example.com", "--server", server, "--timeout", "0.05")
    assert result.returncode == 3
    assert result.stderr == f"fastvhost: no reply from {server} within 2 times 0.05 s\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a" * 247], "at most 246 octets"),
        (["a", "--server", "nowhere"], "--server: found 'nowhere'; allowed: "),
        (["a", "--server", "127.0.0.1:0"], "--server: found '127.0.0.1:0'; allowed: "),
        (["a", "--source", "nobody"], "--source: found 'nobody'; allowed: an IPv4 or IPv6 address"),
        (["a", "--source", ""], "--source: found ''; allowed: "),
    ],
)
def test_query_that_cannot_be_asked_exits_2_with_one_line(arguments: list[str], said: str) -> None:
    result = run("query", *arguments)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert said in result.stderr


@pytest.mark.parametrize("seconds", ["0", "61", "nan", "soon", ""])
def test_seconds_out_of_range_are_told_as_typed(seconds: str) -> None:
    result = run("query", "a", "--timeout", seconds)
    assert result.returncode == 2
    assert f"argument --timeout: found {seconds!r}; allowed: more than 0 and at most 60" in result.stderr


def test_query_for_what_a_terminal_would_obey_spells_it_out(tmp_path: Path) -> None:
    with daemon(config_file(tmp_path)) as (_, server):
        result = run("query", "a\n\x1b[31mb", "--server", str(server))
    assert result.stdout.startswith("a\\n\\x1b[31mb MALFORMED ")


async def test_explain_shows_the_walk_and_exits_by_verdict(tmp_path: Path, lab: Lab) -> None:
    config = config_file(tmp_path, lab)
    hosted = await run_beside("explain", "hosted.example", "--config", str(config))
    assert hosted.returncode == 0
    assert hosted.stdout.startswith(
        "hosted.example: HOSTED for 300 s\n  edge.example has our address 203.0.113.10\n"
    )
    for shown in (
        "NAPTR hosted.example",
        "NODATA",
        "10 10 5060 edge.example.",
        "A edge.example",
        f" {OURS} is ours",
    ):
        assert shown in hosted.stdout
    elsewhere = await run_beside("explain", "elsewhere.example", "--config", str(config))
    assert elsewhere.returncode == 1


async def test_explain_beside_a_daemon_leaves_its_addresses_and_proxies_alone(
    tmp_path: Path, lab: Lab
) -> None:
    config = config_file(tmp_path, lab)
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as evapi:
        evapi.setblocking(False)
        mine, proxy = taken.getsockname()[1], evapi.getsockname()[1]
        text = config.read_text().replace('dns = ""', f'dns = "127.0.0.1:{mine}"')
        text = text.replace('admin = ""', f'admin = "127.0.0.1:{proxy}"')
        config.write_text(f'{text}[proxies]\nevapi = ["tcp:127.0.0.1:{proxy}"]\n')
        result = await run_beside("explain", "hosted.example", "--config", str(config))
        assert (result.returncode, result.stderr) == (0, "")
        with pytest.raises(BlockingIOError):
            evapi.accept()


async def test_explain_neither_believes_nor_writes_the_daemon_s_snapshot(tmp_path: Path, lab: Lab) -> None:
    snapshot = tmp_path / "fastvhost.snapshot"
    config = config_file(tmp_path, lab, more=f'[cache]\nsnapshot = "{snapshot}"\n')
    with daemon(config) as (process, server):
        assert (await run_beside("query", "hosted.example", "--server", str(server))).returncode == 0
        process.terminate()
        process.wait(10)
    octets = snapshot.read_bytes()
    shown = await run_beside("explain", "hosted.example", "--config", str(config))
    assert "\n└─ SRV" in shown.stdout or "\n├─ SRV" in shown.stdout
    assert snapshot.read_bytes() == octets


async def test_explain_daemon_shows_what_the_daemon_believes_and_exits_by_it(
    tmp_path: Path, lab: Lab
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        admin = f"127.0.0.1:{free.getsockname()[1]}"
    config = config_file(tmp_path, lab)
    text = config.read_text().replace('admin = ""', f'admin = "{admin}"')
    config.write_text(text.replace("timeout = 0.2", "timeout = 5"))
    with daemon(config) as (process, server):
        expected = {"hosted.example": 0, "elsewhere.example": 1, "foo_bar": 3}
        for host, code in expected.items():
            asked = await run_beside("query", host, "--server", str(server), "--timeout", "9")
            assert asked.returncode == code, asked.stdout
            believed = await run_beside("explain", host, "--daemon", "--config", str(config))
            assert (believed.returncode, believed.stderr) == (code, ""), believed.stdout
        assert "malformed: a character" in believed.stdout
        unknown = await run_beside("explain", "new.test", "--daemon", "--server", admin)
        assert (unknown.returncode, unknown.stdout) == (
            3,
            "new.test: no verdict yet\n  unknown: whoever asks first starts a walk\n",
        )
        both = await run_beside(
            "explain", "hosted.example", "--daemon", "--walk", "--json", "--server", admin
        )
        assert json.loads(both.stdout)["walk"]["kind"] == "HOSTED"
        process.terminate()
        process.wait(10)
    gone = await run_beside("explain", "hosted.example", "--daemon", "--config", str(config))
    assert (gone.returncode, gone.stdout) == (3, "")
    assert gone.stderr == f"fastvhost: no answer from {admin}: Connection refused\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--walk"], "--server, --source and --walk are for --daemon"),
        (["--source", "192.0.2.1"], "--server, --source and --walk are for --daemon"),
        (["--source", ""], "--server, --source and --walk are for --daemon"),
        (["--server", ""], "--server, --source and --walk are for --daemon"),
        (["--daemon"], "{config}: listen.admin is empty, so the daemon cannot be asked"),
        (["--daemon", "--server", "nowhere"], "'nowhere'"),
        (["--daemon", "--source", ""], "--source: found ''; allowed: an IPv4 or IPv6 address"),
        (["--daemon", "--source", "nobody"], "--source: found 'nobody'; allowed: an IPv4 or IPv6 address"),
    ],
)
def test_explain_that_cannot_be_asked_exits_2_with_one_line(
    tmp_path: Path, arguments: list[str], said: str
) -> None:
    config = config_file(tmp_path)
    result = run("explain", "a.test", "--config", str(config), *arguments)
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert said.format(config=config) in result.stderr


def test_explain_daemon_of_a_host_that_is_no_utf_8_says_so_without_asking() -> None:
    with socket.create_server(("127.0.0.1", 0)) as admin:
        server = "{}:{}".format(*admin.getsockname())
        result = run("explain", os.fsdecode(b"\xff.test"), "--daemon", "--server", server)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "fastvhost: HOST: found '\\udcff.test'; allowed: UTF-8\n"


async def test_explain_in_a_locale_without_box_drawing_is_ascii(tmp_path: Path, lab: Lab) -> None:
    config = config_file(tmp_path, lab)

    def explain() -> bytes:
        return subprocess.run(
            [*COMMAND, "explain", "hosted.example", "--config", str(config)],
            capture_output=True,
            check=False,
            env={**os.environ, "PYTHONIOENCODING": "ascii"},
        ).stdout

    shown = (await trio.to_thread.run_sync(explain)).decode("ascii")
    assert "\n|- NAPTR hosted.example\n" in shown
    assert f"+ {OURS} is ours" in shown


async def test_explain_shows_what_a_domain_publishes_and_what_of_it_is_not_used(tmp_path: Path) -> None:
    zone = parse_zone(
        "$ORIGIN pub.test.\n$TTL 60\n@ SOA ns h 1 2 3 4 60\n@ NS ns\na A 203.0.113.10\n"
        '_vhost._sip.a TXT "v=vhost1" "max-calls=7" "color=red"\n'
    )
    async with open_lab([zone]) as lab:
        result = await run_beside("explain", "a.pub.test", "--config", str(config_file(tmp_path, lab)))
    assert result.returncode == 0
    shown = result.stdout[result.stdout.index("attributes at") :].splitlines()
    assert shown[:2] == ["attributes at _vhost._sip.a.pub.test", "  dns.max-calls = 7"]
    assert shown[2].startswith("  not used: color: ")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_the_daemon_with_exit_0(tmp_path: Path, number: signal.Signals) -> None:
    with daemon(config_file(tmp_path)) as (process, _):
        process.send_signal(number)
        _, log = process.communicate(timeout=10)
    assert process.returncode == 0
    assert [line.split(" ", 2)[2].split(":")[0] for line in log.splitlines()] == [number.name, "stopped"]


async def test_signal_while_a_look_up_is_under_way_lets_it_end(tmp_path: Path, lab: Lab) -> None:
    lab.faults = [Fault(name="hosted.example", delay=0.5)]
    config = config_file(tmp_path, lab, more="walk_timeout = 8\n")
    config.write_text(config.read_text().replace("timeout = 0.2", "timeout = 5"))
    with daemon(config) as (process, server):
        async with trio.open_nursery() as nursery:
            results: list[subprocess.CompletedProcess[str]] = []

            async def query() -> None:
                results.append(
                    await run_beside("query", "hosted.example", "--server", str(server), "--timeout", "9")
                )

            nursery.start_soon(query)
            await lab.wait_for_queries(1)
            process.send_signal(signal.SIGTERM)
        assert results[0].stdout.startswith("hosted.example HOSTED")
        assert process.wait(timeout=10) == 0


def test_daemon_starts_again_on_the_same_port_after_kill_9(tmp_path: Path) -> None:
    config = config_file(tmp_path, pdb=f"127.0.0.1:{free_port()}")
    with daemon(config) as (process, server):
        process.kill()
    with daemon(config) as (_, again):
        assert again == server
        assert run("query", OURS, "--server", str(server)).returncode == 0


def test_few_open_files_are_raised_as_far_as_allowed_and_said(tmp_path: Path) -> None:
    script = f"ulimit -n 200 && exec {sys.executable} -m fastvhost serve --config {config_file(tmp_path)}"
    with subprocess.Popen(["bash", "-c", script], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        warning, ready = process.stderr.readline(), process.stderr.readline()
        process.terminate()
        process.communicate(timeout=10)
    assert "WARNING 200 open files are allowed, so 4 DNS queries may be under way" in warning
    assert "ready" in ready
    assert process.returncode == 0


def test_daemon_without_configuration_takes_this_machine_s_addresses(tmp_path: Path) -> None:
    if Path("/etc/fastvhost.toml").exists():
        pytest.skip("this machine has a configuration")
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    result = subprocess.run(
        [*COMMAND, "explain", "127.0.0.1"], capture_output=True, text=True, check=False, env=environment
    )
    if "no route outwards" in result.stderr:
        assert result.stderr.startswith("fastvhost: no /etc/fastvhost.toml, and this machine has no route")
        assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    else:
        assert result.stderr.startswith("fastvhost: no /etc/fastvhost.toml: taking this machine's addresses")
        assert "127.0.0.1 is none of own.addresses" in result.stdout
        assert result.returncode == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_second_signal_ends_the_daemon_at_once_with_exit_0(
    tmp_path: Path, lab: Lab, number: signal.Signals
) -> None:
    lab.faults = [Fault(effect=Effect.DROP)]
    config = config_file(tmp_path, lab)
    config.write_text(config.read_text().replace("timeout = 0.2", "timeout = 30"))
    with daemon(config) as (process, server), socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.sendto(write_request(b"hosted.example", 1), tuple(server))
        await lab.wait_for_queries(1)
        process.send_signal(number)
        assert process.stderr is not None
        assert "no more requests" in await trio.to_thread.run_sync(process.stderr.readline)
        process.send_signal(number)
        _, log = await trio.to_thread.run_sync(process.communicate)
    assert process.returncode == 0
    assert f"{number.name} again" in log
    assert "Traceback" not in log


def form_here() -> str:
    """How a daemon of this installation takes its datagrams."""
    with socket.socket(type=socket.SOCK_DGRAM) as sock, closing(open_batch(sock, 0)) as batch:
        return batch.form


def test_sighup_has_the_configuration_read_again(tmp_path: Path) -> None:
    form = form_here()
    config = config_file(tmp_path)
    with daemon(config) as (process, server):
        assert process.stderr is not None
        config.write_text(config.read_text().replace(OURS, "198.51.100.1"))
        process.send_signal(signal.SIGHUP)
        assert process.stderr.readline().endswith(" INFO reloaded: own.addresses changed\n")
        assert process.stderr.readline().endswith(f" INFO listening: PDB on {server}; datagrams: {form}\n")
        assert run("query", OURS, "--server", str(server)).returncode == 1
        assert run("query", "198.51.100.1", "--server", str(server)).returncode == 0
        process.terminate()
        assert process.wait(timeout=10) == 0


def test_wrong_file_is_refused_on_sighup_and_the_daemon_goes_on(tmp_path: Path) -> None:
    config = config_file(tmp_path)
    with daemon(config) as (process, server):
        assert process.stderr is not None
        config.write_text("[own]\naddreses = []\n")
        process.send_signal(signal.SIGHUP)
        assert (
            f" ERROR not reloaded, going on as before: {config}: own.addreses: unknown"
            in process.stderr.readline()
        )
        assert run("query", OURS, "--server", str(server)).returncode == 0
        process.terminate()
        assert process.wait(timeout=10) == 0


def test_reload_says_what_changed_or_why_not(tmp_path: Path) -> None:
    config, pid_file = config_file(tmp_path), tmp_path / "pid"
    reload = ("reload", "--pid-file", str(pid_file))
    with daemon(config, "--pid-file", str(pid_file)):
        config.write_text(config.read_text().replace("answer_within = 5", "answer_within = 4"))
        config.write_text(config.read_text().replace("store = ''", "store = ''\npoll = 7"))
        done = run(*reload)
        assert (done.returncode, done.stdout) == (
            0,
            "reloaded: listen.answer_within changed; only after a restart: domains.poll\n",
        )
        config.write_text("")
        refused = run(*reload)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert refused.stderr == (
            "fastvhost: not reloaded, going on as before: "
            f"{config}: own: missing; required: a table with addresses, names, or both\n"
        )
    assert run(*reload).stderr == f"fastvhost: {pid_file}: no daemon runs that holds it\n"  # it was killed


def test_pid_file_that_cannot_be_written_ends_no_daemon(tmp_path: Path) -> None:
    config, pid_file = config_file(tmp_path), tmp_path / "pid"
    with daemon(config, "--pid-file", str(pid_file)) as (process, server):
        assert process.stderr is not None
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        process.send_signal(signal.SIGHUP)
        assert process.stderr.readline().endswith(" INFO reloaded: nothing changed\n")
        assert process.stderr.readline().endswith(" ERROR the PID file cannot be written: File too large\n")
        assert run("query", OURS, "--server", str(server)).returncode == 0


def test_log_level_on_the_command_line_goes_before_the_file_s_also_after_a_reload(tmp_path: Path) -> None:
    config, pid_file = config_file(tmp_path), tmp_path / "pid"
    with daemon(config, "--log-level", "info", "--pid-file", str(pid_file)) as (process, _):
        config.write_text(f'{config.read_text()}[log]\nlevel = "error"\nformat = "json"\n')
        assert run("reload", "--pid-file", str(pid_file)).stdout == "reloaded: log.format changed\n"
        process.terminate()
        _, log = process.communicate(timeout=10)
    lines = [json.loads(line) for line in log.splitlines()]
    assert [line["message"].split(":")[0] for line in lines] == [
        "reloaded",
        "listening",
        "SIGTERM",
        "stopped",
    ]


def test_second_daemon_on_one_pid_file_exits_2(tmp_path: Path) -> None:
    config, pid_file = config_file(tmp_path), tmp_path / "pid"
    with daemon(config, "--pid-file", str(pid_file)):
        second = run("serve", "--config", str(config), "--pid-file", str(pid_file))
    assert (second.returncode, second.stderr) == (
        2,
        f"fastvhost: {pid_file}: a daemon that runs holds it\n",
    )


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["query", "a_b", "--server"], 3), (["explain", "127.0.0.1", "--config"], 3), (["check-config"], 2)],
)
def test_output_that_cannot_be_written_is_no_verdict(tmp_path: Path, arguments: list[str], code: int) -> None:
    config = config_file(tmp_path)
    with daemon(config) as (_, server), Path("/dev/full").open("w") as full:
        last = str(server) if "--server" in arguments else str(config)
        result = subprocess.run(
            [*COMMAND, *arguments, last], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert result.returncode == code
    assert result.stderr == "fastvhost: standard output: No space left on device\n"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["query", "a_b", "--server"], 3),
        (["explain", "127.0.0.1", "--config"], 1),
        (["check-config"], 0),
        (["top", "--server"], 2),
    ],
)
def test_output_that_is_closed_changes_no_exit_code(tmp_path: Path, arguments: list[str], code: int) -> None:
    config = config_file(tmp_path)
    with daemon(config) as (_, server):
        last = str(server) if "--server" in arguments else str(config)
        result = subprocess.run(
            ["bash", "-c", '"$@" >&-', "bash", *COMMAND, *arguments, last],
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["query", "a.test", "--timeout", "60", "--server", "{udp}"],
        ["explain", "a.test", "--config", "{config}"],
        ["explain", "a.test", "--daemon", "--server", "{tcp}"],
        ["domains", "verify", "a.test", "--config", "{config}"],
        ["top", "--once", "--interval", "60", "--server", "{tcp}"],
    ],
)
def test_ctrl_c_ends_a_command_that_waits_without_a_traceback(tmp_path: Path, arguments: list[str]) -> None:
    with (
        socket.socket(type=socket.SOCK_DGRAM) as udp,
        socket.create_server(("127.0.0.1", 0)) as tcp,
        ExitStack() as connections,
    ):
        udp.bind(("127.0.0.1", 0))
        udp.settimeout(20)
        tcp.settimeout(20)
        path = config_file(tmp_path)
        silent = "{}:{}".format(*udp.getsockname())
        text = path.read_text().replace("127.0.0.1:9", silent).replace("timeout = 0.2", "timeout = 60")
        path.write_text(text.replace("store = ''", f"store = 'sqlite:///{tmp_path}/domains.db'"))
        places = {"udp": silent, "tcp": "{}:{}".format(*tcp.getsockname()), "config": str(path)}
        with subprocess.Popen(
            # A shell in whose background the tests run has them ignore it.
            ["env", "--default-signal=INT", *COMMAND, *(one.format(**places) for one in arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            if "{tcp}" in arguments:  # when it has been asked, it waits
                connections.enter_context(tcp.accept()[0])
            else:
                udp.recv(512)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (130, "", "")


def test_host_that_the_locale_cannot_show_is_shown_escaped(tmp_path: Path) -> None:
    with daemon(config_file(tmp_path)) as (_, server):
        result = subprocess.run(
            [*COMMAND, "query", "m\u00fcller.1", "--server", str(server)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONIOENCODING": "ascii"},
        )
    assert result.returncode == 3
    assert result.stdout.startswith("m\\xfcller.1 MALFORMED")


def test_too_few_open_files_is_one_line_and_exit_2(tmp_path: Path) -> None:
    script = f"ulimit -n 20 && exec {sys.executable} -m fastvhost serve --config {config_file(tmp_path)}"
    result = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr == (
        "fastvhost: 20 open files are allowed, and 197 are the least: raise LimitNOFILE or ulimit -n\n"
    )


def test_daemon_says_where_each_face_listens_and_that_there_is_none(tmp_path: Path) -> None:
    form = form_here()
    for faces, said in (
        (
            {"pdb": "127.0.0.1:0", "dns": "127.0.0.1:0"},
            rf"ready: PDB on 127.0.0.1:\d+, DNS on 127.0.0.1:\d+; datagrams: {form}$",
        ),
        ({"pdb": "", "dns": "127.0.0.1:0"}, rf"ready: DNS on 127.0.0.1:\d+; datagrams: {form}$"),
        ({"pdb": "", "dns": "", "admin": "127.0.0.1:0"}, r"ready: ADMIN on 127.0.0.1:\d+$"),
        (
            {"pdb": "", "dns": ""},
            r"ready: no face \(listen.pdb, listen.dns and listen.admin are empty\)$",
        ),
    ):
        path = config_file(tmp_path)
        text = re.sub(r"^(pdb|dns|admin) = .*\n", "", path.read_text(), flags=re.MULTILINE)
        faces = {"admin": ""} | faces
        keys = "".join(f'{key} = "{value}"\n' for key, value in faces.items())
        path.write_text(text.replace("[listen]\n", f"[listen]\n{keys}"))
        with subprocess.Popen(
            [*COMMAND, "serve", "--config", str(path)], stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stderr is not None
            line = process.stderr.readline()
            process.terminate()
            process.communicate(timeout=30)
        assert re.search(said, line.strip()), line
