"""Audio is refused by name: a model that hears is read with text and images alone."""

import json

import pytest

from savs.data.readers import read_examples
from savs.errors import DataError


@pytest.mark.parametrize("value", ["clip.wav", "sounds/a.MP3", "https://example.org/a.flac", {"sampling_rate": 8000}])
def test_a_column_of_audio_is_refused(value, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"question": "What is heard?", "sound": value, "label": "rain"}))
    with pytest.raises(DataError, match="has audio in column 'sound'; savs reads text, images and videos alone"):
        read_examples(path)
