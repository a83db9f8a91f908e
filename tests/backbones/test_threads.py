"""Inputs made in a thread beside the model's, and batches that run side by side."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import transformers as t

from savs.backbones.batches import Levers
from savs.backbones.huggingface import load_backbone
from savs.backbones.passes import Passes, _changes_unseen
from savs.backbones.threads import prefetched, side_by_side
from savs.data.example import Example, Media
from savs.errors import DataError
from tiny_models import MODELS, TEXT


@pytest.fixture
def two_threads():
    """Of torch, whatever the tests run with."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def at_once(monkeypatch):
    """The most passes that were under way at the same time, and from how many threads they came."""
    seen = {"most": 0, "threads": set()}
    under_way = 0
    features = Passes.features

    def watched(self, batch, wanted):
        nonlocal under_way
        under_way += 1
        seen["most"] = max(seen["most"], under_way)
        seen["threads"].add(threading.get_ident())
        time.sleep(0.02)
        try:
            return features(self, batch, wanted)
        finally:
            under_way -= 1

    monkeypatch.setattr(Passes, "features", watched)
    return seen


def asked(model, picture, n=16):
    return [Example(f"{i}", f"What is {i}" + "?" * (i % 4), (picture(i),) * model.takes_images) for i in range(n)]


def test_prefetching_keeps_the_order_and_stays_one_ahead():
    alive, most = 0, 0

    def items():
        nonlocal alive, most
        for i in range(20):
            alive += 1
            most = max(most, alive)
            yield threading.get_ident(), i

    seen = []
    for thread, i in prefetched(items()):
        assert thread != threading.get_ident()
        time.sleep(0.002)
        seen.append(i)
        alive -= 1
    assert seen == list(range(20))
    assert most == 2


def test_the_next_is_made_while_one_is_used():
    made = [threading.Event() for _ in range(6)]

    def items():
        for event in made:
            event.set()
            yield event

    def next_was_made_meanwhile(iterator):
        return [all(event.wait(timeout=10) for event in made[: i + 2]) for i, _ in enumerate(iterator)]

    assert all(next_was_made_meanwhile(prefetched(items())))
    for event in made:
        event.clear()
    assert not made[1].is_set()
    in_turns = [made[i + 1].is_set() for i, _ in zip(range(5), items(), strict=False)]
    assert not any(in_turns)


def test_an_error_in_the_thread_is_raised_where_its_item_would_have_come():
    def items():
        yield 1
        yield 2
        raise DataError("cut short", location="a.png")

    seen = []
    with pytest.raises(DataError, match=r"a\.png: cut short"):
        for item in prefetched(items()):
            seen.append(item)
    assert seen == [1, 2]


def test_leaving_early_ends_the_thread():
    before = threading.active_count()
    source = prefetched(iter(range(100)))
    assert next(source) == 0
    source.close()
    assert threading.active_count() == before


@pytest.mark.parametrize("prefetch", [True, False])
def test_prefetching_changes_no_bit_and_a_broken_image_stops_either_way(
    prefetch, backbone, picture, tmp_path, monkeypatch
):
    model = backbone("llava")
    examples = [Example(f"{i}", "?" * (i % 4), (picture(i),)) for i in range(12)]
    expected = model.head_activations(examples, batch_size=3)
    monkeypatch.setattr(model, "levers", Levers(prefetch=prefetch))
    assert np.array_equal(model.head_activations(examples, batch_size=3), expected)
    broken = tmp_path / "cut.png"
    picture(0).source.save(broken)
    broken.write_bytes(broken.read_bytes()[:60])
    with pytest.raises(DataError, match=r"cut\.png"):
        model.head_activations([*examples, Example("bad", "", (Media(broken),))], batch_size=3)


def test_items_are_worked_on_at_once_and_made_one_at_a_time():
    making = threading.Lock()
    met = threading.Barrier(3, timeout=10)

    def items():
        for i in range(9):
            assert making.acquire(blocking=False)
            time.sleep(0.002)
            making.release()
            yield i

    def work(i):
        met.wait()  # passes only where three are at it
        return i * i

    assert sorted(side_by_side(items(), work, 3)) == [(i, i * i) for i in range(9)]


def test_workers_share_torchs_threads_and_leave_their_number_as_it_was(two_threads):
    def one_more():
        found = []
        thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        return found

    results = list(side_by_side(iter(range(4)), lambda _: torch.get_num_threads(), 2))
    assert [threads for _, threads in results] == [1] * 4
    assert [torch.get_num_threads(), *one_more()] == [2, 2]


