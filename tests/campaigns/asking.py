"""`ltgc extend` with a language model that writes down each question, and each that the store had an answer to already.

python asking.py LOG STORE ltgc-arguments…
"""

import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

from ltgc_cli import providers
from ltgc_cli.cli import main
from ltgc_cli.ports import Answer, Question
from ltgc_cli.store import key

log, store = Path(sys.argv[1]), Path(sys.argv[2])
LATE = 1.0
"""Seconds that an answer may be in the store before another process, which looked a moment earlier, asks it too."""


def ask(question: Question) -> Answer:
    now = time.time()
    with closing(sqlite3.connect(store / "answers" / "cache.db", timeout=60)) as connection:
        found = connection.execute("SELECT store_time FROM Cache WHERE key = ?", [key(question)]).fetchone()
    late = found is not None and now - found[0] > LATE
    with log.open("a") as file:
        file.write(f"{'late' if late else 'asked'} {key(question)}\n")
    lines = (f"A photo of the class {question.subject}, seen {n} times in year {question.attempt}." for n in range(2))
    return Answer(text="\n".join(lines))


providers.open_ask = lambda spec, **_: providers.Opened("asking", ask)
sys.argv = ["ltgc", *sys.argv[3:]]
main()
