"""`ltgc` with a language model that writes down each question before it answers, and can stop answering.

python counted.py LOG HOLD_AFTER ltgc-arguments…      HOLD_AFTER: answers given before it hangs, or -1
"""

import sys
import time
from pathlib import Path

from ltgc_cli import providers
from ltgc_cli.cli import main
from ltgc_cli.ports import Answer, Question
from ltgc_cli.store import key

log, hold_after = Path(sys.argv[1]), int(sys.argv[2])
answered = 0


def ask(question: Question) -> Answer:
    global answered
    with log.open("a") as file:
        which = question.attempt if question.task == "extend" else key(question)
        file.write(f"{question.task} {question.subject} {which}\n")
    if answered == hold_after:
        time.sleep(600)
    answered += 1
    lines = (f"A photo of the class {question.subject}, seen {n} times in year {question.attempt}." for n in range(4))
    return Answer(text="none" if question.task == "reflect" else "\n".join(lines))


providers.open_ask = lambda spec, **_: providers.Opened("counted", ask)
sys.argv = ["ltgc", *sys.argv[3:]]
main()
