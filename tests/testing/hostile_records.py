"""Records and evaluation pages by someone who wishes a report ill."""

from __future__ import annotations

import dataclasses

from blazeport.benchmarks.records import BenchmarkRecord
from testing.played_records import MACHINES, PlayedFile, played_record

HOSTILE = (
    "</script><script>window.hacked=1</script>",
    "<!-- <script>",
    '"><img src=x onerror="window.hacked=1">',
    "<a href='https://example.org/'>click</a>",
    "{{script}} {{data}} ${1+1} $x^2$ %{y}",
    "\u2028\u2029\x00\x1b[31m\ud800 &lt;b&gt; &#60;",
    "javascript:alert(1)",
)


def hostile(text: str) -> BenchmarkRecord:
    """A record that says `text` wherever it can."""
    record = played_record(PlayedFile("pose_landmark_lite", "landmarks", "int8"), MACHINES[1], samples=20)
    return dataclasses.replace(
        record,
        model=dataclasses.replace(
            record.model, file=text, sha256=text, variant=text, heads=(text, "presence"), precision=text
        ),
        machine=dataclasses.replace(
            record.machine, id=text, name=text, facts={text: {text: [text]}}, settings={text: text}
        ),
        settings=dataclasses.replace(record.settings, affinity=text),
        tool=dataclasses.replace(record.tool, name=text, version=text, sha256=text),
        delegate_applied=text,
        failures=(text,),
        runs=tuple(dataclasses.replace(run, notes=(text,), session=text) for run in record.runs),
    )


def evaluation_page(*pictures: str) -> str:
    figures = "".join(
        f'<figure><div class="pair"><img alt="" src="{picture}"></div>'
        "<figcaption><b>photo &lt;1&gt;.jpg</b><br>visible points 9.1 px<script>alert(1)</script></figcaption></figure>"
        for picture in pictures
    )
    return f"<html><head><title>lite.int8 against lite.fp32</title></head><body>{figures}</body></html>"
