"""ltgc review in a real browser: keys and buttons write the file, and what is shown is what the file says."""

from __future__ import annotations

import http.client
import io
import json
import re
import signal
import subprocess
import sys
import threading
import webbrowser
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import browser
import pytest
from commands import heeds_ctrl_c
from PIL import Image as Pixels

from ltgc_cli.cli import review as reviewing
from ltgc_cli.errors import InputError
from ltgc_cli.records import Class, Image, Rejected, Step, Template, dump, identify, read
from ltgc_cli.review.serving import Server, Site
from ltgc_cli.review.site import site
from ltgc_cli.store import Store

HOSTILE = "<img src=x onerror=alert(1)>"
TOKEN = "a-token-of-its-own"


# --- a stream with two tail classes, each with two accepted images, a rejected and a plain one


def a_stream(store: Store, names=(HOSTILE, "seal")) -> str:
    rows = []
    for label, name in enumerate(names, start=3):
        cls = identify(Class(label=label, class_=name, tail=True, count=label, shot="few"), name)
        rows += [cls, _image(store, cls, 0, "original")]
        rows += [
            _image(store, cls, number, "generated", text=_text(cls, number), score=0.5, threshold=0.3)
            for number in (1, 2)
        ]
        lost = _image(store, cls, 3, "generated")
        rows.append(
            identify(
                Rejected(
                    label=label,
                    class_=name,
                    of="image",
                    reason="scored below the class's bar in its one drawing",
                    text=_text(cls, 3),
                    sha256=lost.sha256,
                    score=0.1,
                    threshold=0.3,
                    parents=(lost.id,),
                    history=(Step(text=_text(cls, 3), sha256=lost.sha256, score=0.1),),
                ),
                "lost",
            )
        )
        rows.append(_image(store, cls, 4, "plain", text=f"A photo of the class {name}"))
        rows.append(identify(Template(label=label, class_=name, text=_text(cls, 0), threshold=0.3), "t"))
    return "".join(dump(row) + "\n" for row in rows)


def _text(cls: Class, number: int) -> str:
    return f"A photo of the class {cls.class_}, seen <b>{number}</b> times."


def _image(store: Store, cls: Class, number: int, origin: str, **fields) -> Image:
    file = io.BytesIO()
    Pixels.new("RGB", (16, 16), (40 * cls.label, 60 * number, 99)).save(file, "PNG")
    sha256 = store.put_object(file.getvalue())
    return identify(Image(label=cls.label, class_=cls.class_, sha256=sha256, origin=origin, **fields), number)


def a_site(store: Store, stream: Path, verdicts: Path) -> Site:
    with stream.open("rb") as lines:
        return site(store, read(lines, str(stream)), verdicts, TOKEN)


@contextmanager
def served(store: Store, stream: Path, verdicts: Path):
    with Server(a_site(store, stream, verdicts), TOKEN) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def files(tmp_path):
    """The store, the stream, and where verdicts go."""
    store = Store(tmp_path / "store")
    (tmp_path / "filtered.jsonl").write_text(a_stream(store))
    yield SimpleNamespace(store=store, stream=tmp_path / "filtered.jsonl", verdicts=tmp_path / "verdicts.jsonl")
    store.close()


@pytest.fixture(scope="module")
def chromium():
    with browser.chromium() as one:
        yield one


@pytest.fixture
def tab(chromium, files):
    """Opens the page in a tab of one browser; nothing may go wrong on it that the test does not say."""
    with served(files.store, files.stream, files.verdicts) as server:
        context = chromium.new_context(viewport={"width": 1280, "height": 900})
        context.set_default_timeout(10_000)
        wrong = []

        def open(expected=lambda text: False):
            page = context.new_page()
            page.on("pageerror", lambda error: wrong.append(str(error)))
            page.on("dialog", lambda dialog: (wrong.append(f"dialog {dialog.message}"), dialog.dismiss()))
            page.on(
                "console", lambda said: said.type == "error" and not expected(said.text) and wrong.append(said.text)
            )
            page.goto(server.address)
            page.wait_for_selector(".review-counts b")
            page.wait_for_selector(".review-buttons")
            return page

        yield open
        context.close()
    assert wrong == []


def counted(page) -> str:
    return " ".join(page.inner_text(".review-counts").split())


def wait_for(page, counts: str) -> None:
    page.wait_for_function(
        "want => document.querySelector('.review-counts').innerText.split(/\\s+/).join(' ') === want", arg=counts
    )


def states(page) -> list[str]:
    return page.eval_on_selector_all(".drawing[data-verdict]", "all => all.map(one => one.dataset.verdict)")


def said(path: Path) -> list[tuple[int, str]]:
    return [(line["label"], line["verdict"]) for line in map(json.loads, path.read_text().splitlines())]


