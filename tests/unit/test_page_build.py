"""The page as one file: what is in it, what may run in it, and what a name in it cannot do."""

from __future__ import annotations

import base64
import gzip
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from stubs.runs import FakeRun

from optimizer.errors import UserError
from optimizer.views.page import assets, build

EVIL = "<img src=x onerror=alert(1)></script><script>alert(2)</script><!--"


class Tags(HTMLParser):
    """Every tag with its attributes, and the text of each script."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: dict[str, str] = {}
        self._open: str | None = None
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self._open = dict(attrs).get("id") or "ours"

    def handle_endtag(self, tag: str) -> None:
        self._open = None

    def handle_data(self, data: str) -> None:
        if self._open:
            self.scripts[self._open] = self.scripts.get(self._open, "") + data


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("run")
    run = FakeRun(folder)
    run.started("a")
    run.ready("a", classes=[EVIL, "b"])
    run.told("a/xgboost/0", 0.9, params={EVIL: EVIL})
    run.told("a/xgboost/1", None, "failed", kind="error", reason=EVIL)
    run.event("notice", text=EVIL)
    size = build.write_report(folder, folder / "report.html", now=1.0)
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert size == len(text.encode())
    return text


def test_a_name_of_a_person_is_data_and_never_markup(page: str) -> None:
    found = Tags(page)
    assert [tag for tag, _ in found.tags if tag == "img"] == []
    assert len([tag for tag, _ in found.tags if tag == "script"]) == 4
    assert json.loads(found.scripts["run"])["notices"] == [EVIL]


def test_the_page_asks_for_nothing(page: str) -> None:
    found = Tags(page)
    for _, attributes in found.tags:
        assert "src" not in attributes
        assert (attributes.get("href") or "data:,") == "data:,"
    assert not re.search(r"url\(|@import", assets.our_style())
    assert not re.search(r"https?://", assets.our_code())


def test_only_the_code_that_is_named_may_run_and_nothing_may_be_asked_for(page: str) -> None:
    policy, = [a["content"] for tag, a in Tags(page).tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    rules = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert rules["default-src"] == rules["connect-src"] == rules["form-action"] == rules["base-uri"] == "'none'"
    assert "unsafe" not in rules["script-src"]
    assert len(rules["script-src"].split()) == 3
    assert assets.policy(live=True).count("connect-src 'self'") == 1


def test_the_code_in_the_page_is_the_code_that_the_policy_names(page: str) -> None:
    found = Tags(page).scripts
    assert found["ours"] == assets.our_code()
    for name, code in (("table-code", assets.table_code()), ("plot-code", assets.plot_code())):
        assert gzip.decompress(base64.b64decode(found[name])).decode() == code
    assert "</script" not in assets.our_code()


def test_the_same_run_gives_the_same_page(tmp_path: Path) -> None:
    run = FakeRun(tmp_path)
    run.started("a")
    for name in ("one.html", "two.html"):
        build.write_report(tmp_path, tmp_path / name, now=5.0)
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()


def test_a_module_becomes_a_script_that_leaves_its_exports() -> None:
    script = assets.as_script("var a=1,b=2;export{a as first,b};", "kept")
    assert script == "(()=>{var a=1,b=2;window.kept={first:a,b:b};\n})();"
    with pytest.raises(UserError, match="constraints"):
        assets.as_script("var a=1;", "kept")


def test_where_things_lie_on_this_machine_is_in_no_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    studies = tmp_path / "me" / 'my "studies"'
    run = FakeRun(studies / "cars")
    run.started("a")
    run.event("dataset_failed", dataset="a", reason=f"{studies}/data/train.csv:3: two columns, expected three")
    run.event("notice", text=f"{tmp_path}/me/other/test.csv was left aside")

    build.write_report(studies / "cars", tmp_path / "report.html", now=1.0)

    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert str(tmp_path) not in page
    assert '"data/train.csv:3: two columns' in page
    assert '"~/other/test.csv was left aside"' in page
