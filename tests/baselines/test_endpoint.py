"""A model behind an endpoint, played by a server of our own that can be busy, broken, slow and wrong."""

import base64
import json
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

pytest.importorskip("httpx2")

from chat_server import completion, running
from savs.baselines.chat_client import ChatClient, Endpoint
from savs.baselines.endpoint import ZeroShotEndpoint, data_url, message_of
from savs.baselines.method import Problem
from savs.baselines.zero_shot import UNMATCHED
from savs.cli.entry import app
from savs.data.example import Example
from savs.data.tasks import Task
from savs.errors import EndpointError

KEY = "sk-secret-of-the-test"
TASK = Task(name="t", template="{q}", answers={"red": "Yes", "blue": "No"})


@pytest.fixture
def server():
    with running() as server:
        yield server


@pytest.fixture
def client_of(server, tmp_path, monkeypatch):
    monkeypatch.setenv("SAVS_TEST_KEY", KEY)

    def make(**changes):
        paused = []
        settings = {"key_variable": "SAVS_TEST_KEY", "cache": tmp_path / "cache", "timeout": 5.0, **changes}
        client = ChatClient(Endpoint(server.url, "some-model", **settings), sleep=paused.append)
        client.paused = paused
        return client

    return make


def say(text):
    return [{"role": "user", "content": text}]


def test_answers_become_labels(server, client_of, picture):
    said = {"one": "Yes.", "two": "no", "three": "I would rather not say"}
    server.script = lambda number, body: completion(said[body["messages"][0]["content"][-1]["text"]])
    test = tuple(Example(name, name, (picture(i),), label="red") for i, name in enumerate(said))
    method = ZeroShotEndpoint(client_of())
    problem = Problem(("blue", "red"), (), test, TASK)
    assert method.obstacle(problem) is None
    told = []
    predictions = method.predict(problem, progress=lambda done, total: told.append((done, total)))
    assert [(p.id, p.label) for p in predictions] == [("one", "red"), ("two", "blue"), ("three", UNMATCHED)]
    assert predictions[0].probabilities == {"blue": 0.0, "red": 1.0}
    assert sorted(told) == [(1, 3), (2, 3), (3, 3)]
    assert set(server.paths) == {"/v1/chat/completions"}
    assert all(body["model"] == "some-model" and body["temperature"] == 0 for body in server.requests)


def test_a_message_holds_text_and_images_in_order(picture):
    example = Example("a", "first <image> then <image> what?", (picture(1), picture(2)))
    parts = message_of(example, video_frames=8)["content"]
    assert [part["type"] for part in parts] == ["text", "image_url", "text", "image_url", "text"]
    assert [part["text"] for part in parts if part["type"] == "text"] == ["first", "then", "what?"]
    for part, medium in zip(parts[1::2], example.media, strict=True):
        head, _, data = part["image_url"]["url"].partition(",")
        assert head == "data:image/jpeg;base64"
        sent = np.asarray(Image.open(BytesIO(base64.b64decode(data)))).astype(float)
        assert np.abs(sent - np.asarray(medium.source)).mean() < 6
    assert data_url(picture(1).source) != data_url(picture(2).source)


def test_nothing_is_asked_twice(server, client_of):
    first = client_of().ask_all([say("a"), say("b")])
    assert [answer.cached for answer in first] == [False, False]
    again = client_of()
    answers = again.ask_all([say("b"), say("c"), say("a")])
    assert [answer.cached for answer in answers] == [True, False, True]
    assert len(server.requests) == 3
    assert (again.bill.asked, again.bill.cached, again.bill.tokens_in) == (1, 2, 100)


@pytest.mark.parametrize("change", [{"settings": {"temperature": 1}}, {"model": "other"}, {"url": "/v2"}])
def test_what_changes_the_answer_is_asked_anew(change, server, client_of):
    client = client_of()
    client.ask_all([say("a")])
    change = {"url": server.url.replace("/v1", "/v2")} if "url" in change else change
    changed = ChatClient(replace(client.endpoint, **change))
    (answer,) = changed.ask_all([say("a")])
    assert not answer.cached and len(server.requests) == 2
    assert changed.spec.fingerprint() != client.spec.fingerprint() == ChatClient(client.endpoint).spec.fingerprint()


@pytest.mark.parametrize("status", [429, 500, 503, 529])
def test_a_busy_or_broken_server_is_asked_again(status, server, client_of):
    server.script = lambda number, body: (status, {"error": "not now"}) if number < 3 else completion("Yes")
    client = client_of(at_once=1)
    (answer,) = client.ask_all([say("a")])
    assert answer.text == "Yes" and len(server.requests) == 4
    assert [round(np.log2(pause / 1.125)) for pause in client.paused] == [0, 1, 2]
    assert client.bill.asked == 1