def focused(page) -> tuple[str, str]:
    return tuple(page.evaluate("[document.activeElement.dataset.label, document.activeElement.dataset.sha256]"))


# --- keys


def test_keys_keep_and_reject_the_image_in_focus_and_go_on_to_the_next(tab, files):
    page = tab()
    assert counted(page) == "0 kept 0 rejected 6 left"
    for key in "nkrk":
        page.keyboard.press(key)
    wait_for(page, "2 kept 1 rejected 3 left")

    assert said(files.verdicts) == [(3, "keep"), (3, "reject"), (3, "keep")]
    assert states(page) == ["keep", "reject", "keep", "", "", ""]
    page.wait_for_function("() => document.activeElement.dataset.label === '4'")  # the next class
    page.wait_for_selector(f"text=Kept: {HOSTILE}, image 3")


def test_a_reload_and_a_server_that_was_started_again_go_on_where_one_was(tab, files, chromium):
    page = tab()
    for key in "nkr":
        page.keyboard.press(key)
    wait_for(page, "1 kept 1 rejected 4 left")
    page.reload()
    wait_for(page, "1 kept 1 rejected 4 left")
    assert states(page)[:3] == ["keep", "reject", ""]

    with served(files.store, files.stream, files.verdicts) as again:
        other = chromium.new_page()
        other.goto(again.address)
        wait_for(other, "1 kept 1 rejected 4 left")
        other.close()


def test_a_second_tab_sees_it_and_the_last_one_wins(tab):
    one, two = tab(), tab()
    for key in "nk":
        one.keyboard.press(key)
    wait_for(two, "1 kept 0 rejected 5 left")
    for key in "nr":
        two.keyboard.press(key)
    wait_for(one, "0 kept 1 rejected 5 left")

    assert states(one) == states(two) == ["reject", "", "", "", "", ""]


def test_u_takes_back_what_was_decided_last_and_else_what_is_in_focus(tab, files):
    page = tab()
    for key in "nk":
        page.keyboard.press(key)
    wait_for(page, "1 kept 0 rejected 5 left")
    first, second = page.eval_on_selector_all(".drawing[data-verdict]", "all => all.map(one => one.dataset.sha256)")[:2]
    assert focused(page)[1] == second
    page.keyboard.press("u")
    wait_for(page, "0 kept 0 rejected 6 left")
    assert focused(page)[1] == first

    for key in ("r", "k"):
        page.keyboard.press(key)
    wait_for(page, "1 kept 1 rejected 4 left")
    for key in ("ArrowLeft", "p", "n", "u"):  # back to the second, by hand
        page.keyboard.press(key)
    wait_for(page, "0 kept 1 rejected 5 left")
    assert said(files.verdicts) == [(3, "keep"), (3, "none"), (3, "reject"), (3, "keep"), (3, "none")]


def test_arrows_j_n_and_p_go_through_all_classes_and_open_those_that_are_closed(tab):
    page = tab()
    page.evaluate("document.querySelectorAll('.class details').forEach(one => (one.open = false))")
    page.keyboard.press("n")
    page.wait_for_function("() => document.activeElement.dataset.label === '3'")
    for key in ("j", "ArrowRight", "n"):
        page.keyboard.press(key)
    page.wait_for_function("() => document.activeElement.dataset.label === '4'")
    page.keyboard.press("p")
    page.wait_for_function("() => document.activeElement.matches('[data-label=\"3\"][data-state=rejected]')")
    page.keyboard.press("ArrowUp")
    page.wait_for_function("() => document.activeElement.matches('[data-label=\"3\"][data-state=accepted]')")


def test_keys_that_come_faster_than_classes_open_each_decide_on_the_next_image(tab, files):
    page = tab()
    page.evaluate("document.querySelectorAll('.class details').forEach(one => (one.open = false))")
    for key in "nkrkrkr":
        page.keyboard.press(key)
    wait_for(page, "3 kept 3 rejected 0 left")
    assert states(page) == ["keep", "reject"] * 3


def test_l_finds_what_is_left(tab):
    page = tab()
    for key in "nk":
        page.keyboard.press(key)
    page.keyboard.press("n")
    page.keyboard.press("r")  # the third: the second is left out
    wait_for(page, "1 kept 1 rejected 4 left")
    page.keyboard.press("l")
    page.wait_for_function("() => document.activeElement.matches('[data-label=\"4\"] ~ .drawing')")  # its second
    page.keyboard.press("k")
    wait_for(page, "2 kept 1 rejected 3 left")
    page.keyboard.press("l")
    page.wait_for_function("() => document.activeElement.dataset.label === '3'")
    assert states(page) == ["keep", "", "reject", "", "keep", ""]


