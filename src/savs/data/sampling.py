"""Which examples a classifier is fitted on, and whether the rest is fit to judge it by.

Knows examples only. Every choice is made by seed and content, so it does not depend on the order of a file, on the
ids that order gives, or on the machine that the media lie on.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from savs.data.clusters import clusters_of
from savs.data.example import Example, Media
from savs.data.hints import closest, listed
from savs.data.media import content_key, identity
from savs.errors import DataError


def sample_shots(examples: Sequence[Example], shots: int, seed: int) -> tuple[list[Example], list[Example]]:
    """Draw `shots` labelled examples of every class; the second list is what is left, in its order.

    The same examples come out whatever order they go in, sorted by class and then by the draw. Groups are not kept
    together: to fit and judge on one set of groups, `split` it first.

    Raises:
        DataError: an example has no label, there is only one class, or a class has fewer than `shots` examples.
        ValueError: `shots` is below one.
    """
    if shots < 1:
        raise ValueError(f"shots must be at least 1 example a class, got {shots}")
    classes: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        classes[_label(example)].append(example)
    if len(classes) < 2:
        came = f"only the class {next(iter(classes))!r}" if classes else "no examples"
        raise DataError(f"got {came}; a classifier needs examples of at least two classes. Add some of another class")
    scarce = {label: len(members) for label, members in sorted(classes.items()) if len(members) < shots}
    if scarce:
        few = listed(f"{label!r} has {count}" for label, count in scarce.items())
        raise DataError(
            f"{shots} shots a class were asked for, but {few}; label more examples of it, or ask for "
            f"{min(scarce.values())} shots"
        )
    chosen: list[Example] = []
    for label in sorted(classes):
        chosen += sorted(classes[label], key=lambda example: _draw(example, seed))[:shots]
    taken = {id(example) for example in chosen}
    return chosen, [example for example in examples if id(example) not in taken]


def split(examples: Sequence[Example], fraction: float, seed: int) -> tuple[list[Example], list[Example]]:
    """Part the examples in two, the first with about `fraction` of every class; both keep their order.

    Examples that share a group, an image or a video stay together. A class of a split (or kind of group) that has two
    or more members is in both parts.

    Raises:
        ValueError: `fraction` is not between 0 and 1.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"fraction must lie between 0 and 1, got {fraction}")
    strata: dict[tuple[str, ...], list[list[Example]]] = defaultdict(list)
    for unit in _bound_together(examples):
        strata[tuple(sorted(f"{example.split}/{example.label}" for example in unit))].append(unit)
    first: set[int] = set()
    for members in strata.values():
        ordered = sorted(members, key=lambda unit: min(_draw(example, seed) for example in unit))
        wanted = round(fraction * len(ordered))
        if len(ordered) > 1:
            wanted = min(max(wanted, 1), len(ordered) - 1)
        first |= {id(example) for unit in ordered[:wanted] for example in unit}
    return [e for e in examples if id(e) in first], [e for e in examples if id(e) not in first]


def thin(examples: Sequence[Example], most: int, seed: int) -> list[Example]:
    """At most so many examples of every class of every split, drawn by seed, in the order they came in.

    Raises:
        ValueError: `most` is below one.
    """
    if most < 1:
        raise ValueError(f"most must be at least 1 example a class, got {most}")
    classes: dict[tuple[str | None, str | None], list[Example]] = defaultdict(list)
    for example in examples:
        classes[example.split, example.label].append(example)
    kept = {
        id(example)
        for members in classes.values()
        for example in sorted(members, key=lambda member: _draw(member, seed))[:most]
    }
    return [example for example in examples if id(example) in kept]


@dataclass(frozen=True)
class Leak:
    """Something that stands both among the examples to fit on and among those to judge by.

    Attributes:
        kind: `example`, the same media and text, which makes a score worthless; `media`, the same image or video under
            another text; `id`, the same id and text with other media (an image saved anew, say).
        train: the example to fit on.
        test: the example to judge by.
    """

    kind: Literal["example", "media", "id"]
    train: Example
    test: Example

    def __str__(self) -> str:
        what = {
            "example": "the same example",
            "media": "the same image or video, asked otherwise",
            "id": "the same id and text, with other media",
        }
        train, test = (f"{e.location or e.id} (id {e.id!r})" for e in (self.train, self.test))
        return f"{what[self.kind]} is in both sets: {train} in training, {test} in the test"


