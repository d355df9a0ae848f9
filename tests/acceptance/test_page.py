"""The results page in a real browser: from a file, and live beside a run that goes on."""

from __future__ import annotations

import csv
import io
import json
import re
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from stubs.runs import FakeRun

from optimizer.views.filters import conditions
from optimizer.views.results import RunView
from tests.acceptance.browser import Watched, browser, watch
from tests.acceptance.studies import command, optimizer, start, write_study

#: A name that would be seen to run, if it ever became markup.
EVIL = "<img src=x onerror=\"document.title='owned'\">"
SMALL = """
[family.lightgbm.space]
iterations = 30
[family.xgboost.space]
iterations = 30
[resources]
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on three real tables, one of which has markup for a label."""
    root = tmp_path_factory.mktemp("page")
    found = write_study(root, "trials = 26\nfolds = 3\nfamilies = ['lightgbm', 'xgboost']",
                        kinds=("binary", "multiclass", "regression"), extra=SMALL)
    for name in ("train", "sample_submission"):
        table = root / "data" / "binary" / f"{name}.csv"
        quoted = '"' + EVIL.replace('"', '""') + '"'
        table.write_text(table.read_text().replace("malignant", quoted))
    done = optimizer("run", found, "--plain", cwd=root)
    assert done.returncode == 0, done.stderr
    return found


@pytest.fixture(scope="module")
def chromium() -> Generator[Any]:
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def report(study: Path) -> Path:
    done = optimizer("report", study, cwd=study.parent.parent)
    assert done.returncode == 0, done.stderr
    assert "report.html" in done.stdout
    assert " MB" in done.stdout
    return study.with_suffix("") / "report.html"


@pytest.fixture
def page(chromium: Any, report: Path) -> Iterator[Watched]:
    """The file in a fresh browser; whatever a test does with it, nothing leaves and nobody complains."""
    found = watch(chromium, report.as_uri())
    yield found
    assert found.complaints == []
    assert [url for url in found.requests if not url.startswith((report.as_uri(), "data:", "blob:"))] == []
    assert found.tab.title() != "owned"
    found.tab.context.close()


def test_the_board_is_sorted_by_rank_and_by_whatever_is_asked_for(page: Watched, study: Path) -> None:
    assert page.total() == 26
    assert page.column("rank")[:3] == ["1", "2", "3"]
    scores = {t.trial: t.score for t in RunView.open(study.with_suffix("")).trials() if t.score is not None}

    def shown() -> list[float]:
        return [scores[trial] for trial in page.rows() if trial in scores]

    page.heading("score").click()
    page.until(lambda: shown() == sorted(shown()))
    page.heading("score").locator("[role=button]").press("Enter")
    page.until(lambda: shown() == sorted(shown(), reverse=True))
    page.heading("family").click()
    page.until(lambda: page.column("family") == sorted(page.column("family")))


def test_the_board_is_filtered_by_the_words_of_the_leaderboard(page: Watched, study: Path) -> None:
    """The same conditions leave the same trials here and on the command line."""
    view = RunView.open(study.with_suffix(""))
    trials = view.trials()
    page.tab.check("#every")
    page.tab.select_option(".dt-length select", "500")
    for words in (["family = lightgbm"], ["score > 0.9", "folds = 3"], ["learning_rate < 0.1"], ["state != complete"],
                  ["trial ~ XGB"], ["seconds >= 0", "dataset = multiclass"], ["device = cpu"], ["score < -1e3"],
                  ["max_depth = 6"], ["family ~ o"], ["reason = "], ["memory > 1_0"]):
        page.tab.fill("#where", ", ".join(words))
        expected = {t.trial for t in trials if conditions(words, trials)(t)}
        assert page.total() == len(expected), words
        assert set(page.rows()) == expected, words
    page.tab.fill("#where", "reason ~ killed, or out of memory")
    assert page.tab.inner_text("#mistake") == "", "what is no condition belongs to the value before it"
    page.tab.fill("#where", "fam1ly = xgboost")
    assert "did you mean “family”" in page.tab.inner_text("#mistake")
    page.tab.fill("#where", "score > high")
    assert "compares numbers" in page.tab.inner_text("#mistake")
    page.tab.fill("#where", "family = xgboost")
    page.tab.fill("#where", "family = xgboost, score > high")
    assert {trial.split("/")[1] for trial in page.rows()} == {"xgboost"}, "what was understood last holds on"
    page.tab.fill("#search", "binary/xgboost/3")
    page.until(lambda: page.rows() == ["binary/xgboost/3"])
    page.tab.fill("#search", "")
    page.tab.fill("#where", "")
    page.tab.fill("#low", "0.95")
    page.tab.fill("#high", "0.99")
    assert set(page.rows()) == {t.trial for t in trials if t.score is not None and 0.95 <= t.score <= 0.99}


