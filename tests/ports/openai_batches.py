"""OpenAI's files and batches for the loopback server of `server.py`, kept in memory, and how real ones end.

    routes = batches(lambda line: "A photo of the class crane, at dusk.")
    with serving(routes) as address:  # --api-base is f"{address}/v1"
        ...
    routes.made  # the batches, each with the lines of its file

A batch goes through `statuses`, one at every look at it. Mistral's, of other routes and names, are here too.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

from aiohttp import web

Line = dict[str, Any]
NO_ROOM = {"code": "token_limit_exceeded", "message": "Enqueued token limit reached for gpt-4o in organization org-1."}
_FINAL = ("completed", "failed", "expired", "cancelled")


class Error(NamedTuple):
    """A line that failed."""

    status: int
    message: str
    code: str | None = None


Reply = str | Error | None
"""To a line: a text, an error, or nothing at all."""


class Batches(dict[str, Callable[[web.Request], Awaitable[web.StreamResponse]]]):
    """Routes for `serving`; what they hold; and how they are to fail."""

    def __init__(self) -> None:
        super().__init__()
        self.files: dict[str, bytes] = {}
        self.made: list[dict[str, Any]] = []
        self.faults: dict[str, list[str]] = {"upload": [], "create": [], "look": [], "content": []}
        """By what is asked: "STATUS" in turn; "lost" does it and answers 500; "" is no fault."""
        self.room: int | None = None
        """Lines that may be in batches under way at once; a batch that has no room fails."""
        self.looks = 0
        self.keys: set[str] = set()

    @property
    def lines(self) -> list[list[Line]]:
        """The lines of every batch that was made."""
        return [batch["lines"] for batch in self.made]


def batches(
    answer: Callable[[Line], Reply],
    statuses: Sequence[str] = ("validating", "in_progress", "completed"),
    tokens: tuple[int, int] = (100, 10),
) -> Batches:
    """Routes that answer each line of a batch with what `answer` says once the last of `statuses` is reached."""
    routes = Batches()

    async def upload(request: web.Request) -> web.StreamResponse:
        form = await request.post()
        routes.keys.add(request.headers.get("Authorization", ""))
        if fault := _fault(routes, "upload"):
            return fault
        name = f"file-{len(routes.files)}"
        routes.files[name] = form["file"].file.read()  # type: ignore[union-attr]
        return web.json_response(_file(name, len(routes.files[name])))

    def make(file: str, body: Mapping[str, Any]) -> dict[str, Any]:
        lines = [json.loads(line) for line in routes.files[file].splitlines()]
        used = sum(len(batch["lines"]) for batch in routes.made if batch["status"] not in _FINAL)
        full = routes.room is not None and used + len(lines) > routes.room
        batch = {"id": f"batch_{len(routes.made)}", "file": file, "lines": lines, "body": dict(body), "error": None}
        batch |= {"to_come": ["failed"] if full else list(statuses), "status": "validating"}
        if full:
            batch["error"] = NO_ROOM
        routes.made.append(batch)
        return batch

    async def create(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        kind = routes.faults["create"][0] if routes.faults["create"] else ""
        if kind != "lost" and (fault := _fault(routes, "create")):
            return fault
        mistral = "input_files" in body
        batch = make(body["input_files"][0] if mistral else body["input_file_id"], body)
        if kind == "lost":
            return _fault(routes, "create") or web.Response()
        return web.json_response(_mistral(batch) if mistral else _openai(batch))

    async def look(request: web.Request) -> web.StreamResponse:
        routes.looks += 1
        if fault := _fault(routes, "look"):
            return fault
        batch = next((b for b in routes.made if b["id"] == request.match_info["id"]), None)
        if batch is None:
            return web.json_response({"error": {"message": "No such batch"}}, status=404)
        if batch["to_come"]:
            batch["status"] = batch["to_come"].pop(0)
        if batch["status"] in _FINAL and "output" not in batch:
            _end(routes, batch, answer, tokens)
        return web.json_response(_mistral(batch) if "/jobs/" in request.path else _openai(batch))

    async def everything(request: web.Request) -> web.StreamResponse:
        newest = [_openai(batch) for batch in reversed(routes.made)]
        after = request.query.get("after")
        start = next((n + 1 for n, batch in enumerate(newest) if batch["id"] == after), 0)
        page = newest[start : start + 2]
        return web.json_response({"object": "list", "data": page, "has_more": start + 2 < len(newest)})

    async def content(request: web.Request) -> web.StreamResponse:
        if fault := _fault(routes, "content"):
            return fault
        return web.Response(body=routes.files[request.match_info["id"]])

    for start in ("/v1", "/openai"):
        routes[f"POST {start}/files"] = upload
        routes[f"GET {start}/files/{{id}}/content"] = content
        routes[f"POST {start}/batches"] = create
        routes[f"GET {start}/batches"] = everything
        routes[f"GET {start}/batches/{{id}}"] = look
    routes["POST /v1/batch/jobs"] = create
    routes["GET /v1/batch/jobs/{id}"] = look
    for route, handle in routes.items():
        routes[route] = _closing(handle)
    return routes


def _closing(handle: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Any:
    """Closes the connection after each answer: litellm makes a client for each call on files and never closes it."""

    async def closing(request: web.Request) -> web.StreamResponse:
        response = await handle(request)
        response.force_close()
        return response

    return closing


def _fault(routes: Batches, what: str) -> web.Response | None:
    kind = routes.faults[what].pop(0) if routes.faults[what] else ""
    status = 500 if kind == "lost" else int(kind or 0)
    error = {"message": f"a fault of {what}", "code": None}
    return web.json_response({"error": error}, status=status) if status else None


def _end(routes: Batches, batch: dict[str, Any], answer: Callable[[Line], Reply], tokens: tuple[int, int]) -> None:
    """Writes the files of results: half of the lines for a batch that was stopped, none for a failed one."""
    lines = batch["lines"]
    done = {"completed": lines, "failed": []}.get(batch["status"], lines[: len(lines) // 2])
    good, bad = [], []
    for line in reversed(done):  # results come in any order
        reply = answer(line)
        if isinstance(reply, str):
            good.append(_row(line, 200, _completion(reply, tokens)))
        elif reply:
            bad.append(_row(line, reply.status, {"error": {"message": reply.message, "code": reply.code}}))
    if batch["status"] == "expired":
        late = {"code": "batch_expired", "message": "This request could not be executed before the completion window."}
        bad += [{"custom_id": line["custom_id"], "response": None, "error": late} for line in lines[len(lines) // 2 :]]
    batch |= {"output": None, "errors": None, "good": len(good), "bad": len(bad)}
    for name, rows in (("output", good), ("errors", bad)):
        if rows:
            batch[name] = f"file-{len(routes.files)}"
            routes.files[batch[name]] = "\n".join(json.dumps(row) for row in rows).encode()


def _row(line: Line, status: int, body: Any) -> dict[str, Any]:
    return {
        "id": "batch_req_1",
        "custom_id": line["custom_id"],
        "response": {"status_code": status, "request_id": "1", "body": body},
        "error": None,
    }


def _completion(text: str, tokens: tuple[int, int]) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    return {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}


def _file(name: str, size: int) -> dict[str, Any]:
    made = {"id": name, "object": "file", "bytes": size, "created_at": 1, "filename": "a.jsonl", "purpose": "batch"}
    return made | {"status": "processed"}


def _openai(batch: dict[str, Any]) -> dict[str, Any]:
    errors = {"object": "list", "data": [batch["error"]]} if batch["error"] else None
    counts = {"total": len(batch["lines"]), "completed": batch.get("good", 0), "failed": batch.get("bad", 0)}
    return {
        "id": batch["id"],
        "object": "batch",
        "endpoint": batch["body"].get("endpoint"),
        "input_file_id": batch["file"],
        "completion_window": "24h",
        "status": batch["status"],
        "created_at": 1,
        "output_file_id": batch.get("output"),
        "error_file_id": batch.get("errors"),
        "errors": errors,
        "request_counts": counts,
        "metadata": batch["body"].get("metadata"),
    }


def _mistral(batch: dict[str, Any]) -> dict[str, Any]:
    names = {"validating": "QUEUED", "in_progress": "RUNNING", "completed": "SUCCESS", "expired": "TIMEOUT_EXCEEDED"}
    return {
        "id": batch["id"],
        "input_files": [batch["file"]],
        "endpoint": batch["body"]["endpoint"],
        "model": batch["body"]["model"],
        "status": names.get(batch["status"], batch["status"].upper()),
        "created_at": 1,
        "total_requests": len(batch["lines"]),
        "succeeded_requests": batch.get("good", 0),
        "failed_requests": batch.get("bad", 0),
        "output_file": batch.get("output"),
        "error_file": batch.get("errors"),
    }
