"""What an HTTP request asks for: methods, targets, and whose address it was sent to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvhost.faces.http_message import HttpRequest, HttpResponse, read_request

HOST = [(b"host", b"127.0.0.1:5382")]


def status(answer: HttpRequest | HttpResponse) -> int:
    return answer.status if isinstance(answer, HttpResponse) else 200


@pytest.mark.parametrize(
    ("target", "path", "parameters"),
    [
        (b"/", "/", {}),
        (b"/explain?host=example.com", "/explain", {"host": "example.com"}),
        (b"/explain?host=%5B2001:db8::1%5D&walk=1", "/explain", {"host": "[2001:db8::1]", "walk": "1"}),
        (b"/x?host=a+b&source=", "/x", {"host": "a b", "source": ""}),
        (b"http://localhost:5382/domains?limit=1", "/domains", {"limit": "1"}),
        (b"http://[::1]:5382", "/", {}),
        (b"/a%2Fb", "/a%2Fb", {}),
    ],
)
def test_target_is_taken_apart(target: bytes, path: str, parameters: dict[str, str]) -> None:
    assert read_request(b"GET", target, HOST) == HttpRequest(path=path, parameters=parameters)


@pytest.mark.parametrize(
    "target",
    [b"*", b"explain", b"/\xff", b"/?a", b"/?a=1&a=2", b"/?a=%ff", b"http://[::1", b"/?" + b"a=1&" * 9],
)
def test_target_that_cannot_be_read_is_a_bad_request(target: bytes) -> None:
    assert status(read_request(b"GET", target, HOST)) == 400


@pytest.mark.parametrize(("target", "allowed"), [(b"/\xff", "ASCII"), (b"/explain?host=%ff.test", "UTF-8")])
def test_octets_that_are_no_text_are_refused_in_our_words(target: bytes, allowed: str) -> None:
    answer = read_request(b"GET", target, HOST)
    assert isinstance(answer, HttpResponse)
    assert answer.body.decode() == f"the target of the request cannot be read: octets that are no {allowed}\n"


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"CONNECT", b"get"])
def test_method_that_could_change_something_is_not_allowed(method: bytes) -> None:
    answer = read_request(method, b"/", HOST)
    assert isinstance(answer, HttpResponse)
    assert answer.status == 405
    assert ("Allow", "GET, HEAD") in answer.headers


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (b"127.0.0.1", 200),
        (b"127.0.0.1:5382", 200),
        (b"[::1]", 200),
        (b"[::1]:5382", 200),
        (b"192.0.2.1:80", 200),
        (b"localhost", 200),
        (b"LocalHost:5382", 200),
        (b"", 400),
        (b"evil.example", 421),
        (b"evil.example:5382", 421),
        (b"127.0.0.1.evil.example", 421),
        (b"localhost.evil.example", 421),
        (b"127.1", 421),
        (b"2130706433", 421),
        (b"127.0.0.1:80:80", 421),
        (b"user@evil.example", 421),
        (b"[::1", 421),
        (b"[127.0.0.1]", 421),
    ],
)
def test_request_to_a_name_that_may_lead_anywhere_is_misdirected(host: bytes, expected: int) -> None:
    assert status(read_request(b"GET", b"/", [(b"host", host)])) == expected


def test_authority_of_the_target_goes_before_host() -> None:
    assert status(read_request(b"GET", b"http://evil.example/", HOST)) == 421


@pytest.mark.parametrize(
    ("site", "mode", "expected"),
    [
        (b"same-origin", b"cors", 200),
        (b"none", b"navigate", 200),
        (b"cross-site", b"navigate", 200),
        (b"cross-site", b"no-cors", 403),
        (b"cross-site", b"cors", 403),
    ],
)
def test_what_a_page_of_somebody_else_asks_for_is_forbidden(site: bytes, mode: bytes, expected: int) -> None:
    headers = [*HOST, (b"sec-fetch-site", site), (b"sec-fetch-mode", mode)]
    assert status(read_request(b"GET", b"/explain?host=a.example&walk=1", headers)) == expected


@pytest.mark.parametrize("field", [(b"content-length", b"3"), (b"transfer-encoding", b"chunked")])
def test_body_is_refused(field: tuple[bytes, bytes]) -> None:
    assert status(read_request(b"GET", b"/", [*HOST, field])) == 400
    assert status(read_request(b"GET", b"/", [*HOST, (b"content-length", b"0")])) == 200


@given(st.binary(max_size=60), st.binary(max_size=40))
def test_any_octets_are_read_or_refused(target: bytes, host: bytes) -> None:
    assert status(read_request(b"GET", target, [(b"host", host)])) in (200, 400, 421)
