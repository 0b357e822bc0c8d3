"""Markdown documents as pages."""

from __future__ import annotations

from optiproxy_nas.report.documents import document_page


def test_a_document_is_a_page_with_its_heading_as_title_and_its_tables() -> None:
    table = "| k | v |\n| --- | --- |\n| a | 1 |"
    text = f"> notice\n\n# A *b* & `c`\n\n<!-- x -->\n{table}\n<!-- end x -->\n"
    page = document_page(text, "T")
    assert "<h1>A b &amp; c</h1>" in page
    assert page.count("<h1>") == 1
    assert "<td>a</td>" in page
    assert "end x" not in page
    assert "prefers-color-scheme:dark" in page


def test_html_in_a_document_is_shown_as_text() -> None:
    page = document_page("<script>alert(1)</script>\n\n[x](javascript:alert(1))\n", "<i>T")
    assert "<script>" not in page
    assert 'href="javascript' not in page
    assert "<title>&lt;i&gt;T</title>" in page
