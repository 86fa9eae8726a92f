"""A report as one HTML page that needs nothing else: no script, no font, no image of its own."""

from html import escape

from tools.flood.plot import svg_of
from tools.flood.report import HEADINGS, Report

__all__ = ["page_of"]

_STYLE = """\
body{font:15px/1.5 system-ui,sans-serif;
max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}
h1{font-size:1.3rem}svg{width:100%;height:auto}table{border-collapse:collapse;font-size:.9rem}
td,th{padding:.2rem .7rem;border-bottom:1px solid #ddd;text-align:right;font-weight:normal}
th{color:#666}td:nth-child(2),td:last-child{text-align:left}"""


def page_of(report: Report) -> str:
    """The page: its lines, the plot, and a row for each phase."""
    title, *lines = report.lines()
    rows = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>\n" for row in report.rows()
    )
    heads = "".join(f"<th>{escape(heading)}</th>" for heading in HEADINGS)
    paragraphs = "<br>\n".join(escape(line) for line in lines)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>\n'
        f"<style>{_STYLE}</style></head><body>\n<h1>{escape(title)}</h1>\n<p>{paragraphs}</p>\n"
        f"{svg_of(report)}\n<table><tr>{heads}</tr>\n{rows}</table>\n"
        "<p>Latencies are from the instant at which a request was due. What was lost counts where its "
        "time-out passed, and is in no latency.</p>\n</body></html>\n"
    )
