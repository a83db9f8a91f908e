"""Asking a model behind an OpenAI-compatible endpoint: patient, thrifty, and silent about its key.

Knows HTTP and the chat-completions form. Knows no example, no label and no metric. Needs httpx2
(`pip install savs[endpoint]`).
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import random
import re
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from savs.backbones.base import BackboneSpec, Progress
from savs.errors import EndpointError

_log = logging.getLogger(__name__)

Message = Mapping[str, Any]

#: Answers that a later try may mend: too early, too many at once, or the server's own trouble.
_TRANSIENT = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})

#: No pause between two tries is longer, in seconds.
_LONGEST_PAUSE = 60.0

#: What a setting is called by newer servers that refuse it.
_NEWER = {"max_tokens": "max_completion_tokens"}

#: How servers say that they do not take a setting, rather than that a request is too long or badly formed.
_UNKNOWN = (
    r"(?:unsupported|not support|n't support|unknown|unrecogni|unexpected|not (?:permitted|allowed|accept)(?!\w* to\b))"
)

#: Where a message begins to repeat the request, as pydantic's do.
_REPEATED = re.compile(r"\binput(?:_value)?['\"]?\s*[:=]")

NEEDS_HTTPX = "it needs httpx2: pip install 'savs[endpoint]'"


@dataclass(frozen=True)
class Endpoint:
    """Which model is asked, and how.

    Attributes:
        url: base address, such as `https://api.openai.com/v1`; `/chat/completions` is appended.
        model: as the endpoint calls it.
        key_variable: environment variable that holds the key. The key is read when a request is made, sent to `url`
            alone, and neither stored nor written anywhere. Without the variable no key is sent.
        cache: folder that holds every answer ever given, so that nothing is asked (and paid for) twice.
        prices: of a million prompt tokens and a million answer tokens, in the currency of the bill.
        settings: further fields of a request.
        timeout: seconds to wait for an answer.
        tries: of a request, before it is given up.
        at_once: requests under way together.

    Raises:
        EndpointError: the address is none, or holds a password.
    """

    url: str
    model: str
    key_variable: str = "OPENAI_API_KEY"
    cache: Path = Path("~/.cache/savs/endpoint")
    prices: tuple[float, float] | None = None
    settings: Mapping[str, Any] = field(default_factory=lambda: {"temperature": 0, "max_tokens": 16}, hash=False)
    timeout: float = 60.0
    tries: int = 6
    at_once: int = 4

    def __post_init__(self) -> None:
        try:
            address = urlsplit(self.url)
            host, password = address.hostname, address.password or address.username
        except ValueError:
            address, host, password = urlsplit(""), None, None
        if address.scheme not in ("http", "https") or not host:
            raise EndpointError(f"{self.url!r} is no address of an endpoint; expected one such as https://host/v1")
        if password or address.query:
            # The address stands in messages and on pages.
            raise EndpointError(
                f"the address of the endpoint at {host} holds more than a place, perhaps a key; give "
                f"https://host/v1 alone, and the key in the environment variable {self.key_variable}"
            )


@dataclass(frozen=True)
class Answer:
    """What the model said, and what it took.

    Attributes:
        text: the answer.
        tokens_in: of the prompt, as the endpoint counts them; 0 where it does not say.
        tokens_out: of the answer.
        cached: whether it was known from an earlier request.
    """

    text: str
    tokens_in: int
    tokens_out: int
    cached: bool


@dataclass(frozen=True)
class Bill:
    """What some answers cost.

    Attributes:
        asked: answers that were asked for now.
        cached: answers that were known.
        tokens_in: of the prompts asked now.
        tokens_out: of the answers given now.
        cost: of those, at the endpoint's prices; None where these are not known.
    """

    asked: int
    cached: int
    tokens_in: int
    tokens_out: int
    cost: float | None

    @property
    def answers(self) -> int:
        """How many there were."""
        return self.asked + self.cached

    def __str__(self) -> str:
        """One line for a person."""
        cost = "cost not known, for want of prices" if self.cost is None else f"cost {self.cost:.4f}"
        return (
            f"{self.asked} asked, {self.cached} from the cache; {self.tokens_in:,} tokens in, {self.tokens_out:,} out; "
            f"{cost}"
        )


def httpx_is_installed() -> bool:
    """Whether endpoints can be asked here."""
    return find_spec("httpx2") is not None


class ChatClient:
    """Asks one endpoint.

    A request that meets a limit, a fault of the server, a timeout or an answer that is none is tried again: after as
    long as the server says, else after one second, two, four and so on, each with some chance in it. A setting that
    the server says it does not take is left out of that request and those to come, `max_tokens` written as
    `max_completion_tokens` first.

    Args:
        endpoint: which model, and how.
        sleep: waits so many seconds; by default it stops waiting when the work is broken off.
    """

    def __init__(self, endpoint: Endpoint, *, sleep: Callable[[float], object] | None = None) -> None:
        self.endpoint = endpoint
        self._broken_off = threading.Event()
        self._sleep = self._broken_off.wait if sleep is None else sleep
        self._lock = threading.Lock()
        self._answers: list[Answer] = []
        #: Settings that the server does not take, and the name that it takes instead, or None.
        self._renamed: dict[str, str | None] = {}

    @property
    def spec(self) -> BackboneSpec:
        """What identifies the model that answers, as far as an endpoint tells."""
        settings = json.dumps(dict(self.endpoint.settings), sort_keys=True)
        return BackboneSpec(self.endpoint.model, f"{self.endpoint.model} at {self.endpoint.url} {settings}", "", "")

    @property
    def bill(self) -> Bill:
        """What all answers of this client have cost so far."""
        with self._lock:
            new = [answer for answer in self._answers if not answer.cached]
            known = len(self._answers) - len(new)
        tokens_in, tokens_out = sum(a.tokens_in for a in new), sum(a.tokens_out for a in new)
        prices = self.endpoint.prices
        cost = None if prices is None else (tokens_in * prices[0] + tokens_out * prices[1]) / 1e6
        return Bill(len(new), known, tokens_in, tokens_out, cost)

    def ask_all(self, conversations: Sequence[Sequence[Message]], *, progress: Progress | None = None) -> list[Answer]:
        """The answer to each conversation, in their order. What was answered stays known if one of them fails.

        Raises:
            EndpointError: an answer cannot be had.
        """
        import httpx2

        self._broken_off.clear()
        with (
            httpx2.Client(timeout=self.endpoint.timeout) as http,
            ThreadPoolExecutor(self.endpoint.at_once) as pool,
        ):
            futures = [pool.submit(self._ask, http, messages) for messages in conversations]
            try:
                for done, future in enumerate(as_completed(futures), start=1):
                    future.result()
                    if progress is not None:
                        progress(done, len(futures))
            except BaseException:
                self._broken_off.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
            return [future.result() for future in futures]

    def _ask(self, http: Any, messages: Sequence[Message]) -> Answer:
        body = {**self.endpoint.settings, "model": self.endpoint.model, "messages": list(messages)}
        digest = hashlib.sha256(json.dumps([self.endpoint.url, body], sort_keys=True).encode()).hexdigest()
        path = self.endpoint.cache.expanduser() / f"{digest}.json"
        answer = _remembered(path)
        if answer is None:
            answer = self._request(http, body)
            _remember(path, answer)
        with self._lock:
            self._answers.append(answer)
        return answer

    def _request(self, http: Any, body: Mapping[str, Any]) -> Answer:
        import httpx2

        key = os.environ.get(self.endpoint.key_variable, "").strip()
        if not (key.isascii() and key.isprintable()):
            raise EndpointError(f"the key in {self.endpoint.key_variable} holds characters that none has; set it anew")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        address = f"{self.endpoint.url.rstrip('/')}/chat/completions"
        trouble = ""
        for number in range(self.endpoint.tries):
            pause = min(2.0**number, _LONGEST_PAUSE) * random.uniform(1.0, 1.25)
            try:
                response = self._post(http, address, body, headers)
            except httpx2.RequestError as error:
                trouble = f"{type(error).__name__} {error}".strip()
            except httpx2.InvalidURL as error:
                raise EndpointError(f"{self.endpoint.url} is no address ({error}); expected https://host/v1") from error
            else:
                said = _beginning(response.text, without=key)
                if response.status_code == 200:
                    answer = _parsed(response)
                    if answer is not None:
                        return answer
                    trouble = f"an answer that is no chat completion: {said}"
                elif response.status_code not in _TRANSIENT:
                    raise EndpointError(self._refused(response.status_code, said))
                else:
                    trouble = f"status {response.status_code}"
                    pause = _asked_pause(response) or pause
            if number + 1 < self.endpoint.tries:
                self._sleep(min(pause, _LONGEST_PAUSE))
            if self._broken_off.is_set():
                raise EndpointError(f"another request to {self.endpoint.url} failed, and this one was given up")
        raise EndpointError(
            f"{self.endpoint.url} gave no answer in {self.endpoint.tries} tries (last: {trouble}); try later, or ask "
            "fewer at once. What was answered is kept, and is not asked again"
        )

    def _post(self, http: Any, address: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> Any:
        """The response to a request, made again at once without each setting that the server says it does not take."""
        while True:
            with self._lock:
                names = {own: self._renamed.get(own, own) for own in body}
            sent = {name: body[own] for own, name in names.items() if name is not None}
            response = http.post(address, json=sent, headers=headers)
            own = _not_taken(response, names) if response.status_code in (400, 422) else None
            if own is None:
                return response
            with self._lock:
                if self._renamed.get(own, own) == names[own]:  # else another request was told the same before
                    self._renamed[own] = _NEWER.get(str(names[own]))
                    _log.warning("%s does not take %s, which is left out", self.endpoint.url, names[own])

    def _refused(self, status: int, said: str) -> str:
        hint = {
            401: f"put the key into the environment variable {self.endpoint.key_variable}",
            403: f"the key in {self.endpoint.key_variable} may not do this",
            404: f"check the address and the model's name ({self.endpoint.model})",
        }.get(status, "change the request's settings")
        return f"{self.endpoint.url} refuses the request with status {status}: {said}; {hint}"


def _beginning(said: str, *, without: str) -> str:
    """What a server said, on one line and cut off, without the key: some servers repeat it."""
    line = " ".join(said.split())
    return (line.replace(without, "[key]") if without else line)[:200]


def _not_taken(response: Any, names: Mapping[str, str | None]) -> str | None:
    """The setting that a server says it does not take, of those sent under these names; None where it names none."""
    try:
        told = response.json()
    except ValueError:
        told = response.text
    settings = {name: own for own, name in names.items() if name and own not in ("model", "messages")}
    named = rf"\b({'|'.join(map(re.escape, settings))})\b"
    near = rf"{named}[^.;]{{,40}}?{_UNKNOWN}|{_UNKNOWN}[^.;]{{,40}}?{named}"
    for about, said in _complaints(told) if settings else ():
        if about in settings and re.search(_UNKNOWN, said, re.IGNORECASE):
            return settings[about]
        match = None if about else re.search(near, said, re.IGNORECASE)
        if match is not None:
            return settings.get(match[1] or match[2])
    return None


def _complaints(told: Any) -> Iterator[tuple[str, str]]:
    """What an error is about, where it says so apart, and what it says, without what it repeats of the request."""
    if isinstance(told, str):
        yield "", _REPEATED.split(told)[0]
    elif isinstance(told, list):
        for one in told:
            yield from _complaints(one)
    elif isinstance(told, dict):
        inner = told.get("error") or told.get("detail")
        if inner:
            yield from _complaints(inner)
            return
        place = told.get("loc")
        about = told.get("param") or (place[-1] if isinstance(place, list) and place else "")
        said = _REPEATED.split(str(told.get("message") or told.get("msg") or ""))[0]
        yield str(about), f"{told.get('code') or ''} {said}"


def _parsed(response: Any) -> Answer | None:
    """The answer in a response, or None where there is none."""
    try:
        data = response.json()
        text = data["choices"][0]["message"]["content"]
        usage = data.get("usage") or {}
        tokens = int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return None
    # A model that was cut off, or that declines, may leave the text out: that is its answer.
    return Answer(text or "", *tokens, cached=False) if text is None or isinstance(text, str) else None


def _asked_pause(response: Any) -> float:
    """Seconds that the server asks to wait, or 0 where it does not say."""
    try:
        seconds = float(response.headers.get("Retry-After", 0))
    except ValueError:
        return 0.0
    return seconds if seconds > 0 else 0.0  # which "nan" is not


def _remembered(path: Path) -> Answer | None:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return Answer(kept["text"], kept["tokens_in"], kept["tokens_out"], cached=True)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remember(path: Path, answer: Answer) -> None:
    """Write an answer whole or not at all, since the next run will believe it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = {"text": answer.text, "tokens_in": answer.tokens_in, "tokens_out": answer.tokens_out}
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(kept, file)
    Path(temporary).replace(path)
