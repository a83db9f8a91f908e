"""`extract`: one row an example, in order, with its label and the backbone's fingerprint."""

import numpy as np
import pytest

import savs
from savs.data.example import Example
from savs.errors import DataError


def test_rows_are_in_the_order_of_the_examples(backbone):
    model = backbone("llama")
    examples = [Example(f"e{i}", "word " * (7 * i % 5) + str(i), label="ab"[i % 2] if i else None) for i in range(9)]
    told = []
    features = savs.extract(model, examples, batch_size=4, progress=lambda done, total: told.append((done, total)))
    assert features.ids == tuple(example.id for example in examples)
    assert features.labels == (None, *"babababa")
    assert features.layout == model.layout
    assert features.fingerprint == model.spec.fingerprint()
    assert features.z.dtype == np.float32
    for i, example in enumerate(examples):
        np.testing.assert_allclose(features.z[i], model.head_activations([example])[0], atol=1e-5)
    assert told == [(4, 9), (8, 9), (9, 9)]


def test_no_examples_and_doubled_ids_are_refused(backbone):
    with pytest.raises(DataError, match="no examples to run"):
        savs.extract(backbone("llama"), [])
    with pytest.raises(DataError, match="two examples have the id 'b'"):
        savs.extract(backbone("llama"), [Example(id_, "x") for id_ in "abcb"])
