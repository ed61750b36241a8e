"""litellm's records of answers, which it makes for loggers."""

from types import SimpleNamespace

import pytest

from ltgc_cli.providers.llm.litellm import imported
from ltgc_cli.providers.llm.unlogged import unlogged


def test_litellm_makes_no_record_of_an_answer_that_nobody_reads():
    imported()
    from litellm._internal_context import is_internal_call

    with pytest.raises(KeyError), unlogged(SimpleNamespace(success_callback=[])):
        assert is_internal_call.get()
        raise KeyError
    assert not is_internal_call.get()


def test_the_records_of_answers_go_to_the_loggers_that_somebody_has_set():
    imported()
    from litellm._internal_context import is_internal_call

    with unlogged(SimpleNamespace(success_callback=["langfuse"])):
        assert not is_internal_call.get()