def test_what_must_be_done_alone_holds_up_what_follows():
    done, begun = [], []

    def work(i):
        begun.append((i, len(done)))
        time.sleep(0.02)
        done.append(i)

    list(side_by_side(iter(range(8)), work, 3, alone=lambda i: i < 4))
    assert begun[:4] == [(i, i) for i in range(4)]
    assert {before for _, before in begun[4:7]} == {4}


@pytest.mark.parametrize("where", ["making", "working"])
def test_nothing_is_begun_after_an_error(where):
    begun = []

    def items():
        for i in range(100):
            if where == "making" and i == 4:
                raise DataError("cut short", location="a.png")
            yield i

    def work(i):
        begun.append(i)
        if where == "working" and i == 4:
            raise DataError("cut short", location="a.png")

    before = threading.active_count()
    with pytest.raises(DataError, match=r"a\.png: cut short"):
        list(side_by_side(items(), work, 2))
    assert len(begun) < 10
    assert threading.active_count() == before


@pytest.mark.parametrize("kind", MODELS)
def test_batches_side_by_side_give_what_they_give_in_turns(kind, backbone, picture, monkeypatch, two_threads, at_once):
    model = backbone(kind)
    examples = asked(model, picture)
    monkeypatch.setattr(model, "levers", Levers(side_by_side=False))
    expected = model.head_activations(examples, batch_size=2)
    assert at_once["most"] == 1
    monkeypatch.setattr(model, "levers", Levers())
    told = []
    z = model.head_activations(examples, batch_size=2, progress=lambda *done: told.append(done))
    np.testing.assert_allclose(z, expected, atol=1e-5 * np.abs(expected).max())
    assert [total for _, total in told] == [16] * len(told)
    assert sorted(done for done, _ in told) == [done for done, _ in told]
    assert told[-1][0] == 16
    # These write the turns of the last image down in the model.
    assert at_once["most"] == (1 if kind in {"qwen2_vl", "qwen2_5_vl"} else 2)


def test_one_thread_or_few_examples_run_alone(backbone, picture, two_threads, at_once):
    model = backbone("llava")
    model.head_activations(asked(model, picture, 15), batch_size=2)
    assert at_once["most"] == 1
    torch.set_num_threads(1)
    model.head_activations(asked(model, picture), batch_size=2)
    assert at_once["most"] == 1
    assert at_once["threads"] == {threading.get_ident()}


@pytest.mark.parametrize("how", ["an attribute", "a new attribute", "a buffer", "in place"])
def test_a_model_that_writes_something_down_runs_its_batches_in_turns(how, model_folder, two_threads, at_once):
    model = load_backbone(model_folder("llama"), dtype="float32", device="cpu")
    examples = [Example(f"{i}", f"{i}?" * (1 + i % 3)) for i in range(16)]
    layer = model.model.model.layers[0].input_layernorm
    layer.register_buffer("seen", torch.zeros(1), persistent=False)
    layer.shape = None
    forward = layer.forward

    def written_down(hidden):
        if how == "an attribute":
            layer.shape = hidden.shape
        elif how == "a new attribute":
            setattr(layer, f"shape_{hidden.shape[1]}", True)
        elif how == "a buffer":
            layer.seen = torch.ones(1)
        else:
            layer.seen.add_(1)
        return forward(hidden)

    layer.forward = written_down
    model.head_activations(examples, batch_size=2)
    assert at_once["most"] == 1
    layer.forward = forward
    fresh = load_backbone(model_folder("llama"), dtype="float32", device="cpu")
    fresh.head_activations(examples, batch_size=2)
    assert at_once["most"] == 2


def test_what_is_set_up_once_is_no_trace(model_folder, two_threads, at_once):
    model = load_backbone(model_folder("llama"), dtype="float32", device="cpu")
    layer = model.model.model.layers[0].input_layernorm
    forward = layer.forward

    def once(hidden):
        if not hasattr(layer, "ready"):
            layer.ready = object()
        return forward(hidden)

    layer.forward = once
    model.head_activations([Example(f"{i}", f"{i}?") for i in range(16)], batch_size=2)
    assert at_once["most"] == 2


@pytest.mark.parametrize(("kind", "changes"), [("default", 0), ("linear", 0), ("dynamic", 1), ("longrope", 1)])
def test_frequencies_that_change_with_the_length_are_known_beforehand(kind, changes):
    factors = {"short_factor": [1.0] * 4, "long_factor": [1.0] * 4} if kind == "longrope" else {}
    rope = {"rope_type": kind, "factor": 2.0, "rope_theta": 1e4, **factors}
    model = t.LlamaForCausalLM(t.LlamaConfig(**{**TEXT, "rope_parameters": rope}))
    assert _changes_unseen(model) == bool(changes)


