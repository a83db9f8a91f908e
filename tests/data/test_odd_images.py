"""Two hundred odd images: each is opened, or refused with a reason, in little memory, and none hangs."""

import json
import subprocess
import sys

import pytest

from odd_images import odd_images
from peak_memory import PEAK, needs_status

pytestmark = [pytest.mark.slow, needs_status]

#: Opens every file that it is told of as its name says, in a process of its own, and tells what came of it.
CHILD = (
    PEAK
    + """
import json, sys, warnings
from pathlib import Path
from savs.data.example import Media
from savs.data.media import open_image, sample_frames, verify
from savs.errors import DataError
warnings.simplefilter("ignore")
told = {}
for path in sorted(Path(sys.argv[1]).iterdir()):
    for name, work in (("verify", verify), ("open", open_image), ("frames", lambda media: sample_frames(media, 4))):
        try:
            shown = work(Media(path))
            images = shown if isinstance(shown, list) else [] if shown is None else [shown]
            came = str({image.mode for image in images}) if images else "opened"
        except DataError as error:
            came = f"refused: {error}"
        told[f"{path.name} {name}"] = came
print(json.dumps([told, peak_megabytes()]))
"""
)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    folder = tmp_path_factory.mktemp("odd")
    for name, data in odd_images().items():
        (folder / name.replace(";", "")).write_bytes(data)
    command = [sys.executable, "-c", CHILD, str(folder)]
    # The limit only tells a decoder that hangs from a machine that is busy: all of them together take ten seconds.
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_there_are_two_hundred():
    assert len(odd_images()) >= 200


def test_each_is_opened_as_rgb_or_refused_by_name(outcome):
    told, _ = outcome
    for name, came in told.items():
        assert came in ("opened", "{'RGB'}") or came.startswith("refused: "), (name, came)
        assert not came.startswith("refused: ") or name.split()[0] in came, (name, came)
    opened = sum(came in ("opened", "{'RGB'}") for came in told.values())
    assert 0.5 < opened / len(told) < 0.9, "most are images, and some are not"


def test_what_verifies_opens(outcome):
    told, _ = outcome
    for name, came in told.items():
        if name.endswith(" verify"):
            opens = told[name.replace(" verify", " open")]
            assert (came == "opened") == (opens == "{'RGB'}"), (name, came, opens)


def test_all_together_take_less_than_a_gigabyte(outcome):
    _, megabytes = outcome
    assert megabytes < 1000


@pytest.mark.parametrize("name", ["bombs-white-PNG", "bombs-claims-much-PNG", "no_images-program", "no_images-pointer"])
def test_these_must_be_refused(outcome, name):
    assert outcome[0][f"{name} open"].startswith("refused: ")


@pytest.mark.parametrize(
    "name", ["modes-CMYK-JPEG", "turned-JPEG-6", "see_through-bytes-PNG", "deep-16-PNG", "moving-GIF-12"]
)
def test_these_must_be_opened(outcome, name):
    assert outcome[0][f"{name} open"] == "{'RGB'}"