def test_the_server_says_how_long_to_wait(server, client_of):
    asked = ["7", "soon", "9999", "nan", "-3"]
    server.script = lambda number, body: (
        (429, {}, {"Retry-After": asked[number]}) if number < len(asked) else completion("Yes")
    )
    client = client_of()
    client.ask_all([say("a")])
    assert client.paused[0] == 7.0
    assert 2.0 <= client.paused[1] <= 2.5
    assert client.paused[2] == 60.0
    assert 8.0 <= client.paused[3] <= 10.0 and 16.0 <= client.paused[4] <= 20.0


@pytest.mark.parametrize(
    "answer",
    [b"<html>", b"", b"[]", {"choices": []}, {"choices": [{}]}, {"choices": [{"message": {"content": 3}}]}],
    ids=str,
)
def test_an_answer_that_is_none_is_asked_again(answer, server, client_of):
    server.script = lambda number, body: (200, answer) if number == 0 else completion("No")
    (answer,) = client_of().ask_all([say("a")])
    assert answer.text == "No"


def test_no_text_is_an_answer_too(server, client_of):
    server.script = lambda number, body: (200, {"choices": [{"message": {"content": None}}]})
    (answer,) = client_of().ask_all([say("a")])
    assert (answer.text, answer.tokens_in) == ("", 0)


def test_a_slow_server_is_asked_again(server, client_of):
    server.script = lambda number, body: 1.0 if number == 0 else completion("Yes")
    (answer,) = client_of(timeout=0.3).ask_all([say("a")])
    assert answer.text == "Yes" and len(server.requests) == 2


def test_a_connection_that_is_cut_is_made_again(server, client_of):
    server.script = lambda number, body: None if number < 2 else completion("Yes")
    (answer,) = client_of().ask_all([say("a")])
    assert answer.text == "Yes" and len(server.requests) == 3


def test_an_answer_that_cannot_be_unpacked_is_asked_again(server, client_of):
    server.script = lambda number, body: (
        (200, b"no gzip", {"Content-Encoding": "gzip"}) if number == 0 else completion("Yes")
    )
    (answer,) = client_of().ask_all([say("a")])
    assert answer.text == "Yes"


def test_what_came_instead_of_an_answer_is_told(server, client_of):
    server.script = lambda number, body: (200, {"error": {"message": "credit used up"}})
    with pytest.raises(EndpointError, match="no chat completion: .*credit used up"):
        client_of(tries=2).ask_all([say("a")])


def test_it_gives_up_in_the_end_and_keeps_what_it_has(server, client_of, tmp_path):
    server.script = lambda number, body: (
        (500, {"error": "broken"}) if body["messages"][0]["content"] == "bad" else completion("Yes")
    )
    client = client_of(tries=3, at_once=1)
    with pytest.raises(EndpointError, match=r"gave no answer in 3 tries \(last: status 500\)"):
        client.ask_all([say("good"), say("bad")])
    assert len(client.paused) == 2
    before = len(server.requests)
    (kept,) = client_of().ask_all([say("good")])
    assert kept.cached and len(server.requests) == before


@pytest.mark.parametrize(
    ("status", "hint"), [(401, "environment variable SAVS_TEST_KEY"), (404, "model's name"), (400, "settings")]
)
def test_a_refusal_is_final_and_says_what_to_do(status, hint, server, client_of):
    server.script = lambda number, body: (status, {"error": {"message": "no such thing"}})
    with pytest.raises(EndpointError, match=hint) as caught:
        client_of().ask_all([say("a")])
    assert "no such thing" in str(caught.value) and len(server.requests) == 1


def refusing(*names, message="Unsupported parameter: '{}' is not supported with this model.", status=400):
    """A server that takes none of these settings, and says so of one at a time."""

    def script(number, body):
        refused = next((name for name in names if name in body), None)
        return (status, {"error": {"message": message.format(refused)}}) if refused else completion("Yes")

    return script


