"""Which virtual domain a name belongs to: its own, unless both sides or the operator say otherwise.

Names with one did share attributes, and in most scripts subscribers too: whoever could choose a did
alone could take over another's users.
"""

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass

from fastvhost.domains.attributes import Published
from fastvhost.domains.rows import MAX_DOMAIN

__all__ = ["DidDecision", "DidRefused", "decide_did"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DidDecision:
    """The did that a domain's row gets."""

    did: str
    """At most 64 octets, not empty."""
    why: str
    """Whose word it rests on; where a claim was not granted, what was missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DidRefused:
    """No did is safe: the domain gets no row until the operator names one for it."""

    why: str


def decide_did(
    domain: str,
    published: Published | None,
    *,
    published_of: Callable[[str], Published | None],
    operator_dids: Container[str],
    operator_says: Mapping[str, str],
    has_own: bool = False,
) -> DidDecision | DidRefused:
    """Decide the did of a learned domain.

    Args:
        domain: its canonical host.
        published: what it publishes; None: nothing.
        published_of: what another name publishes, by canonical host; None where we do not host it. Asked
            at most once.
        operator_dids: those of rows that we did not write, in lower case. One look-up or two.
        operator_says: `domains.did`, did by canonical host. It goes before everything else.
        has_own: it is served under its own did already, and the operator has since given it attributes, which
            takes nothing away.

    A claim that is not granted leaves the domain its own did. Refused where that is no choice either: the
    name is too long for a did, or a row of the operator's has it, so that the domain would join his.
    """
    said = operator_says.get(domain)
    if said is not None:
        if not 0 < len(said) <= MAX_DOMAIN:
            return DidRefused(why=f"domains.did: the did of {domain} must have 1 to {MAX_DOMAIN} octets")
        return DidDecision(did=said, why="domains.did says so")
    taken = domain in operator_dids and not has_own
    claim = None if published is None else published.did
    if claim is None or claim == domain:
        return _own(domain, why="its own", taken=taken)
    missing = _why_not_granted(
        domain,
        claim,
        published_of=published_of,
        operator_dids=operator_dids,
        operator_says=operator_says,
    )
    if missing is not None:
        return _own(domain, why=f"its own; did={claim} not granted: {missing}", taken=taken)
    return DidDecision(did=claim, why=f"did={claim}, and {claim} says alias={domain}")


def _why_not_granted(
    domain: str,
    claim: str,
    *,
    published_of: Callable[[str], Published | None],
    operator_dids: Container[str],
    operator_says: Mapping[str, str],
) -> str | None:
    """What is missing for `domain` to join the virtual domain of `claim`; None: nothing."""
    if claim in operator_dids:
        return "a row of the operator's has this did"
    other = published_of(claim)
    if other is None:
        return f"{claim} is not hosted here"
    # Chains are not followed: consent to one domain is none to those that join it later.
    if other.did not in (None, claim) or operator_says.get(claim, claim) != claim:
        return f"{claim} itself belongs to another virtual domain"
    return None if domain in other.aliases else f"{claim} does not say alias={domain}"


def _own(domain: str, *, why: str, taken: bool) -> DidDecision | DidRefused:
    if len(domain) > MAX_DOMAIN:
        return DidRefused(why=f"{domain} is over {MAX_DOMAIN} octets, too long for a did")
    if taken:
        return DidRefused(
            why=f"a row of the operator's has the did {domain}, which is not its own; domains.did can say so"
        )
    return DidDecision(did=domain, why=why)
