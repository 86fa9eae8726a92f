"""What an HTTP request asks for, and which are refused before anybody looks at what they ask.

Values and decisions only; octets and sockets are `fastvhost.faces.http`'s. Nobody logs in, so whoever can
make the operator's browser send requests must not get at the answers: names that may lead anywhere are no
address of ours (DNS rebinding), and pages of others get nothing.

Source: RFC 9110, RFC 9112; Fetch Metadata Request Headers (W3C).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import SplitResult, parse_qsl, urlsplit

from fastvhost.host import parse_address

__all__ = ["HttpRequest", "HttpResponse", "read_request", "refusal"]

_MOST_PARAMETERS = 8
_METHODS = ("GET", "HEAD")
_PLAIN = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """A GET, or a HEAD, which is answered by the same without its body."""

    path: str
    """As it was sent, without the query."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Those of the query, none twice, at most 8."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpResponse:
    """Status, what to say, and header fields beside those that every response has."""

    status: HTTPStatus = HTTPStatus.OK
    body: bytes
    content_type: str = _PLAIN
    headers: tuple[tuple[str, str], ...] = ()


def refusal(status: HTTPStatus, why: str, *headers: tuple[str, str]) -> HttpResponse:
    """One line that says why not."""
    return HttpResponse(status=status, body=f"{why}\n".encode(), headers=headers)


def read_request(
    method: bytes, target: bytes, headers: Sequence[tuple[bytes, bytes]]
) -> HttpRequest | HttpResponse:
    """What is asked for, or the refusal. `headers` have lower-case names. Never raises."""
    fields = {name: value.decode("latin-1").strip() for name, value in headers}
    try:
        parts = urlsplit(target.decode("ascii"))
        pairs = parse_qsl(
            parts.query,
            keep_blank_values=True,
            strict_parsing=bool(parts.query),
            errors="strict",
            max_num_fields=_MOST_PARAMETERS,
        )
    except ValueError as error:
        why = str(error)
        if isinstance(error, UnicodeDecodeError):  # its own words speak of codecs
            why = f"octets that are no {error.encoding.upper()}"
        return refusal(HTTPStatus.BAD_REQUEST, f"the target of the request cannot be read: {why}")
    refused = _refused(method.decode("latin-1"), parts, fields)
    if refused is not None:
        return refused
    parameters = dict(pairs)
    if len(parameters) < len(pairs):
        return refusal(HTTPStatus.BAD_REQUEST, "a parameter stands there twice")
    return HttpRequest(path=parts.path or "/", parameters=parameters)


def _refused(method: str, parts: SplitResult, fields: Mapping[bytes, str]) -> HttpResponse | None:
    if method not in _METHODS:
        why = "only GET and HEAD: nothing can be changed here"
        return refusal(HTTPStatus.METHOD_NOT_ALLOWED, why, ("Allow", ", ".join(_METHODS)))
    if fields.get(b"content-length", "0") != "0" or b"transfer-encoding" in fields:
        return refusal(HTTPStatus.BAD_REQUEST, "a request with a body")
    authority = parts.netloc or fields.get(b"host", "")
    if not authority or (not parts.netloc and not parts.path.startswith("/")):
        return refusal(HTTPStatus.BAD_REQUEST, "no Host, or a target that is no path")
    if not _is_ours(authority):
        why = "ask by an IP address or by localhost: any other name may lead anywhere"
        return refusal(HTTPStatus.MISDIRECTED_REQUEST, why)
    if fields.get(b"sec-fetch-site") == "cross-site" and fields.get(b"sec-fetch-mode") != "navigate":
        return refusal(HTTPStatus.FORBIDDEN, "asked for by a page of somebody else")
    return None


def _is_ours(authority: str) -> bool:
    """Whether an authority leads here for sure: an address, or the name that browsers take to loopback."""
    host, colon, port = authority.rpartition(":")
    if not colon or not (port.isascii() and port.isdecimal()) or host.endswith(":"):
        host = authority
    return host.lower() == "localhost" or parse_address(host) is not None
