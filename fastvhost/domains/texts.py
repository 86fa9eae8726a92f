"""What known domains publish, in memory: attributes as character-strings of a TXT record, ready to be sent.

*Source: RFC 6763 section 6 (key=value character-strings).*
"""

from collections.abc import Iterator, Mapping, Sequence

from fastvhost.domains.record import Attribute

__all__ = ["DomainTexts"]

_MAX_STRING = 255
"""Octets of a character-string (RFC 1035 section 3.3)."""

_MAX_STRINGS = 64
"""As many as are read of what a domain publishes, which bounds a record to 16 kB."""


class DomainTexts:
    """Character-strings by canonical host; only of domains that have some."""

    __slots__ = ("_by_domain", "_prefix")

    def __init__(self, prefix: str, attributes: Mapping[str, Sequence[Attribute]]) -> None:
        """`attributes` by domain; `prefix` stands before their names in the proxy's table, and not in DNS."""
        self._prefix = prefix
        self._by_domain: dict[str, tuple[bytes, ...]] = {}
        for domain, its in attributes.items():
            self.put(domain, its)

    def __len__(self) -> int:
        return len(self._by_domain)

    def find(self, domain: str) -> tuple[bytes, ...]:
        """What is known of a domain; the same object as long as it is the same."""
        return self._by_domain.get(domain, ())

    def put(self, domain: str, attributes: Sequence[Attribute]) -> None:
        """A domain has these attributes now; none of them: forget it."""
        strings = tuple(self._strings(attributes))
        if not strings:
            self._by_domain.pop(domain, None)
        elif strings != self._by_domain.get(domain):
            self._by_domain[domain] = strings

    def _strings(self, attributes: Sequence[Attribute]) -> Iterator[bytes]:
        """`key=value` each; what an operator imported may not fit, and is left out."""
        for one in attributes[:_MAX_STRINGS]:
            string = f"{one.name.removeprefix(self._prefix)}={one.value}".encode()
            if len(string) <= _MAX_STRING:
                yield string
