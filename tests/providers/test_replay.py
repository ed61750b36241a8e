from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from msgspec.structs import replace

from ltgc_cli.errors import InputError, ProviderError
from ltgc_cli.ports import Answer, Comparison, GeneratedImage, ImageRequest, Match, NearestClass, Question, Usage
from ltgc_cli.providers import open_ask, open_compare, open_generate, open_score, replay

QUESTION = Question(model="gpt-4o", task="extend", subject="crane (bird)", text="Besides\u2028these …", temperature=0.5)
ANSWER = Answer(text="1. A photo of the class crane, at dusk.", usage=Usage(prompt_tokens=7, dollars=0.01))
DRAWING = ImageRequest(model="stabilityai/sd-turbo", text="A photo of crane (bird), at dusk.", seed=3, guidance=1.5)
MATCH = Match(model="ViT-B-32/openai", image="a" * 64, text="A photo of crane (bird).")
RIVAL = Comparison(model="ViT-B-32/openai", image="a" * 64, own="A photo of crane (bird).", among="c" * 64)
NEAREST = NearestClass(text="A photo of a heron.", cosine=0.2)
DATA = b"\x89PNG as drawn"


@pytest.fixture
def record(tmp_path, kept, keep):
    """A recording of one exchange with each port: its path."""
    path = tmp_path / "record.jsonl"
    tally = replay.recorder(path, kept.__getitem__)
    tally(QUESTION, ANSWER, hit=False)
    tally(DRAWING, GeneratedImage(sha256=keep(DATA)), hit=False)
    tally(MATCH, 0.25, hit=True)
    tally(RIVAL, NEAREST, hit=False)
    return path


def nothing(text: str) -> None:
    raise AssertionError(text)


def open_llm(path):
    return open_ask(f"replay:{path}", kind="llm", objects=dict.__getitem__, notice=nothing)


def test_what_was_recorded_is_replayed_on_every_port_whatever_model_said_it(record, kept, keep):
    kept.clear()
    llm = open_llm(record)
    t2i = open_generate(f"replay:{record}", keep=keep, notice=nothing)
    clip = open_score(f"replay:{record}", objects=kept.__getitem__, notice=nothing)

    compare = open_compare(f"replay:{record}", objects=kept.__getitem__, notice=nothing)

    assert compare.port([replace(RIVAL, model=compare.model)]) == [NEAREST]
    assert llm.port(replace(QUESTION, model=llm.model)) == ANSWER
    (picture,) = t2i.port([replace(DRAWING, model=t2i.model)])
    assert kept[picture.sha256] == DATA
    assert clip.port([replace(MATCH, model=clip.model)] * 2) == [0.25, 0.25]


def test_a_recording_keeps_that_an_answer_was_cut_off(tmp_path, kept):
    path = tmp_path / "record.jsonl"
    replay.recorder(path, kept.__getitem__)(QUESTION, replace(ANSWER, cut_off=True), hit=False)
    llm = open_llm(path)

    assert llm.port(replace(QUESTION, model=llm.model)) == replace(ANSWER, cut_off=True)


def test_the_identity_is_what_the_recording_holds_and_never_where_it_lies(record, tmp_path):
    moved = tmp_path / "moved.jsonl"
    moved.write_bytes(record.read_bytes())

    assert open_llm(record).model == open_llm(moved).model
    assert open_llm(record).model == f"replay@{hashlib.sha256(record.read_bytes()).hexdigest()[:12]}"


@pytest.mark.parametrize(
    "other",
    [
        replace(QUESTION, text="Another."),
        replace(QUESTION, attempt=1),
        replace(QUESTION, temperature=0.6),
        replace(QUESTION, images=("a" * 64,)),
    ],
)
def test_a_question_that_it_does_not_hold_is_an_error_that_shows_it_and_says_what_to_do(record, other):
    with pytest.raises(ProviderError, match="holds no answer to question .*crane .bird.*; record it") as raised:
        open_llm(record).port(other)

    assert raised.value.exit_code == 3
    assert f"--record {record}" in str(raised.value)


