"""What a request will use and cost: about (for --dry-run), and at the most (for --max-cost)."""

from __future__ import annotations

from ltgc_cli.ports import ImageRequest, Question, Usage
from ltgc_cli.providers import prices
from ltgc_cli.providers.prices import Price

FREE = Price()  # what embedded, replayed and local models cost
_NOTHING = Usage(dollars=0.0)
_MOST_IMAGE_TOKENS = 6500  # of the largest and finest image, where an API counts them (OpenAI's gpt-image-1: 6,240)


def estimated(question: Question, price: Price | None) -> Usage:
    """Returns about what a question uses: tokens by its text, images and task, dollars where the price is known."""
    if price is FREE:
        return _NOTHING
    prompt = prices.asked_tokens(question)
    completion = min(prices.completion_tokens(question.task, question.want), question.max_tokens)
    dollars = None if price is None else prices.dollars(price, prompt, completion)
    return Usage(prompt_tokens=prompt, completion_tokens=completion, dollars=dollars)


def most(question: Question, price: Price | None) -> float:
    """Returns the most that one answer can cost, in US dollars; 0 where the price is not known."""
    if price is None:
        return 0.0
    images = len(question.images) * _most_image_tokens(question) if question.images else 0
    return prices.dollars(price, prices.most_prompt_tokens(question.text) + images, question.max_tokens)


def image(request: ImageRequest, price: Price | None) -> Usage:
    """Returns about what a generated image costs at an image API."""
    if price is FREE:
        return _NOTHING
    return Usage(dollars=None if price is None else prices.per_image(price, request.width, request.height))


def most_image(request: ImageRequest, price: Price | None) -> float:
    """Returns the most that an image can cost at an image API, in US dollars; 0 where the price is not known."""
    if price is None:
        return 0.0
    listed = prices.per_image(price, request.width, request.height)
    if listed is not None:
        return listed
    return prices.dollars(price, prices.most_prompt_tokens(request.text), _MOST_IMAGE_TOKENS)


def _most_image_tokens(question: Question) -> int:
    """Returns the most over the shapes of photos: a wide one may have more tiles than a square one."""
    side = _side(question)
    return max(prices.image_tokens(side, side * part // 8, question.model) for part in range(1, 9))


def _side(question: Question) -> int:
    return question.image_size if isinstance(question.image_size, int) else prices.LARGEST