@pytest.mark.parametrize(
    ("names", "sent"),
    [
        (("temperature",), [{"temperature", "max_tokens"}, {"max_tokens"}]),
        (("max_tokens",), [{"temperature", "max_tokens"}, {"temperature", "max_completion_tokens"}]),
        (
            ("max_tokens", "temperature", "max_completion_tokens"),
            [{"temperature", "max_tokens"}, {"temperature", "max_completion_tokens"}, {"max_completion_tokens"}, set()],
        ),
    ],
)
def test_a_setting_that_a_server_does_not_take_is_left_out(names, sent, server, client_of):
    server.script = refusing(*names)
    client = client_of(at_once=1)
    assert [answer.text for answer in client.ask_all([say("a"), say("b")])] == ["Yes", "Yes"]
    settings = [set(body) - {"model", "messages"} for body in server.requests]
    assert settings == [*sent, sent[-1]]  # the second request does not try again
    assert client.paused == [] and client.bill.asked == 2
    assert all(body.get("max_completion_tokens", 16) == 16 for body in server.requests)
    assert client_of().ask_all([say("a")])[0].cached


def test_a_hint_at_another_setting_is_not_taken_for_the_refused_one(server, client_of):
    server.script = refusing("max_tokens", message="'{}' is not supported. Use 'max_completion_tokens' or temperature")
    client_of().ask_all([say("a")])
    assert set(server.requests[-1]) - {"model", "messages"} == {"temperature", "max_completion_tokens"}


@pytest.mark.parametrize(
    "answer",
    [
        b'{"detail": [{"loc": ["body", "temperature"], "msg": "Extra inputs are not permitted"}]}',
        {"error": "unexpected keyword temperature"},
        {"error": {"param": "temperature", "message": "this value is not supported"}},
        {"error": {"param": "temperature", "code": "unsupported_value", "message": "only the default is taken"}},
        {"message": "[{'loc': ('body', 'temperature'), 'msg': 'Extra inputs are not permitted', 'input': 0}]"},
        b"Unrecognized request argument supplied: temperature",
    ],
)
def test_servers_say_it_in_their_own_forms(answer, server, client_of):
    server.script = lambda number, body: (422, answer) if "temperature" in body else completion("Yes")
    assert client_of().ask_all([say("a")])[0].text == "Yes"
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (400, "this model does not support messages today"),
        (404, "temperature is not supported"),
        (400, "4,000 tokens are too many, lower max_tokens"),
    ],
)
def test_a_refusal_for_another_reason_stays_final(status, said, server, client_of):
    server.script = lambda number, body: (status, {"error": {"message": said}})
    with pytest.raises(EndpointError, match=said):
        client_of().ask_all([say("a")])
    assert len(server.requests) == 1


TOO_LARGE = "max_tokens is too large: this model supports at most 8 completion tokens"
NOT_A_STRING = {"loc": ["body", "messages", 0, "content"], "msg": "Input should be a valid string"}
PROMPT = "An unexpected rise of temperature is not supported by max_tokens"


@pytest.mark.parametrize(
    "answer",
    [
        {"error": {"message": TOO_LARGE}},
        {"error": {"message": TOO_LARGE, "param": "max_tokens", "code": "invalid_value"}},
        {"error": {"message": "max_tokens is not allowed to exceed 8"}},
        {"error": {"message": "this model supports 8 tokens. Lower max_tokens"}},
        {"detail": [{**NOT_A_STRING, "input": PROMPT}]},
        {"detail": [{**NOT_A_STRING, "input": {"temperature": 0, "content": PROMPT}}], "body": PROMPT},
        {"error": {"message": f"Input should be a valid string [type=string_type, input_value='{PROMPT}']"}},
        {"message": f"[{{'loc': ('body', 'messages'), 'msg': 'Input should be a list', 'input': '{PROMPT}'}}]"},
    ],
    ids=lambda answer: str(answer)[:60],
)
def test_a_setting_that_is_taken_is_kept(answer, server, client_of):
    """Where its value is at fault, or where the server only repeats what it was asked."""
    server.script = lambda number, body: (422, answer)
    with pytest.raises(EndpointError, match="refuses the request with status 422"):
        client_of().ask_all([say(PROMPT)])
    assert [set(body) - {"model", "messages"} for body in server.requests] == [{"temperature", "max_tokens"}]


def test_where_one_request_is_refused_no_other_waits_to_be_tried_again(server, client_of):
    server.script = lambda number, body: (
        (401, {}) if body["messages"][0]["content"] == "bad" else (429, {}, {"Retry-After": "2"})
    )
    with pytest.raises(EndpointError, match="status 401"):
        ChatClient(client_of(tries=2).endpoint).ask_all([say("slow"), say("bad")])
    asked = [body["messages"][0]["content"] for body in server.requests]
    assert asked.count("slow") <= 1 and asked.count("bad") == 1
    server.script = lambda number, body: completion("Yes")
    assert client_of().ask_all([say("slow")])[0].text == "Yes"