def test_a_key_without_an_image_in_focus_decides_nothing(tab, files):
    page = tab()
    page.keyboard.press("k")
    page.wait_for_selector("text=Choose an image first")
    page.keyboard.press("n")
    page.focus("#search")
    page.keyboard.type("kru")
    page.keyboard.press("Escape")
    page.focus("figure.plain")
    page.keyboard.press("k")
    page.keyboard.press("Control+k")
    page.wait_for_timeout(100)
    assert not files.verdicts.exists()


def test_the_keys_are_explained_and_an_image_can_be_seen_large(tab, files):
    page = tab()
    page.keyboard.press("?")
    page.wait_for_selector("text=next one that is left")
    page.keyboard.press("k")
    page.keyboard.press("?")
    page.keyboard.press("n")
    page.keyboard.press("z")
    text = f"A photo of the class {HOSTILE}, seen <b>1</b> times."
    page.wait_for_selector(f"text={HOSTILE}, image 1: {text}")
    page.keyboard.press("k")
    page.keyboard.press("z")
    wait_for(page, "1 kept 0 rejected 5 left")
    page.wait_for_function("() => document.activeElement.matches('.drawing')")
    assert said(files.verdicts) == [(3, "keep")]


# --- buttons, and who does not see


def test_buttons_say_whether_they_are_pressed_and_take_back_what_is(tab, files):
    page = tab()
    seal = page.get_by_role("group", name="Verdict on image 2 of seal")
    keep, reject = seal.get_by_role("button", name="Keep"), seal.get_by_role("button", name="Reject")
    assert keep.get_attribute("aria-pressed") == "false"
    keep.click()
    wait_for(page, "1 kept 0 rejected 5 left")
    assert (keep.get_attribute("aria-pressed"), reject.get_attribute("aria-pressed")) == ("true", "false")
    reject.click()
    wait_for(page, "0 kept 1 rejected 5 left")
    reject.click()
    wait_for(page, "0 kept 0 rejected 6 left")
    assert [verdict for _, verdict in said(files.verdicts)] == ["keep", "reject", "none"]
    page.wait_for_selector("[role=status] >> text=Taken back: seal, image 2")


def test_it_fits_a_phone(tab):
    page = tab()
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    boxes = [button.bounding_box() for button in page.query_selector_all(".drawing .review-buttons button")[:4]]
    assert all(box["height"] >= 44 and box["width"] >= 44 for box in boxes)


def test_a_hostile_name_is_text_and_plain_images_are_only_looked_at(tab):
    page = tab()
    assert HOSTILE in page.inner_text("#class-list")
    assert page.query_selector_all("#class-list img[src=x], #class-list b") == []
    assert len(page.query_selector_all("figure.plain")) == 2
    assert page.query_selector_all("figure.plain .review-buttons") == []
    assert len(page.query_selector_all(".review-buttons")) == 7  # six images, and the large view


# --- what goes wrong


def test_what_cannot_be_written_is_not_shown_as_kept(tab, files):
    page = tab(expected=lambda text: "500" in text)
    page.keyboard.press("n")
    files.verdicts.mkdir()
    page.keyboard.press("k")
    page.wait_for_selector(".review-trouble:not([hidden])")

    assert page.inner_text(".review-trouble") == (f"Not kept: {HOSTILE}, image 1: {files.verdicts}: Is a directory")
    assert states(page) == [""] * 6 and counted(page) == "0 kept 0 rejected 6 left"
    files.verdicts.rmdir()
    page.keyboard.press("r")
    wait_for(page, "0 kept 1 rejected 5 left")
    assert page.is_hidden(".review-trouble")


def test_a_server_that_is_gone_is_noticed_and_nothing_is_shown_as_kept(tab):
    page = tab(expected=lambda text: "ERR_INTERNET_DISCONNECTED" in text)
    page.keyboard.press("n")
    page.context.set_offline(True)
    page.keyboard.press("k")
    page.wait_for_selector(".review-trouble:not([hidden])")
    assert "the server does not answer; start ltgc review again" in page.inner_text(".review-trouble")
    assert states(page) == [""] * 6
    page.context.set_offline(False)
    page.keyboard.press("k")
    wait_for(page, "1 kept 0 rejected 5 left")