def test_tables_that_grow_and_parts_that_come_and_go_are_known_beforehand():
    model = t.LlamaForCausalLM(t.LlamaConfig(**TEXT))
    model.hf_device_map = {"": "cpu"}
    assert _changes_unseen(model)
    sizes = {"d_model": 32, "ffn_dim": 64, "num_layers": 2, "attention_heads": 4, "vocab_size": 64}
    assert _changes_unseen(t.XGLMForCausalLM(t.XGLMConfig(**sizes)))


def test_media_are_asked_about_apart_from_text(backbone, picture, two_threads, at_once):
    model = backbone("qwen2_vl")
    text = [Example(f"text {i}", f"{i}?") for i in range(16)]
    model.head_activations(text, batch_size=2)
    alone = at_once["most"]
    at_once["most"] = 0
    model.head_activations([*asked(model, picture), *text], batch_size=2)
    assert (alone, at_once["most"]) == (2, 1)


def test_features_of_images_are_kept_in_turns(backbone, picture, two_threads, at_once, monkeypatch):
    model = backbone("llava")
    monkeypatch.setattr(model, "levers", Levers(image_bytes=2**20))
    model.head_activations(asked(model, picture), batch_size=2)
    assert at_once["most"] == 1


def test_wide_batches_run_in_turns_for_the_memory_they_take(backbone, picture, two_threads, at_once, monkeypatch):
    model = backbone("llava")
    monkeypatch.setattr(type(model), "_width", property(lambda _: 2**22))
    model.head_activations(asked(model, picture), batch_size=2)
    assert at_once["most"] == 1


def test_what_is_asked_once_is_answered_by_the_first_batch(model_folder, picture, two_threads, monkeypatch):
    """However long that takes: else it would be a matter of time what is done with all that follow."""
    model = load_backbone(model_folder("llava"), dtype="float32", device="cpu")
    asked_of = []
    agrees = Passes._agrees

    def slowly(self, z, example, wanted):
        asked_of.append(example.id)
        time.sleep(0.1)
        return agrees(self, z, example, wanted)

    monkeypatch.setattr(Passes, "_agrees", slowly)
    monkeypatch.setattr(model, "levers", Levers(share_prefixes=False))
    examples = asked(model, picture)
    model.head_activations(examples, batch_size=4)
    assert set(asked_of) <= {"3", "7", "11", "15"}  # the longest
    assert model._passes.mixing.padding_is_harmless


def test_inputs_are_made_one_at_a_time(backbone, picture, monkeypatch):
    """A tokenizer that is used by two threads may refuse to change how it pads."""
    encoder = backbone("llava")._encoder
    inside = set()

    def guarded(used):
        def use(*given, **options):
            here = threading.get_ident()
            outermost = here not in inside
            inside.add(here)
            time.sleep(0.01)
            assert inside == {here}
            try:
                return used(*given, **options)
            finally:
                if outermost:
                    inside.remove(here)

        return use

    for kind in (type(encoder._processor), type(encoder.tokenizer)):
        monkeypatch.setattr(kind, "__call__", guarded(kind.__call__))
    examples = asked(backbone("llava"), picture, 4)
    prompts = [encoder.prompt(example) for example in examples]
    with ThreadPoolExecutor(4) as pool:
        encoded = [pool.submit(encoder.encode, [one], [text]) for one, text in zip(examples, prompts, strict=True)]
        tokens = [pool.submit(encoder.tokens, [text]) for text in prompts]
        assert all(future.result() for future in [*encoded, *tokens])


def test_questions_about_one_image_run_side_by_side(backbone, picture, two_threads, at_once):
    model = backbone("llava")
    examples = [
        Example(f"{i}/{j}", f"Is {j} there" + "?" * (1 + i % 3), (picture(i),)) for i in range(8) for j in "abc"
    ]
    expected = np.concatenate([model.head_activations([example]) for example in examples])
    at_once["most"] = 0
    z = model.head_activations(examples, batch_size=6)
    np.testing.assert_allclose(z, expected, atol=1e-5 * np.abs(expected).max())
    assert at_once["most"] == 2


def test_a_broken_image_stops_batches_side_by_side(backbone, picture, tmp_path, two_threads):
    model = backbone("llava")
    broken = tmp_path / "cut.png"
    picture(0).source.save(broken)
    broken.write_bytes(broken.read_bytes()[:60])
    with pytest.raises(DataError, match=r"cut\.png"):
        model.head_activations([*asked(model, picture), Example("bad", "", (Media(broken),))], batch_size=2)
