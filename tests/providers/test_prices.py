"""Prices as litellm itself gives them, and estimates of tokens beside its counts."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ltgc_cli import prompts as p
from ltgc_cli.errors import InputError
from ltgc_cli.providers import prices
from ltgc_cli.providers.llm import litellm as chat
from ltgc_cli.providers.quiet import quiet

NAMES = ("great grey owl", "Yorkshire terrier", "maillot", "Ardea herodias", "seal (marine mammal)", "airplane cabin")
FEATURES = (
    "with a long grey neck, standing in shallow water at dawn",
    "with mottled brown plumage, perched on a weathered fence post",
    "under soft overcast light, seen from behind, beside a mountain stream",
    "with a glossy black coat, running across a sunlit meadow",
    "close up with water droplets on its surface, against a blurred green background",
    "with intricate lace-like patterns, on a wooden windowsill",
)


def listed(name: str, count: int) -> list[str]:
    return [f"A photo of the class {name}, {FEATURES[n % len(FEATURES)]}." for n in range(count)]


def asked(name: str) -> list[str]:
    """Every prompt of the pipeline for a class, with short lists and long ones."""
    return [
        p.describe(p.PAPER, name),
        p.extend(p.PAPER, name, listed(name, 5), 20),
        p.extend(p.PAPER, name, listed(name, 100), 50),
        p.reflect(p.PAPER, name, listed(name, 100)),
        p.template(p.PAPER, name, listed(name, 8)),
        p.refine(p.PAPER, name, listed(name, 1)[0], "A photo of the class with long legs."),
    ]


@pytest.mark.parametrize(
    "spec",
    [
        "gpt-4o",
        "openai/gpt-4o",
        "gpt-4o-2024-08-06",
        "gpt-4o-2031-01-01",
        "GPT-4o",
        "azure/gpt-4o",
        "anthropic/claude-sonnet-4-5",
        "claude-sonnet-4-5",
        "gemini/gemini-2.5-flash",
        "gemini/gemini-2.5-flash-001",
        "vertex_ai/gemini-2.5-flash",
        "mistral/mistral-large-latest",
        "groq/llama-3.3-70b-versatile",
        "xai/grok-4.3",
        "bedrock/anthropic.claude-3-haiku-20240307-v1:0",
        "openrouter/openai/gpt-4o",
        "ft:gpt-4o-2024-08-06:my-org::id",
        "openai/gemini-2.5-flash",
        "azure/my-deployment",
        "no-such-model",
    ],
)
def test_a_model_costs_what_litellm_says(spec):
    with quiet():
        try:
            info = chat.imported().get_model_info(spec)
            said = (info["input_cost_per_token"], info["output_cost_per_token"], info["max_input_tokens"])
        except Exception:  # "isn't mapped yet"
            said = None
    price = prices.find(spec)

    assert (price and (price.input, price.output, price.max_input_tokens)) == said


def test_a_models_facts_are_in_its_price():
    gpt = prices.find("gpt-4o")

    assert (gpt.input, gpt.output, gpt.batch_input, gpt.batch_output) == (2.5e-6, 1e-5, 1.25e-6, 5e-6)
    assert (gpt.max_input_tokens, gpt.max_output_tokens) == (128_000, 16_384)


@pytest.mark.parametrize(
    ("spec", "takes"),
    [
        ("openai/gpt-4o", True),
        ("gpt-3.5-turbo", False),
        ("my-own-model", None),
        ("azure/my-deployment", None),
        ("hosted_vllm/gpt-4o", None),
        ("ollama/llama3.1", None),  # in the list, which says nothing of servers of one's own
    ],
)
def test_the_list_says_whether_a_model_takes_a_schema_or_that_it_cannot_say(spec, takes):
    assert prices.takes_schema(spec) is takes


def test_a_server_of_ones_own_costs_nothing_and_an_unknown_one_is_unknown():
    assert prices.find("ollama/llama3.1").input == 0 and prices.find("ollama/my-own-model").output == 0
    assert prices.find("hosted_vllm/gpt-4o").input == prices.find("lm_studio/qwen").output == 0
    assert prices.find("hosted_vllm/mine", "1,2").input == 1e-6
    assert prices.find("my-own-model") is None and prices.find("") is None
    assert prices.find("codestral/codestral-latest") is None  # 0 in the list, though it is paid for


def test_batches_take_what_is_listed_else_half():
    gpt, mistral = (prices.in_batch(prices.find(spec)) for spec in ("gpt-4o", "mistral/mistral-large-latest"))

    assert (gpt.input, gpt.output) == (1.25e-6, 5e-6)
    assert (mistral.input, mistral.output) == (2.5e-7, 7.5e-7)


def test_images_cost_by_size_by_pixel_or_alike():
    gpt = prices.find("gpt-image-1")

    assert prices.per_image(gpt) == 0.167 and prices.per_image(gpt, 1024, 1536) == 0.25
    assert prices.per_image(gpt, 300, 300) is None
    assert prices.dollars(gpt, 10, 4160) == 0.16645  # as its answers count, exactly
    assert prices.per_image(prices.find("azure/dall-e-3")) == 0.088
    assert prices.per_image(prices.find("stability/sd3"), 512, 512) == 0.065
    assert prices.per_image(prices.find("bedrock/stability.sd3-5-large-v1:0")) == 0.08
    pixels = prices.find("nscale/black-forest-labs/FLUX.1-schnell")
    assert prices.per_image(pixels, 1000, 1000) == pytest.approx(0.0013)
    assert prices.find("gpt-4o").image is None and prices.find("dall-e-99") is None


def test_the_users_own_price_goes_before_the_list():
    gpt, mine = prices.find("gpt-4o", "1,2"), prices.find("mine", " 0.5 , 0 ")

    assert (gpt.input, gpt.output, gpt.batch_input, gpt.max_input_tokens) == (1e-6, 2e-6, None, 128_000)
    assert (mine.input, mine.output) == (5e-7, 0.0)
    assert prices.per_image(prices.find("gpt-image-1", "0.04"), 1024, 1536) == 0.04


@pytest.mark.parametrize("given", ["", "a", "1,2,3", "-1,2", "1;2", "nan", "inf,1", "$1,$2"])
def test_what_is_no_price_is_an_input_error(given):
    with pytest.raises(InputError, match="is no price; write dollars per million tokens as IN,OUT"):
        prices.find("gpt-4o", given)


def test_prompt_tokens_are_a_few_percent_off_and_never_above_the_bound():
    counts = {
        text: chat.imported().token_counter(model="gpt-4o", messages=[{"role": "user", "content": text}])
        for name in NAMES
        for text in asked(name)
    }
    off = [prices.prompt_tokens(text) / count - 1 for text, count in counts.items()]

    assert abs(sum(map(prices.prompt_tokens, counts)) / sum(counts.values()) - 1) < 0.05
    assert max(map(abs, off)) < 0.2
    assert all(prices.most_prompt_tokens(text) > count for text, count in counts.items())


@pytest.mark.parametrize(
    "text", ["", " ", "鶴" * 50, "🦩" * 50, "x" * 500, "a b " * 100, "{}[]!?" * 50, "\n" * 50, "\udc80"]
)
def test_the_bound_holds_for_any_text(text):
    readable = text.encode(errors="replace").decode()
    count = chat.imported().token_counter(model="gpt-4o", messages=[{"role": "user", "content": readable}])

    assert prices.most_prompt_tokens(text) > count


@pytest.mark.parametrize(
    ("spec", "width", "height", "tokens"),
    [
        ("gpt-4o", 1024, 1024, 765),  # OpenAI's own two examples
        ("gpt-4o", 2048, 4096, 1105),
        ("openai/gpt-4o-2024-08-06", 512, 512, 255),
        ("gpt-4o-mini", 512, 512, 8500),
        ("o3", 512, 512, 225),
        ("gpt-5.1", 512, 512, 210),
        ("gpt-4.1-mini", 1024, 1024, 1659),
        ("gpt-5-mini", 4096, 4096, 2489),
        ("some-vllm-model", 1, 1, 255),
        ("anthropic/claude-sonnet-4-5", 200, 200, 54),  # Anthropic's
        ("anthropic/claude-sonnet-4-5", 1000, 1000, 1334),
        ("claude-opus-4-1", 6000, 6000, 1600),
        ("claude-opus-4-1", 6000, 100, 55),
        ("gemini/gemini-2.5-flash", 384, 384, 258),  # Google's
        ("vertex_ai/gemini-2.5-flash", 960, 540, 1548),
    ],
)
def test_images_are_as_many_tokens_as_the_providers_say(spec, width, height, tokens):
    assert prices.image_tokens(width, height, spec) == tokens


def test_prices_are_found_without_importing_litellm():
    code = """
import sys
from ltgc_cli.providers import prices
prices.find("gpt-4o"), prices.prompt_tokens("…"), prices.image_tokens(1, 1, "gpt-4o")
print([name for name in ("litellm", "tiktoken", "openai", "PIL") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_without_litellm_no_price_is_known(monkeypatch):
    for cached in (prices._listed, prices._prices, prices._lowercase, prices._images):
        cached.cache_clear()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    try:
        assert prices.find("gpt-4o") is None
        assert prices.find("gpt-4o", "1,2").input == 1e-6
    finally:
        for cached in (prices._listed, prices._prices, prices._lowercase, prices._images):
            cached.cache_clear()
