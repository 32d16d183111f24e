"""The demo is the main job: all three acts must do what they say, on a real cluster."""

import datetime
from html.parser import HTMLParser

import pytest
from rich.console import Console

from schedcp_lab.demo import Demo
from schedcp_lab.report import html_report, text_report
from schedcp_lab.watching import LineWatcher

from .conftest import Lab

pytestmark = pytest.mark.timeout(1800)


class _Page(HTMLParser):
    """Collects what a page would fetch, and its plots."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.plots = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.plots += tag == "svg"
        if tag in ("script", "link", "img", "iframe"):
            self.fetched.append(tag)


def test_the_loop_does_what_it_should(lab: Lab) -> None:
    console = Console(width=120)
    demo = Demo(lab.cluster, lab.product, lab.api, LineWatcher(console))

    record = demo.play(datetime.datetime.now(datetime.UTC))

    console.print(text_report(record))
    failed = [
        f"{act.title}: {finding.text} ({finding.seen})"
        for act in record.acts
        for finding in act.findings
        if not finding.held
    ]
    assert failed == []
    assert len(record.acts) == 3
    assert record.passed
    page = _Page()
    page.feed(html_report(record))
    assert page.fetched == []
    assert page.plots >= 2
