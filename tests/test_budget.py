"""No limit is ever passed, what was answered is kept, and what is under way is waited for."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ltgc_cli.budget import Budget, guarded, guarded_batch
from ltgc_cli.errors import BudgetError, Refused
from ltgc_cli.ports import Answer, GeneratedImage, ImageRequest, Question, Usage

QUESTION = Question(model="gpt-4o", task="extend", subject="crane", text="Besides these …")


def costing(dollars: float) -> Answer:
    return Answer(text="1. …", usage=Usage(dollars=dollars))


def drawing(seed: int) -> ImageRequest:
    return ImageRequest(model="api", text="A photo of crane.", seed=seed)


def test_without_limits_everything_is_asked():
    ask = guarded(lambda _: costing(1000.0), Budget(), lambda _: 1000.0)
    assert [ask(QUESTION).usage.dollars for _ in range(3)] == [1000.0, 1000.0, 1000.0]


def test_after_so_many_calls_no_other_is_made():
    seen = []
    ask = guarded(lambda q: seen.append(q) or costing(0.0), Budget(calls=2), lambda _: 0.0)
    ask(QUESTION)
    ask(QUESTION)
    with pytest.raises(BudgetError, match="--max-calls 2 is reached; run the same command again and it goes on"):
        ask(QUESTION)
    assert len(seen) == 2


def test_a_question_that_could_pass_the_limit_is_not_asked_though_it_might_be_cheaper():
    seen = []
    ask = guarded(lambda q: seen.append(q) or costing(0.40), Budget(dollars=1.0), lambda _: 0.50)
    ask(QUESTION)
    ask(QUESTION)
    with pytest.raises(BudgetError, match=r"--max-cost 1 is reached: \$0.8 spent"):
        ask(QUESTION)
    assert len(seen) == 2


def test_with_many_at_once_the_limit_holds_and_is_used_up_to_the_last_question_that_fits():
    budget = Budget(dollars=1.0)
    most_at_once, under_way, turn = [0.0], [0], threading.Lock()

    def port(_: Question) -> Answer:
        with turn:
            under_way[0] += 1
            most_at_once[0] = max(most_at_once[0], budget.spent + under_way[0] * 0.10)
        threading.Event().wait(0.001)
        with turn:
            under_way[0] -= 1
        return costing(0.02)

    ask = guarded(port, budget, lambda _: 0.10)

    def tried(_: int) -> bool:
        try:
            ask(QUESTION)
        except BudgetError:
            return False
        return True

    with ThreadPoolExecutor(32) as pool:
        answered = sum(pool.map(tried, range(200)))
    # 46 answers leave 0.08, which is less than one question may cost.
    assert answered == 46
    assert budget.spent == pytest.approx(0.92)


def test_what_a_refusal_cost_is_spent_too():
    def refuses(_: Question) -> Answer:
        raise Refused("the answer was empty", Usage(dollars=0.6))

    budget = Budget(dollars=1.0)
    ask = guarded(refuses, budget, lambda _: 0.6)
    with pytest.raises(Refused):
        ask(QUESTION)
    with pytest.raises(BudgetError):
        ask(QUESTION)
    assert budget.spent == 0.6


def test_of_a_batch_what_fits_is_generated_and_the_rest_get_the_error_in_their_place():
    seen = []

    def generate(drawings):
        seen.append([d.seed for d in drawings])
        return [GeneratedImage(sha256=f"{d.seed}", usage=Usage(dollars=0.04)) for d in drawings]

    answers = guarded_batch(generate, Budget(dollars=0.10), lambda _: 0.04)([drawing(n) for n in range(5)])
    assert [a.sha256 for a in answers[:2]] == ["0", "1"]
    assert all(isinstance(a, BudgetError) for a in answers[2:])
    assert seen == [[0, 1]]


def test_a_batch_that_costs_less_than_was_set_aside_goes_on_to_the_end():
    def generate(drawings):
        return [GeneratedImage(sha256=f"{d.seed}", usage=Usage(dollars=0.01)) for d in drawings]

    answers = guarded_batch(generate, Budget(dollars=0.10), lambda _: 0.04)([drawing(n) for n in range(6)])
    assert [a.sha256 for a in answers] == ["0", "1", "2", "3", "4", "5"]


def test_an_answer_whose_price_is_not_known_is_taken_to_have_cost_the_most_that_it_can():
    ask = guarded(lambda _: Answer(text="1. …"), Budget(dollars=1.0), lambda _: 0.50)
    ask(QUESTION)
    ask(QUESTION)
    with pytest.raises(BudgetError, match=r"\$1 spent"):
        ask(QUESTION)


def test_a_request_that_was_refused_before_it_was_answered_cost_nothing():
    def refuse(_: Question) -> Answer:
        raise Refused("the question is too long")

    ask = guarded(refuse, Budget(dollars=1.0), lambda _: 0.50)
    for _ in range(3):
        with pytest.raises(Refused):
            ask(QUESTION)


def test_a_question_that_is_asked_once_more_is_set_aside_once_more_and_settled_with_the_first():
    budget = Budget(dollars=1.0, calls=3)
    repeated = []

    def port(question: Question) -> Answer:
        repeated.extend(budget.repeat(question, 0.4) for _ in range(2))
        return costing(0.5)

    guarded(port, budget, lambda _: 0.4)(QUESTION)
    assert repeated == [True, False], "a third one could cost 1.2"
    assert budget.spent == 0.5
    assert budget.repeat(QUESTION, 0.4)
    assert not budget.repeat(QUESTION, 0.0), "three calls have been made"


def test_a_limit_in_calls_is_said_only_when_those_under_way_are_answered():
    budget, answered = Budget(calls=5), []

    def port(_: Question) -> Answer:
        threading.Event().wait(0.01)
        answered.append(1)
        return costing(0.0)

    def tried(_: int) -> int:
        try:
            guarded(port, budget, lambda _: 0.0)(QUESTION)
        except BudgetError:
            return len(answered)
        return 5

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(tried, range(40))) == {5}


@pytest.mark.parametrize(
    ("next_one", "says", "again"),
    [(0.5, "run the same command again and it goes on", True), (1.5, "raise it, or lower --max-tokens", False)],
)
def test_running_again_is_advised_only_where_the_next_question_alone_is_within_the_limit(next_one, says, again):
    bounds = iter([0.9, next_one])
    ask = guarded(lambda _: costing(0.8), Budget(dollars=1.0), lambda _: next(bounds))
    ask(QUESTION)
    with pytest.raises(BudgetError, match=says) as caught:
        ask(QUESTION)
    assert (caught.value.again, caught.value.most) == (again, next_one)


def test_a_limit_that_has_room_for_nothing_says_what_to_do():
    ask = guarded(lambda _: costing(0.0), Budget(dollars=0.02), lambda _: 0.025)
    with pytest.raises(BudgetError, match=r"one more can cost up to \$0.025; raise it, or lower --max-tokens"):
        ask(QUESTION)