def test_a_long_question_is_shown_in_one_line_cut_short(record):
    with pytest.raises(ProviderError) as raised:
        open_llm(record).port(replace(QUESTION, text="line\n" * 1000))

    assert "\n" not in str(raised.value) and len(str(raised.value)) < 400 + 2 * len(str(record))


def test_an_exchange_is_recorded_once_also_by_many_threads_and_the_next_run(record, kept):
    before = record.read_bytes()
    for _ in range(2):
        tally = replay.recorder(record, kept.__getitem__)
        with ThreadPoolExecutor(8) as pool:
            for n in range(40):
                pool.submit(tally, replace(QUESTION, attempt=n % 5), ANSWER, hit=False)
    after = record.read_bytes()

    assert after.startswith(before)
    assert len(after.splitlines()) == 4 + 4
    assert len(replay.read(record)) == 4 + 4


def test_a_recording_is_one_object_a_line_with_the_request_the_answer_and_an_images_bytes(record):
    question, drawing, match = (json.loads(line) for line in record.read_text(encoding="utf-8").split("\n")[:3])

    assert question["request"]["type"] == "Question" and question["answer"]["text"] == ANSWER.text
    assert drawing["request"]["text"] == DRAWING.text and drawing["data"] == "iVBORyBhcyBkcmF3bg=="
    assert match["answer"] == 0.25


def test_a_recording_whose_last_line_has_no_newline_goes_on_below_it(record, kept):
    record.write_text(record.read_text(encoding="utf-8").rstrip("\n"), encoding="utf-8")
    replay.recorder(record, kept.__getitem__)(replace(QUESTION, attempt=9), ANSWER, hit=False)

    assert len(replay.read(record)) == 5


@pytest.mark.parametrize(
    "line",
    [
        "shopping: milk",
        "[]",
        "{}",
        '{"request": {"type": "Question"}, "answer": {"text": "a"}}',
        '{"request": {"type": "Secret"}, "answer": 1}',
        '{"request": {"type": "Match", "model": "", "image": "a", "text": "b"}, "answer": "much"}',
    ],
)
def test_a_file_that_is_no_recording_is_neither_replayed_nor_written_to(tmp_path, kept, line):
    path = tmp_path / "mine.txt"
    path.write_text("\n" + line)

    for use in (lambda: open_llm(path), lambda: replay.recorder(path, kept.__getitem__)):
        with pytest.raises(InputError, match=r"mine.txt:2: not an exchange that --record wrote"):
            use()
    assert path.read_text() == "\n" + line


def test_a_binary_file_is_no_recording(tmp_path):
    (tmp_path / "image.png").write_bytes(b"\x89PNG\xff")

    with pytest.raises(InputError, match="not UTF-8 text"):
        open_llm(tmp_path / "image.png")


def test_a_line_that_no_image_is_as_long_as_is_none_of_a_recording(tmp_path):
    with (tmp_path / "zeros.jsonl").open("wb") as file:
        file.truncate((512 << 20) + 1)

    with pytest.raises(InputError, match=r"zeros.jsonl:1: this line is longer than 512 MiB"):
        replay.read(tmp_path / "zeros.jsonl")


def test_a_recording_that_is_not_there_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="make a recording with --record"):
        open_llm(tmp_path / "none.jsonl")


def test_a_place_that_cannot_be_written_to_is_said_before_anything_is_asked(tmp_path, kept):
    with pytest.raises(InputError, match="--record .*No such file"):
        replay.recorder(tmp_path / "no" / "folder.jsonl", kept.__getitem__)


def test_an_image_whose_bytes_were_changed_is_an_error(record, keep):
    record.write_text(record.read_text(encoding="utf-8").replace("iVBORyBh", "iVBORyBi"), encoding="utf-8")

    with pytest.raises(ProviderError, match="not the image recorded"):
        open_generate(f"replay:{record}", keep=keep, notice=nothing).port([DRAWING])