def test_verdicts_of_other_data_and_a_torn_line_are_left_alone(files):
    other = '{"kind":"verdict","label":9,"class":"owl","sha256":"%s","verdict":"keep"}\n' % ("0" * 64)
    files.verdicts.write_text(other + '{"kind":"verd')
    with served(files.store, files.stream, files.verdicts) as server:
        (label, sha256), *_ = server.site.generated
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
        decision = json.dumps({"label": label, "sha256": sha256, "verdict": "reject"})
        own = {"Content-Type": "application/json", "Origin": f"http://127.0.0.1:{server.server_port}"}
        connection.request("POST", f"/{TOKEN}/verdict", decision, own)
        assert connection.getresponse().read() == b'{"kept":true}'
        connection.request("GET", f"/{TOKEN}/verdicts")
        assert json.loads(connection.getresponse().read())["verdicts"] == [[label, sha256, "reject"]]
        connection.close()
    assert files.verdicts.read_text().startswith(other + '{"kind":"verd\n{"kind":"verdict"')


def test_a_file_that_was_put_in_place_of_another_is_read_from_its_beginning(files):
    with served(files.store, files.stream, files.verdicts) as server:
        assert server.site.read_verdicts(500) == ([], 0, 0, 0)
        files.verdicts.write_text("\n")
        assert server.site.read_verdicts(500) == ([], 0, 1, 0)
        assert server.site.read_verdicts(1) == ([], 1, 1, 0)


@pytest.mark.parametrize(
    ("stream", "verdicts", "text"),
    [
        ("", "", "review found no generated image in its input"),
        ("nonsense\n", "", "filtered.jsonl:1: not JSON"),
        (None, "nonsense\n", "verdicts.jsonl:1: not JSON"),
    ],
)
def test_bad_input_stops_before_anything_is_served(files, stream, verdicts, text):
    if stream is not None:
        files.stream.write_text(stream)
    files.verdicts.write_text(verdicts)
    with pytest.raises(InputError, match=re.escape(text)):
        a_site(files.store, files.stream, files.verdicts)


# --- the command


def test_the_command_prints_its_address_survives_a_kill_and_at_the_end_how_to_go_on(files, environment, tmp_path):
    def start(*more: str) -> tuple[subprocess.Popen, str]:
        command = [sys.executable, "-m", "ltgc_cli", "review", "-i", "filtered.jsonl", "--no-open", *more]
        command += ["--verdicts", "my verdicts.jsonl"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        running = subprocess.Popen(command, env=environment, cwd=tmp_path, preexec_fn=heeds_ctrl_c, **pipes)
        line = running.stderr.readline()
        assert "review: 6 generated images at http://127.0.0.1:" in line, line + running.stderr.read()
        assert running.stderr.readline() == "review: decisions are added to my verdicts.jsonl; Ctrl-C ends it\n"
        return running, re.search(r"http://\S+", line)[0]

    def ask(address: str, method: str, path: str, body: str | None = None) -> dict:
        _, _, host, token, _ = address.split("/")
        connection = http.client.HTTPConnection(host, timeout=10)
        headers = {"Content-Type": "application/json", "Origin": f"http://{host}"} if body else {}
        connection.request(method, f"/{token}/{path}", body, headers)
        answer = json.loads(connection.getresponse().read())
        connection.close()
        return answer

    drawing = next(
        row for row in map(json.loads, files.stream.read_text().splitlines()) if row.get("origin") == "generated"
    )
    decision = {"label": 3, "sha256": drawing["sha256"], "verdict": "reject"}
    running, address = start()
    assert ask(address, "POST", "verdict", json.dumps(decision)) == {"kept": True}
    running.kill()
    running.communicate()

    running, another = start("-q")  # no browser is opened, and nobody would know the address
    assert another.rpartition("/")[0].rpartition("/")[2] != address.rpartition("/")[0].rpartition("/")[2]
    assert ask(another, "GET", "verdicts")["verdicts"] == [[3, drawing["sha256"], "reject"]]
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=30)
    assert (running.returncode, out) == (0, "")
    assert err.splitlines() == [
        "review: 0 kept and 1 rejected by hand, in my verdicts.jsonl; go on with",
        "  ltgc filter --verdicts 'my verdicts.jsonl' -i FILE      (what filter read: generates rejected ones again)",
        "  ltgc mix-train --verdicts 'my verdicts.jsonl' -i filtered.jsonl --data DATA      (or train without them)",
    ]

    running, _ = start("-q")
    running.send_signal(signal.SIGTERM)
    assert running.communicate(timeout=30)[1].startswith("review: 0 kept and 1 rejected by hand")
    assert running.returncode == 143


def test_where_a_browser_is_opened_quiet_says_nothing(files, inside, monkeypatch):
    opened = []

    def closed_at_once(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Server, "serve_forever", closed_at_once)
    monkeypatch.setattr(reviewing, "_someone_sits_here", lambda: True)
    monkeypatch.setattr(webbrowser, "open", opened.append)
    loud, quiet = inside("review", "-i", files.stream), inside("review", "-i", files.stream, "-q")

    assert (loud.code, quiet.code, quiet.err) == (0, 0, "")
    assert "review: nothing was decided" in loud.err and len(opened) == 2
