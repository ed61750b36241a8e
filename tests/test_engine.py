"""The engine: many calls at once, their answers in the order of the questions; and the bill."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ltgc_cli import console
from ltgc_cli.engine import Meter, in_order, in_parts, in_rounds, mapped
from ltgc_cli.errors import InputError, Refused, Unreadable
from ltgc_cli.ports import Answer, Comparison, GeneratedImage, ImageRequest, Match, NearestClass, Question, Usage

QUESTION = Question(model="m", task="extend", subject="crane", text="a")
DRAWING = ImageRequest(model="sd", text="a", seed=1)
MATCH = Match(model="clip", image="ab", text="a")
RIVAL = Comparison(model="clip", image="ab", own="a", among="cd")


def soon(condition) -> bool:
    """Returns whether a condition comes true within five seconds."""
    end = time.monotonic() + 5
    while not condition() and time.monotonic() < end:
        time.sleep(0.001)
    return condition()


# --- what is set for the caller


def test_what_a_caller_has_set_for_itself_holds_for_the_calls_that_run_for_it_in_other_threads(capsys):
    def speak(*what):
        console.notice(f"said of {what}")
        return what[:0]

    with console.quietly(True):
        list(in_order(speak, ["a", "b"], workers=2))
        list(in_rounds(["c"], [1], prepare=speak, work=lambda items, number: [], workers=2, batch=1, held=1))
        with ThreadPoolExecutor(2) as pool:
            assert mapped(pool, len, ["a", "bb"]) == [1, 2]
            mapped(pool, speak, ["d", "e"])
    assert capsys.readouterr().err == ""
    list(in_order(speak, ["f"], workers=2))
    assert capsys.readouterr().err == "said of ('f',)\n"


# --- in_order


@pytest.mark.parametrize("workers", [1, 2, 16])
def test_answers_come_in_the_order_of_the_items_however_long_each_takes(workers):
    pauses = random.Random(0).choices([0, 0.001, 0.004], k=60)

    def square(number):
        time.sleep(pauses[number])
        return number * number

    assert list(in_order(square, range(60), workers)) == [number * number for number in range(60)]


def test_no_items_are_no_answers():
    assert list(in_order(lambda item: 1 / 0, [], 4)) == []


def test_as_many_calls_run_at_once_as_there_are_workers():
    all_in = threading.Barrier(8, timeout=5)

    def wait_for_the_others(number):
        all_in.wait()
        return number

    assert list(in_order(wait_for_the_others, range(16), workers=8)) == list(range(16))


def counting():
    """A function to be called at once from many threads, and in a list how many calls of it were."""
    running, most, guard = [0], [0], threading.Lock()

    def count(_):
        with guard:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.001)
        with guard:
            running[0] -= 1

    return count, most


def test_never_more_calls_run_at_once_than_there_are_workers():
    count, most = counting()
    list(in_order(count, range(50), workers=3))
    assert most[0] <= 3


def test_items_are_taken_only_a_little_ahead_so_that_memory_stays_flat():
    taken = []
    answers = in_order(lambda number: number, (taken.append(number) or number for number in range(10_000)), workers=4)

    for number in range(100):
        assert next(answers) == number
        assert len(taken) <= number + 1 + 2 * 4
    answers.close()


def test_one_slow_call_holds_back_the_ones_behind_it_and_no_more_are_taken():
    taken, go = [], threading.Event()
    first_is_slow = in_order(
        lambda number: go.wait(5) if number == 0 else number,
        (taken.append(number) or number for number in range(10_000)),
        workers=4,
    )
    thread = threading.Thread(target=lambda: next(first_is_slow))
    thread.start()
    reached = soon(lambda: len(taken) == 2 * 4)
    time.sleep(0.02)
    ahead = len(taken)
    go.set()
    thread.join()
    first_is_slow.close()

    assert reached and ahead == 2 * 4


# --- in_parts


@pytest.mark.parametrize("workers", [1, 2, 3, 16])
def test_parts_of_an_items_work_come_back_in_order_and_no_worker_waits_for_a_place(workers):
    def cubes(number, at_once):
        return at_once(lambda part: (number, part), range(number))

    expected = [[(number, part) for part in range(number)] for number in range(30)]
    assert list(in_parts(cubes, range(30), workers)) == expected


def test_parts_of_one_item_are_worked_on_by_as_many_as_are_free():
    all_in = threading.Barrier(8, timeout=5)
    (waits,) = in_parts(lambda _, at_once: at_once(lambda part: all_in.wait(), range(8)), ["one"], workers=8)

    assert sorted(waits) == list(range(8))


def test_items_and_parts_together_are_never_more_at_once_than_there_are_workers():
    count, most = counting()
    list(in_parts(lambda _, at_once: at_once(count, range(9)), range(9), workers=3))
    assert most[0] == 3


def test_an_error_in_a_part_is_raised_at_once_and_not_behind_another_part_that_hangs():
    go, begun = threading.Event(), []

    def part(number):
        begun.append(number)
        if number == 3:
            raise Refused("number 3")
        go.wait(5)

    with pytest.raises(Refused, match="number 3"):
        list(in_parts(lambda _, at_once: at_once(part, range(50)), ["one"], workers=4))
    before = len(begun)
    go.set()
    time.sleep(0.02)

    assert before == len(begun) <= 5  # what had not begun is dropped


def test_an_answer_is_handed_out_before_the_stream_ends():
    def endless():
        number = 0
        while True:
            yield number
            number += 1

    answers = in_order(lambda number: number, endless(), workers=2)
    assert [next(answers) for _ in range(3)] == [0, 1, 2]
    answers.close()


def test_an_error_is_raised_at_once_and_not_behind_an_earlier_call_that_hangs():
    go, ended = threading.Event(), []

    def call(number):
        if number == 3:
            raise Refused("number 3")
        go.wait(5)
        ended.append(number)

    with pytest.raises(Refused, match="number 3"):
        list(in_order(call, range(100), workers=4))
    assert ended == []
    go.set()


def test_after_an_error_calls_that_have_not_begun_are_dropped():
    called = []

    def fail(number):
        called.append(number)
        raise Refused("no")

    with pytest.raises(Refused):
        list(in_order(fail, range(1000), workers=2))
    assert len(called) <= 4


def test_after_an_error_calls_under_way_finish_behind_it_because_their_answers_are_paid():
    begun, go, finished = threading.Barrier(2, timeout=5), threading.Event(), threading.Event()

    def call(number):
        begun.wait()
        if number == 0:
            raise Refused("no")
        go.wait(5)
        finished.set()

    with pytest.raises(Refused):
        list(in_order(call, range(2), workers=2))
    go.set()
    assert finished.wait(5)


def test_an_error_in_the_items_themselves_is_raised_and_no_thread_is_left():
    def items():
        yield 1
        raise InputError("stdin:2: not JSON")

    before = threading.active_count()
    with pytest.raises(InputError, match="stdin:2"):
        list(in_order(lambda item: item, items(), workers=4))
    assert soon(lambda: threading.active_count() <= before)


def test_a_reader_that_has_had_enough_leaves_no_thread_behind():
    before = threading.active_count()
    answers = in_order(lambda number: number, range(1000), workers=4)
    next(answers)
    answers.close()

    assert soon(lambda: threading.active_count() <= before)


# --- in_rounds


def rounds_of(
    items,
    numbers=(2, 3, 4),
    *,
    again=lambda item, number: True,
    workers=4,
    batch=2,
    pause=lambda item: 0,
    held=1000,
):
    """Returns the batches that were worked on, in order of place, by round, and the rounds as they were reported."""
    seen, told = {}, []

    def prepare(item, number):
        time.sleep(pause(item))

    def work(together, number):
        seen.setdefault(number, []).append(together)
        return [item for item in together if again(item, number)]

    through = in_rounds(
        items, numbers, prepare=prepare, work=work, workers=workers, batch=batch, held=held, on_round=told.append
    )
    assert list(through) == list(items)
    return {number: sorted(found) for number, found in seen.items()}, told


def test_what_work_returns_goes_through_the_next_round_and_the_rest_is_done():
    seen, told = rounds_of(range(7), again=lambda item, number: item >= number)

    assert seen == {2: [[0, 1], [2, 3], [4, 5], [6]], 3: [[2, 3], [4, 5], [6]], 4: [[3, 4], [5, 6]]}
    assert told == [2, 3, 4]


@pytest.mark.parametrize("workers", [1, 3, 16])
def test_batches_are_cut_in_the_order_of_the_items_however_long_each_is_prepared(workers):
    pauses = random.Random(workers).choices([0, 0.001, 0.004], k=41)
    seen, told = rounds_of(
        range(41), workers=workers, batch=4, again=lambda item, number: item % number, pause=pauses.__getitem__
    )

    second = [item for item in range(41) if item % 2]
    third = [item for item in second if item % 3]
    assert seen[2] == [list(range(start, min(start + 4, 41))) for start in range(0, 41, 4)]
    assert seen[3] == [second[start : start + 4] for start in range(0, len(second), 4)]
    assert seen[4] == [third[start : start + 4] for start in range(0, len(third), 4)]
    assert told == [2, 3, 4]


def test_while_one_item_is_prepared_others_are_worked_on_also_in_later_rounds():
    far = threading.Event()

    def prepare(item, number):
        assert item != "slow" or far.wait(5)

    def work(together, number):
        if number == 3:
            far.set()
        return together if number == 2 and "slow" not in together else []

    done = in_rounds(["a", "b", "c", "d", "slow"], [2, 3], prepare=prepare, work=work, workers=2, batch=2, held=9)
    assert list(done) == ["a", "b", "c", "d", "slow"]
    assert far.is_set()


def test_a_batch_that_is_ready_does_not_wait_for_the_one_before_it():
    worked, first = [], threading.Event()

    def work(together, number):
        worked.append(together)
        first.set()
        return []

    wait = first.wait
    done = in_rounds(
        ["slow", "b"], [1], prepare=lambda item, _: item != "slow" or wait(5), work=work, workers=2, batch=1, held=9
    )
    assert list(done) == ["slow", "b"]
    assert worked == [["b"], ["slow"]]


def test_a_round_without_items_is_not_reported_and_no_items_are_no_rounds():
    assert rounds_of("ab", again=lambda item, number: False) == ({2: [["a", "b"]]}, [2])
    assert rounds_of("") == ({}, [])
    assert rounds_of("ab", numbers=()) == ({}, [])


@pytest.mark.parametrize("workers", [1, 16])
def test_few_are_held_at_a_time_and_batches_are_cut_alike_whatever_the_workers(workers):
    pauses = random.Random(workers).choices([0, 0.001, 0.003], k=60)
    taken, most = [], []

    def items():
        for item in range(60):
            taken.append(item)
            yield item

    def work(together, number):
        seen.setdefault(number, []).append(together)
        return [item for item in together if item % 5 == 0]

    seen: dict = {}
    for done, _ in enumerate(
        in_rounds(
            items(),
            [2, 3],
            prepare=lambda item, _: time.sleep(pauses[item]),
            work=work,
            workers=workers,
            batch=4,
            held=10,
            begins=lambda item: item % 2 == 0,
        )
    ):
        most.append(len(taken) - done)

    assert max(most) <= 10
    # Of ten at most five begin, and one or two go on: they do not wait for two more, which would be held up by them.
    assert sorted(seen[2]) == [[0, 2, 4, 6], [8, 10, 12, 14], [16, 18, 20, 22], [24, 26, 28, 30], [32, 34, 36, 38]] + [
        [40, 42, 44, 46],
        [48, 50, 52, 54],
        [56, 58],
    ]
    assert sorted(seen[3]) == [[0], [10], [20], [30], [40], [50]]


def test_a_long_stream_is_not_taken_further_than_what_is_held():
    taken = []
    done = in_rounds(
        (taken.append(item) or item for item in range(1000)),
        [2],
        prepare=lambda *_: None,
        work=lambda *_: [],
        workers=2,
        batch=4,
        held=8,
    )
    assert next(done) == 0 and len(taken) <= 8
    done.close()


def test_an_error_in_preparing_ends_the_rounds_and_what_has_not_begun_is_dropped():
    begun = []

    def prepare(item, number):
        begun.append(item)
        if item == 0:
            raise InputError("item 0")
        time.sleep(0.005)

    with pytest.raises(InputError, match="item 0"):
        list(in_rounds(range(1000), [1], prepare=prepare, work=lambda *_: [], workers=1, batch=64, held=1000))
    assert len(begun) < 1000


def test_an_error_in_working_ends_the_rounds_and_leaves_no_thread_behind():
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError):
        list(in_rounds(range(10), [1], prepare=lambda *_: None, work=lambda *_: 1 / 0, workers=4, batch=2, held=10))

    assert soon(lambda: threading.active_count() <= before)


# --- usage


def test_what_was_asked_and_what_was_found_are_counted_apart_and_by_kind():
    meter = Meter()
    meter(QUESTION, Answer(text="a"), hit=False)
    meter(QUESTION, Answer(text="a"), hit=True)
    meter(DRAWING, GeneratedImage(sha256="ab"), hit=True)
    meter(MATCH, 0.25, hit=False)
    meter(RIVAL, NearestClass(text="a heron", cosine=0.2), hit=False)

    assert meter.asked == {"Question": 1, "Match": 1, "Rival": 1}
    assert meter.found == {"Question": 1, "Drawing": 1}


def test_tokens_and_dollars_sum_and_an_unknown_price_is_not_taken_for_nothing():
    meter = Meter()
    meter(QUESTION, Answer(text="a", usage=Usage(prompt_tokens=10, completion_tokens=5, dollars=0.25)), hit=False)
    meter(QUESTION, Answer(text="b", usage=Usage(prompt_tokens=10, completion_tokens=5, dollars=0.0)), hit=False)
    meter(QUESTION, Answer(text="c", usage=Usage(prompt_tokens=10, completion_tokens=5)), hit=False)
    meter(DRAWING, GeneratedImage(sha256="ab", usage=Usage(dollars=0.5)), hit=False)
    meter(DRAWING, GeneratedImage(sha256="cd"), hit=False)

    assert (meter.tokens, meter.dollars, meter.unpriced) == (45, 0.75, 1)


def test_an_image_by_an_image_api_is_paid_for_though_no_tokens_are_counted():
    meter = Meter()
    meter(ImageRequest(model="litellm:my-images", text="a", seed=1), GeneratedImage(sha256="cd"), hit=False)

    assert (meter.dollars, meter.unpriced) == (0.0, 1)


def test_what_is_found_in_the_store_costs_nothing_this_time():
    meter = Meter()
    meter(QUESTION, Answer(text="a", usage=Usage(prompt_tokens=10, dollars=0.25)), hit=True)

    assert (meter.tokens, meter.dollars, meter.unpriced) == (0, 0.0, 0)


def test_a_summary_says_what_was_asked_found_used_and_paid():
    meter = Meter()
    for number in range(1200):
        meter(DRAWING, GeneratedImage(sha256="ab"), hit=number > 0)
    meter(QUESTION, Answer(text="a", usage=Usage(prompt_tokens=1000, completion_tokens=234, dollars=0.306)), hit=False)
    meter(QUESTION, Answer(text="b", usage=Usage(prompt_tokens=1)), hit=False)

    assert meter.summary() == (
        "1 image asked, 2 questions asked, 1,199 of 1,200 images from the store, "
        "1,235 tokens, $0.31, 1 answer of unknown price"
    )


def test_a_summary_says_that_a_server_of_ones_own_costs_nothing():
    meter = Meter()
    question = Question(model="hosted_vllm/m@localhost:8000/v1", task="extend", subject="crane", text="…")
    meter(question, Answer(text="…", usage=Usage(prompt_tokens=7, dollars=0.0)), hit=False)
    assert meter.summary() == "1 question asked, 7 tokens, $0 (a server of your own)"


def test_the_summary_of_nothing_is_empty():
    assert Meter().summary() == ""


def test_counting_from_many_threads_loses_nothing():
    meter = Meter()
    answer = Answer(text="a", usage=Usage(prompt_tokens=1, dollars=0.5))
    list(in_order(lambda _: meter(QUESTION, answer, hit=False), range(2000), workers=8))

    assert (meter.asked, meter.tokens, meter.dollars) == ({"Question": 2000}, 2000, 1000.0)


def test_what_fails_is_counted_with_what_it_cost():
    meter = Meter()
    meter.fail(QUESTION, Refused("no", Usage(prompt_tokens=3, dollars=0.25)))
    assert (meter.failed, meter.dollars, meter.asked) == ({"Question": 1}, 0.25, {})


def test_refusals_are_counted_from_many_threads_but_for_those_that_asking_again_would_not_change():
    meter = Meter()
    errors = [Refused("no"), Unreadable("broken")] * 1000
    list(in_order(lambda error: meter.fail(QUESTION, error), errors, workers=8))
    assert (meter.failed, meter.refused) == ({"Question": 2000}, 1000)


def test_after_the_first_error_no_worker_begins_another_call():
    begun = []

    def fails_at_two(item):
        begun.append(item)
        if item == 2:
            raise ValueError("full")
        return item

    for _ in range(50):
        begun.clear()
        with pytest.raises(ValueError, match="full"):
            list(in_order(fails_at_two, range(9), workers=1))
        assert begun == [0, 1, 2]