def check_leaks(train: Sequence[Example], test: Sequence[Example]) -> list[Leak]:
    """What the two sets share, in the order of the test set: for each test example its gravest leak, or none.

    Media are compared by content, wherever they lie; only files of a size that both sets have are read. Ids that were
    made of a row's place say nothing and are not compared, nor are ids under a text that several examples share.

    Raises:
        DataError: a media file is missing.
    """
    sizes = _sizes(train) & _sizes(test)
    keys: dict[Media, str] = {}

    def looks(examples: Sequence[Example]) -> list[Look]:
        return [Look(e, e.text, tuple(_shared_key(media, sizes, keys) for media in e.media)) for e in examples]

    return leaks_between(looks(train), looks(test))


@dataclass(frozen=True)
class Look:
    """What of an example is compared: `text` and `media` may be digests, alike on both sides."""

    example: Example
    text: str
    media: tuple[str, ...]


def leaks_between(train: Sequence[Look], test: Sequence[Look]) -> list[Leak]:
    """For each test example its gravest leak, or none; as `check_leaks`."""
    by_content = {(look.media, look.text): look.example for look in reversed(train)}
    by_media = {key: look.example for look in reversed(train) for key in look.media}
    texts = Counter(look.text for look in (*train, *test))
    by_id = {
        (look.example.id, look.text): look.example
        for look in reversed(train)
        if not is_place(look.example) and texts[look.text] == 2
    }
    leaks: list[Leak] = []
    for look in test:
        example = look.example
        same_media = next((by_media[key] for key in look.media if key in by_media), None)
        if (look.media, look.text) in by_content:
            leaks.append(Leak("example", by_content[look.media, look.text], example))
        elif same_media is not None:
            leaks.append(Leak("media", same_media, example))
        elif not is_place(example) and (example.id, look.text) in by_id:
            leaks.append(Leak("id", by_id[example.id, look.text], example))
    return leaks


def unknown_labels(train_labels: Iterable[str], examples: Iterable[Example]) -> None:
    """Refuse examples whose label training never saw: no classifier could get them right.

    Raises:
        DataError: naming the first such label and where it stands, and how many more there are.
    """
    known = sorted(set(train_labels))
    unknown = [example for example in examples if example.label is not None and example.label not in known]
    if not unknown:
        return
    first = unknown[0]
    close = closest(str(first.label), known)
    hint = f"did you mean {close!r}? Otherwise add examples of it to training" if close else "add examples of it"
    more = f" (and {len(unknown) - 1} more with unknown labels)" if len(unknown) > 1 else ""
    raise DataError(
        f"label {first.label!r} was never seen in training, which had {listed(known)}; {hint}, or leave the row "
        f"out{more}",
        location=first.location or first.id,
    )


def _bound_together(examples: Sequence[Example]) -> list[list[Example]]:
    """The examples in sets that share no group, image or video, in the order of their first members."""
    sets: dict[int, list[Example]] = defaultdict(list)
    for cluster, example in zip(clusters_of(examples, known_by=identity).tolist(), examples, strict=True):
        sets[cluster].append(example)
    return list(sets.values())


def _label(example: Example) -> str:
    if example.label is None:
        raise DataError("has no label, and shots must be labelled", location=example.location or example.id)
    return example.label


def _draw(example: Example, seed: int) -> tuple[str, str, str]:
    """Sorts examples at random but always alike: by a seeded hash of what they are, then by where their media lie."""
    names = [m.file.name if m.file else content_key(m) for m in example.media]
    look = json.dumps([seed, example.label, example.text, names, example.choices])
    paths = [str(m.file) for m in example.media if m.file]
    return hashlib.sha256(look.encode()).hexdigest(), json.dumps(paths), example.id


def is_place(example: Example) -> bool:
    """Whether the id was made of the row's number in its file, or of a file's path in its folder."""
    if not example.location:
        return False
    number = example.id.rpartition(":")[2].partition("/")[0]
    in_file = ":" in example.id and example.location.endswith((f":{number}", f"[{number}]"))
    return in_file or example.location.replace("\\", "/").endswith(f"/{example.id}")


def _sizes(examples: Sequence[Example]) -> set[int]:
    return {_size(media) for example in examples for media in example.media}


def _size(media: Media) -> int:
    """The size in bytes, or -1 for a decoded image, which has none."""
    if media.file is not None:
        try:
            return media.file.stat().st_size
        except OSError as error:
            raise DataError(f"cannot read {media} ({error.strerror}); put the file back, or check the path") from error
    return len(media.source) if isinstance(media.source, bytes) else -1


def _shared_key(media: Media, sizes: set[int], keys: dict[Media, str]) -> str:
    """The content key, or, for a file whose size the other set does not have, a name that equals no content key."""
    if _size(media) not in sizes:
        return f"unshared:{media}"
    if media.file is None:
        return content_key(media)
    if media not in keys:
        keys[media] = content_key(media)
    return keys[media]