def test_the_board_is_searched_and_narrowed_to_a_family_and_a_dataset(page: Watched) -> None:
    page.tab.keyboard.press("/")
    page.tab.keyboard.type("xgboost/3")
    assert page.rows() == ["binary/xgboost/3"]
    page.tab.fill("#search", "")
    page.tab.click("#family-xgboost")
    assert {trial.split("/")[1] for trial in page.rows()} == {"lightgbm"}
    page.tab.select_option("#dataset", "regression")
    assert {trial.rsplit("/", 1)[0] for trial in page.rows()} == {"regression/lightgbm"}


def test_what_is_shown_is_exported_and_nothing_else(page: Watched) -> None:
    page.tab.fill("#where", "family = lightgbm")
    page.tab.click("#columns summary")
    page.tab.check("[data-column='param:learning_rate']")
    page.tab.keyboard.press("Escape")
    page.heading("time").click()
    with page.tab.expect_download() as download:
        page.tab.click("#csv")
    table = list(csv.reader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8"))))
    assert table[0][:4] == ["rank", "trial", "family", "score"]
    assert table[0][-1] == "learning_rate"
    assert [line[1] for line in table[1:]] == page.rows()
    assert {line[2] for line in table[1:]} == {"lightgbm"}


def test_a_model_is_opened_by_the_keyboard_with_the_plots_of_its_task(page: Watched) -> None:
    expected = {"binary": ("ROC", "Precision and recall", "Calibration", "Confusion"),
                "multiclass": ("ROC", "Precision and recall", "Calibration", "Confusion"),
                "regression": ("Predicted against true", "Residuals", "How far off")}
    for dataset, cards in expected.items():
        page.tab.keyboard.press("b")
        page.tab.select_option("#dataset", dataset)
        page.tab.locator("#board-table tbody tr").first.focus()
        page.tab.keyboard.press("ArrowDown")
        second = page.rows()[1]
        page.tab.keyboard.press("Enter")
        page.tab.wait_for_selector("h2:text-is('Folds')")
        assert page.tab.inner_text(".head h1") == second
        page.drawn(4)
        headings = page.tab.eval_on_selector_all(".card h2", "all => all.map(h => h.textContent)")
        assert set(cards) <= set(headings)
        if dataset == "binary":
            assert EVIL in page.tab.inner_text(".confusion"), "a label of the table, as text"


def test_two_models_are_compared_fold_by_fold(page: Watched) -> None:
    first, second = page.rows()[:2]
    page.tab.locator("#board-table tbody tr").first.focus()
    page.tab.keyboard.press("x")
    page.tab.keyboard.press("ArrowDown")
    page.tab.keyboard.press("x")
    assert page.tab.inner_text("#tabs .badge") == "2"
    page.tab.keyboard.press("c")
    page.drawn(2)
    text = page.tab.inner_text("#comparison")
    for word in (*(trial.split("/", 1)[1] for trial in (first, second)), "fold 3", "fold by fold, to the first", "±"):
        assert word in text


def test_every_view_is_drawn_at_both_widths_and_in_both_lights(chromium: Any, report: Path) -> None:
    for width, scheme in ((1280, "light"), (390, "dark")):
        page = watch(chromium, report.as_uri(), width=width, height=844, scheme=scheme)
        for view, plots in (("progress", 1), ("cost", 1), ("parameters", 3), ("families", 1), ("slots", 1),
                            ("failures", 0), ("spared", 0), ("run", 0), ("compare", 0), ("model", 1), ("board", 0)):
            page.tab.evaluate("view => { location.hash = '#' + view; }", view)
            page.tab.wait_for_selector(f"#tabs a[aria-current][href='#{view}']")
            page.drawn(plots)
            beyond = page.tab.evaluate("() => document.documentElement.scrollWidth - innerWidth")
            assert beyond <= 0, f"{view} is wider than {width} pixels"
        assert page.complaints == []
        page.tab.context.close()


def test_a_journal_whose_every_name_is_markup_is_shown_as_text_in_every_view(chromium: Any, tmp_path: Path) -> None:
    run = FakeRun(tmp_path / EVIL)
    run.started(EVIL)
    run.ready(EVIL, metric=EVIL, target=EVIL, classes=[EVIL, "b"], notices=[EVIL])
    for number in range(30):
        run.event("job_started", trial=f"{EVIL}/{EVIL}/{number}", attempt=1, slot=EVIL, gap_s=0.1)
        run.told(f"{EVIL}/{EVIL}/{number}", 0.9 + number / 1000, slot=EVIL, device=EVIL,
                 params={EVIL: number, "word": EVIL if number % 2 else "a"})
    run.told(f"{EVIL}/{EVIL}/30", None, "failed", kind=EVIL, reason=EVIL)
    run.told(f"{EVIL}/{EVIL}/31", 0.5, "pruned", fold_scores=[0.5])
    run.event("family_stopped", family=EVIL, dataset=EVIL, reason=EVIL)
    run.event("worker_lost", slot=EVIL, reason=EVIL)
    run.ended(reason=EVIL)
    done = optimizer("report", run.folder, "--out", "page.html", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    page = watch(chromium, (tmp_path / "page.html").as_uri())
    page.tab.click("#columns summary")
    for box in page.tab.locator("#columns input").all():
        box.check()
    page.tab.keyboard.press("Escape")
    for line in page.tab.locator("td.pick input").all()[:2]:
        line.check()
    for view in ("board", "compare", "model", "progress", "cost", "parameters", "families", "slots", "failures",
                 "spared", "run"):
        page.tab.evaluate("view => { location.hash = '#' + view; }", view)
        page.tab.wait_for_selector(f"#tabs a[aria-current][href='#{view}']")
        page.until(lambda: page.tab.locator(".chart:not([data-drawn]), .waiting").count() == 0)
        assert page.tab.locator("img").count() == 0, view
        assert EVIL in page.tab.inner_text("body"), view
    assert page.complaints == []
    assert page.tab.title() != "owned"
    page.tab.context.close()


def test_what_the_views_say_of_time_leaves_out_the_days_when_the_run_was_not_there(
    chromium: Any, tmp_path: Path,
) -> None:
    run = FakeRun(tmp_path / "night")
    run.started("a")
    run.ready("a")

    def job(number: int, score: float, idle: float, slots: int = 1) -> None:
        run.now += idle - 2
        run.event("trial_asked", trial=f"a/xgboost/{number}", params={}, seed=1, space="abc")
        run.event("job_started", trial=f"a/xgboost/{number}", attempt=1, slot="cpu0", gap_s=0.0)
        run.now += 20
        run.told(f"a/xgboost/{number}", score, seconds=20.0, slots=slots)

    job(0, 0.8, 1.0)
    job(1, 0.7, 6.0)  # the work before ended a second before it was told
    run.ended()
    run.now += 4 * 86400
    run.started("a", resumed=True)
    job(2, 0.9, 1.0, slots=2)
    run.event("family_stopped", family="xgboost", dataset="a", reason="of the night before")
    run.started("a", resumed=True)
    job(3, 0.5, 1.0)
    done = optimizer("report", run.folder, "--out", "page.html", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    page = watch(chromium, (tmp_path / "page.html").as_uri(), width=390)

    page.tab.click("#columns summary")
    box = page.tab.locator(".menu .sheet").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390, "every box of the columns can be reached"
    page.tab.keyboard.press("Escape")
    page.tab.evaluate("() => { location.hash = '#slots'; }")
    page.drawn()
    busy = page.tab.locator("table.plain").first.inner_text().split("\n")
    cpu0, cpu1 = (next(line for line in busy if line.startswith(name)).split("\t") for name in ("cpu0", "cpu1"))
    assert cpu0[2:] == ["4", "80 s", "7.0 s", "92.0 %", "7.0 s"]
    assert cpu1[3] == "20 s", "lent while its neighbour had both"
    page.tab.evaluate("() => { location.hash = '#progress'; }")
    page.drawn()
    found = page.tab.locator("table.plain").first.inner_text()
    assert " d" not in found
    assert "73 s" in found
    page.tab.evaluate("() => { location.hash = '#families'; }")
    page.drawn()
    assert "of the night before" not in page.tab.inner_text("#families-table")
    assert page.complaints == []
    page.tab.context.close()


@contextmanager
def served(study: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """``optimizer serve`` with the address that it says; Ctrl-C ends it, with exit code 0 and without a word."""
    process = subprocess.Popen(command("serve", study, "--port", "0", *options), cwd=study.parent.parent, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address.startswith("http://"), process.communicate(timeout=30)[1]
        yield process, address
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 0, errors
        assert "Traceback" not in errors
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def asked(address: str, path: str = "", method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    request = urllib.request.Request(address + path, method=method, headers=headers)  # noqa: S310 - our own server
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read()


def test_the_live_page_follows_a_run_and_outlives_it(chromium: Any, tmp_path: Path) -> None:
    study = write_study(tmp_path, "trials = 400\nfolds = 2\nfamilies = ['lightgbm']", extra="[resources]\ncores = 1")
    run = start(study, "--plain")
    run.until(lambda records: sum(r["event"] == "trial_told" for r in records) >= 2)
    with served(study) as (_, address):
        page = watch(chromium, address)
        before = page.total()
        assert "running" in page.tab.inner_text("#title")
        page.tab.fill("#where", "folds >= 1")
        page.until(lambda: page.total() > before)
        assert page.tab.input_value("#where") == "folds >= 1", "what was typed stays"
        trial = page.rows()[0]
        page.tab.evaluate("trial => { location.hash = '#model/' + encodeURIComponent(trial); }", trial)
        page.drawn(4)
        run.process.send_signal(signal.SIGTERM)
        assert run.wait() == 3
        page.until(lambda: "stopped" in page.tab.inner_text("#title"))
        afresh = optimizer("run", study, "--fresh", "--trials", "2", "--plain", cwd=tmp_path)
        assert afresh.returncode == 0, afresh.stderr
        page.tab.evaluate("() => { location.hash = '#board'; }")
        page.until(lambda: page.tab.locator(".dt-info").count() == 1 and page.total() == 2)
        study.with_suffix("").rename(tmp_path / "away")
        page.until(lambda: "gone" in page.tab.inner_text("#title"))
        assert page.total() == 2, "what is known stays on the page"
        assert page.complaints == []
        assert {url.split("?")[0] for url in page.requests if not url.startswith(("data:", "blob:"))} <= {
            address, f"{address}changes", f"{address}plots", f"{address}importance"}
        page.tab.context.close()


def test_the_server_is_read_only_kept_by_nobody_and_answers_to_its_own_names(study: Path) -> None:
    with served(study) as (_, address):
        status, headers, body = asked(address)
        assert status == 200
        assert headers["cache-control"] == "no-store"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert b"connect-src 'self'" in body.replace(b"&#x27;", b"'")
        assert asked(address, method="POST")[0] == 405
        assert asked(address, Host="evil.example")[0] == 421
        assert asked(address, "plots?trial=nothing/of/0")[0] == 404
        missing = json.loads(asked(address, "plots?trial=binary/xgbost/0")[2])["missing"]
        assert missing == "this run has no told trial 'binary/xgbost/0'"
        assert asked(address, "../../etc/passwd")[0] == 404
        status, _, body = asked(address, "changes?generation=0&change=x")
        assert len(json.loads(body)["rows"]) == 78


def test_away_from_this_machine_the_page_is_for_who_has_the_token(study: Path) -> None:
    with served(study, "--host", "0.0.0.0") as (_, address):  # noqa: S104 - that it asks for a token
        token, port = re.search(r"token=([\w-]+)", address)[1], re.search(r":(\d+)/", address)[1]  # type: ignore[index]
        here = f"http://127.0.0.1:{port}/"
        for path in ("", "changes?generation=0&change=0", "plots?trial=binary/xgboost/0"):
            status, headers, body = asked(here, path)
            assert (status, headers["cache-control"]) == (401, "no-store")
            assert b"binary" not in body
            assert asked(here, path, Authorization=f"Bearer {token}")[0] == 200


def test_optunas_dashboard_opens_on_a_copy_and_changes_nothing(study: Path) -> None:
    pytest.importorskip("optuna_dashboard")
    database = study.with_suffix("") / "optuna.db"
    before = database.read_bytes()
    with served(study, "--optuna") as (_, address):
        names = {s["study_name"] for s in json.loads(asked(address, "api/studies")[2])["study_summaries"]}
        assert names == {f"{d}/{f}" for d in ("binary", "multiclass", "regression") for f in ("lightgbm", "xgboost")}
        assert asked(address, "api/studies/1", method="DELETE")[0] == 405
    assert database.read_bytes() == before


def test_mistakes_are_answered_with_what_to_do(study: Path, tmp_path: Path) -> None:
    for words, said in ((("report", "small2"), "did you mean 'small'"), (("serve", "small2"), "did you mean 'small'"),
                        (("report", study, "--out", tmp_path / "no" / "r.html"), "there is no folder"),
                        (("report", study, "--out", tmp_path), "name a file in it"),
                        (("serve", study, "--host", "no-such-host.invalid"), "no address of this machine"),
                        (("serve", study, "--token", "a b"), "eight or more")):
        done = optimizer(*words, cwd=study.parent.parent)
        assert done.returncode == 2, done.stderr
        assert said in done.stderr
        assert "Traceback" not in done.stderr