def test_nobody_there(client_of, tmp_path):
    nowhere = ChatClient(Endpoint("http://127.0.0.1:9/v1", "m", cache=tmp_path, tries=2), sleep=lambda _: None)
    with pytest.raises(EndpointError, match="ConnectError"):
        nowhere.ask_all([say("a")])


def test_the_key_is_sent_and_told_to_nobody(server, client_of, tmp_path, caplog, monkeypatch, capsys):
    caplog.set_level(0)
    client = client_of(tries=1)
    client.ask_all([say("a")])
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
    server.script = lambda number, body: (500, {})
    with pytest.raises(EndpointError) as caught:
        client.ask_all([say("b")])
    kept = "".join(path.read_text() for path in (tmp_path / "cache").iterdir())
    seen = capsys.readouterr()
    assert not any(KEY in text for text in (kept, caplog.text, str(caught.value), repr(client.endpoint), *seen))
    monkeypatch.delenv("SAVS_TEST_KEY")
    server.script = lambda number, body: completion("Yes")
    client.ask_all([say("c")])
    assert "Authorization" not in server.headers[-1]


@pytest.mark.parametrize("status", [200, 401, 500])
def test_a_server_that_repeats_the_key_is_quoted_without_it(status, server, client_of):
    server.script = lambda number, body: (status, {"error": f"the key {KEY} is no good"})
    with pytest.raises(EndpointError) as caught:
        client_of(tries=1).ask_all([say("a")])
    assert KEY not in str(caught.value)
    assert status == 500 or "[key] is no good" in str(caught.value)


def test_a_key_with_stray_characters(server, client_of, monkeypatch):
    client = client_of(tries=1)
    monkeypatch.setenv("SAVS_TEST_KEY", f"{KEY}\n")
    client.ask_all([say("a")])
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
    monkeypatch.setenv("SAVS_TEST_KEY", f"{KEY}\n{KEY}")
    with pytest.raises(EndpointError, match="SAVS_TEST_KEY holds characters") as caught:
        client.ask_all([say("b")])
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("url", ["localhost:8000/v1", "http://", "ftp://host/v1", "http://[::1", ""])
def test_an_address_that_is_none(url):
    with pytest.raises(EndpointError, match="is no address of an endpoint; expected one such as https://host/v1"):
        Endpoint(url, "m")


@pytest.mark.parametrize("url", ["https://me:secret@host/v1", "https://secret@host/v1", "https://host/v1?key=secret"])
def test_an_address_holds_no_key(url):
    """It stands on the pages of a benchmark."""
    with pytest.raises(EndpointError, match="at host holds more than a place") as caught:
        Endpoint(url, "m")
    assert "secret" not in str(caught.value)


def test_the_bill(server, client_of):
    server.script = lambda number, body: completion("Yes", (1500, 3))
    client = client_of(prices=(2.0, 10.0))
    client.ask_all([say("a"), say("b")])
    assert client.bill.cost == pytest.approx((3000 * 2.0 + 6 * 10.0) / 1e6)
    assert str(client.bill) == "2 asked, 0 from the cache; 3,000 tokens in, 6 out; cost 0.0061"
    assert str(client_of().bill).endswith("cost not known, for want of prices")


def test_a_damaged_cache_is_asked_anew(server, client_of, tmp_path):
    client_of().ask_all([say("a")])
    (path,) = (tmp_path / "cache").iterdir()
    path.write_text("{")
    (answer,) = client_of().ask_all([say("a")])
    assert not answer.cached and answer.text == "Yes"
    assert json.loads(path.read_text())["text"] == "Yes"


@pytest.mark.slow
def test_it_is_a_row_of_the_benchmark(server, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    chosen = ["--columns", "eurosat", "--methods", "zero-shot-endpoint", "--draws", "1", "--shots", "2"]
    asked = ["bench", "table1", *chosen, "--max-test", "8", "--out", str(tmp_path / "out"), "--json"]
    behind = ["--endpoint", server.url, "--endpoint-model", "some-model", "--endpoint-prices", "2", "10"]
    result = CliRunner().invoke(app, [*asked, *behind, "--jobs", "2"])
    assert result.exit_code == 0, result.stderr
    assert len(server.requests) == 8
    assert "some-model: 8 asked, 0 from the cache; 800 tokens in, 16 out; cost 0.0018" in result.stderr
    assert KEY not in result.stdout + result.stderr
    assert "zero-shot-endpoint" in result.stdout
    assert CliRunner().invoke(app, [*asked, *behind]).exit_code == 0
    assert len(server.requests) == 8  # its cells are filled
    alone = CliRunner().invoke(app, [*asked, *behind[:2]])
    assert alone.exit_code == 2 and "belong together" in alone.stderr
