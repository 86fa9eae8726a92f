"""The style and the script of the page, and the policy that lets a browser take these and nothing else.

Source: Content Security Policy Level 3 (W3C), which allows inline text by its hash.
"""

from base64 import b64encode
from hashlib import sha256

__all__ = ["POLICY", "SCRIPT", "STYLE"]

STYLE = """\
:root { color-scheme: light dark; --ink: #1b2733; --paper: #fbfbf9; --card: #fff; --rule: #d9dcdf;
  --faint: #667; --green: #1e8449; --blue: #2471a3; --amber: #b9770e; --violet: #7d3c98; --red: #c0392b; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #dfe5ea; --paper: #14181c; --card: #1c2227; --rule: #343c44; --faint: #93a0ab;
    --green: #52be80; --blue: #5dade2; --amber: #f0b27a; --violet: #bb8fce; --red: #ec7063; } }
body { margin: 0 auto; max-width: 66rem; padding: 1rem; background: var(--paper); color: var(--ink);
  font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.3rem; margin: 0; }
h2 { font-size: 1rem; margin: 0 0 .4rem; }
header, .cards { display: flex; flex-wrap: wrap; gap: 1rem; }
header { align-items: baseline; justify-content: space-between; }
main .cards + .cards { margin-top: 1rem; }
section { background: var(--card); border: 1px solid var(--rule); border-radius: 6px; padding: .8rem;
  flex: 1 1 17rem; min-width: 0; }
section.wide { flex-basis: 26rem; }
dl { margin: 0; display: grid; grid-template-columns: 1fr auto; gap: .1rem 1rem; }
dd { margin: 0; text-align: right; font-variant-numeric: tabular-nums; }
table { border-collapse: collapse; width: 100%; }
th { text-align: left; font-weight: 600; }
td, th { padding: .1rem .5rem .1rem 0; overflow-wrap: anywhere; }
td.n, th.n { text-align: right; padding-right: 0; font-variant-numeric: tabular-nums; }
svg { width: 100%; height: auto; display: block; }
svg text { font-size: 11px; fill: var(--faint); }
svg .scale { text-anchor: end; }
.grid { stroke: var(--rule); }
.cap { stroke: var(--red); stroke-dasharray: 5 4; }
.line { fill: none; stroke-width: 1.8; stroke: var(--blue); }
.HOSTED { stroke: var(--green); color: var(--green); }
.NOT_HOSTED { stroke: var(--blue); color: var(--blue); }
.UNDETERMINED { stroke: var(--amber); color: var(--amber); }
.PENDING { stroke: var(--violet); color: var(--violet); }
.LIMITED { stroke: var(--red); color: var(--red); }
.MALFORMED { stroke: var(--faint); color: var(--faint); }
.faint, footer { color: var(--faint); }
footer { margin-top: 1rem; }
.bad { color: var(--red); font-weight: 600; }
.gone main { opacity: .4; }
input { font: inherit; padding: .15rem .4rem; }
"""

SCRIPT = """\
setInterval(async () => {
  let gone = true;
  try {
    const page = await fetch("/");
    if (page.ok) {
      const fresh = new DOMParser().parseFromString(await page.text(), "text/html").querySelector("main");
      document.querySelector("main").replaceWith(fresh);
      gone = false;
    }
  } catch {}
  document.body.className = gone ? "gone" : "";
}, 2000);
"""


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


POLICY = "; ".join(
    (
        "default-src 'none'",
        f"style-src {_hash(STYLE)}",
        f"script-src {_hash(SCRIPT)}",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
"""The value of Content-Security-Policy for every response."""
