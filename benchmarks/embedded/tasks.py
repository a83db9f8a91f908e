"""The benchmark's tasks: those that the demo draws, and four whose data must be fetched.

Knows examples and prompts: no model and no score. Every prompt and every number here was written before any result.
"""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.embedded.sources import EASY_VQA, EMOJI_NAMES, OPENMOJI, TEXTILE, Source, fetch
from savs.data.example import Example, Media
from savs.data.tasks import Task
from savs.demo.holdout import is_held_out_pictogram, kin
from savs.demo.tasks import DEMO_TASKS, POOL_PER_CLASS, DemoTask, load_demo_task
from savs.errors import DataError

#: Examples of each class of cloth to test on, and questions of easy-VQA.
TEXTILE_TEST_PER_CLASS = 100
EASY_VQA_TEST = 400
#: Each of OpenMoji's nine groups has at least twice as many held-out concepts; the half that is not shots is tested on.
GROUP_SHOTS = 8
#: A subgroup takes part with so many drawings to draw shots from, and so many held-out concepts to test on.
SUBGROUP_POOL, SUBGROUP_TEST = 20, 5

#: Tasks whose labels mean nothing to the model, or are words that its training never gave a meaning.
WITHOUT_WORDS = ("digits", "invented names", "with distractor", "textile")


@dataclass(frozen=True)
class BenchTask:
    """One task with its data.

    Attributes:
        data: prompt, classes, examples to draw shots from and examples to test on.
        shots: labelled examples a class, or None for as many as the run asks for.
        note: what a reader must know about the data.
        apart: of each test example, whether it is like none that shots are drawn from; empty where none is.
    """

    data: DemoTask
    shots: int | None = None
    note: str = ""
    apart: tuple[bool, ...] = ()

    @property
    def name(self) -> str:
        """The name in tables."""
        return self.data.name

    @property
    def words_known(self) -> bool:
        """Whether the labels, or the words that stand for them, mean something to the model before any shot."""
        return self.name not in WITHOUT_WORDS

    @property
    def question_matters(self) -> bool:
        """Whether the prompt differs from example to example, so that the image alone does not hold the answer."""
        return bool(self.data.task.columns)


CLOTH = Task(
    name="textile",
    template="A close view of woven cloth from a mill. Is the weave sound, spoilt in one spot, or off all over?",
    labels=("nominal", "local defect", "global defect"),
    answers={"nominal": "plain", "local defect": "dotted", "global defect": "striped"},
    description="Is a simulated weave sound, damaged in one spot, or wrong throughout?",
    source="PyPI conformal-clip-data, MIT",
)
EASY = Task(
    name="easy-vqa",
    template="{question}",
    description="The test half of easy-VQA: thirteen answers to questions on the shape and colour of one object.",
    source="PyPI easy-vqa, MIT",
)
GROUPS = Task(
    name="openmoji groups",
    template="An artist drew this sign with thick black lines. Under which heading of a chart should it be filed?",
    description="Which of nine groups a pictogram belongs to, in a hand and of concepts never seen in training.",
    source="npm openmoji, CC-BY-SA 4.0",
)
SUBGROUPS = Task(
    name="openmoji subgroups",
    template="This sign goes into a drawer together with others much like it. What is written on that drawer?",
    description="Which subgroup a pictogram belongs to, in a hand and of concepts never seen in training.",
    source="npm openmoji, CC-BY-SA 4.0",
)


def load_task(name: str, *, seed: int = 0) -> BenchTask:
    """The data of one task.

    Raises:
        DataError: no task has that name, or its data cannot be fetched.
    """
    if name in DEMO_TASKS:
        return BenchTask(load_demo_task(name, seed=seed))
    if name not in _FETCHED:
        raise DataError(f"there is no task {name!r}; expected some of {', '.join(TASKS)}")
    return _FETCHED[name](np.random.default_rng([seed, len(DEMO_TASKS) + list(_FETCHED).index(name)]))


def sources_of(names: Iterable[str]) -> tuple[Source, ...]:
    """The packages that the tasks of these names read, each once."""
    return tuple(dict.fromkeys(source for name in names for source in _SOURCES.get(name, ())))


def _textile(rng: np.random.Generator) -> BenchTask:
    folders = {"nominal": "nominal", "local defect": "local", "global defect": "global"}
    with zipfile.ZipFile(fetch(TEXTILE)) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
        pool: list[Example] = []
        test: list[Example] = []
        for label, folder in folders.items():
            found = [name for name in names if f"/{folder}/" in name]
            chosen = [found[i] for i in rng.permutation(len(found))[: POOL_PER_CLASS + TEXTILE_TEST_PER_CLASS]]
            examples = [
                Example(f"{folder}/{Path(name).stem}", CLOTH.render({}), (Media(archive.read(name)),), label)
                for name in chosen
            ]
            pool += examples[:POOL_PER_CLASS]
            test += examples[POOL_PER_CLASS:]
    return _bench(CLOTH, pool, [test[i] for i in rng.permutation(len(test))])


def _easy_vqa(rng: np.random.Generator) -> BenchTask:
    with zipfile.ZipFile(fetch(EASY_VQA)) as archive:
        rows = json.loads(archive.read("easy_vqa/data/test/questions.json"))
        images = {image: archive.read(f"easy_vqa/data/test/images/{image}.png") for _, _, image in rows}
    task = replace(EASY, labels=tuple(sorted({answer for _, answer, _ in rows})))
    for_shots = set(rng.permutation(sorted(images))[: len(images) // 2].tolist())
    examples = [
        (image in for_shots, Example(f"{image}-{n}", EASY.render({"question": q}), (Media(images[image]),), answer))
        for n, (q, answer, image) in enumerate(rows)
    ]
    examples = [examples[i] for i in rng.permutation(len(examples))]
    pool = _first_of_each(POOL_PER_CLASS, (example for is_shot, example in examples if is_shot))
    test = [example for is_shot, example in examples if not is_shot][:EASY_VQA_TEST]
    return _bench(task, pool, test, note="asks in the data set's own words, as its training half does; images are new")


def _groups(rng: np.random.Generator) -> BenchTask:
    signs = [sign for sign in openmoji() if sign.held_out]
    examples = [_sign_example(GROUPS, sign, sign.group) for sign in (signs[i] for i in rng.permutation(len(signs)))]
    sizes = Counter(str(example.label) for example in examples)
    seen: Counter[str] = Counter()
    pool: list[Example] = []
    test: list[Example] = []
    for example in examples:
        label = str(example.label)
        (pool if seen[label] < (sizes[label] + 1) // 2 else test).append(example)
        seen[label] += 1
    task = replace(GROUPS, labels=tuple(sorted(sizes)))
    return _bench(task, pool, test, shots=GROUP_SHOTS, note="shots, too, are of held-out concepts, hence few")


def _subgroups(rng: np.random.Generator) -> BenchTask:
    signs = openmoji()
    signs = [signs[i] for i in rng.permutation(len(signs))]
    for_shots = Counter(sign.subgroup for sign in signs if not sign.held_out)
    for_test = Counter(sign.subgroup for sign in signs if sign.held_out)
    labels = tuple(
        sorted(name for name in for_test if for_shots[name] >= SUBGROUP_POOL and for_test[name] >= SUBGROUP_TEST)
    )
    signs = [sign for sign in signs if sign.subgroup in labels]
    examples = [(sign.held_out, _sign_example(SUBGROUPS, sign, sign.subgroup)) for sign in signs]
    pool = _first_of_each(POOL_PER_CLASS, (example for held_out, example in examples if not held_out))
    test = [example for held_out, example in examples if held_out]
    shown = {kin(example.id) for example in pool}
    apart = tuple(kin(example.id) not in shown for example in test)
    return _bench(
        replace(SUBGROUPS, labels=labels),
        pool,
        test,
        note="tested on held-out concepts; the shots are OpenMoji's drawings of other concepts, since no subgroup has "
        f"enough that were held out; {len(test) - sum(apart)} of the tested differ from one that may be a shot in the "
        "person alone, such as a woman surfing from a man surfing",
        apart=apart,
    )


@dataclass(frozen=True)
class Sign:
    """One pictogram of OpenMoji: its drawing as SVG, its group and subgroup as words, and whether it is held out."""

    code: str
    svg: str
    group: str
    subgroup: str
    held_out: bool


def openmoji() -> list[Sign]:
    """OpenMoji's drawings of the concepts that Unicode names, without skin tones, in the order of the package."""
    with tarfile.open(fetch(EMOJI_NAMES)) as archive:
        concepts = {_code(entry["unified"]): entry for entry in json.loads(_read(archive, "package/emoji.json"))}
    with tarfile.open(fetch(OPENMOJI)) as archive:
        rows = json.loads(_read(archive, "package/data/openmoji.json"))
        known = {
            row["hexcode"]: concepts[_code(row["hexcode"])]
            for row in rows
            if not row["skintone"] and _code(row["hexcode"]) in concepts
        }
        # Members are read in the archive's own order: going back and forth in a compressed file is slow.
        drawings = {
            code: _read(archive, member).decode()
            for member in archive
            if member.name.startswith("package/color/svg/") and (code := Path(member.name).stem) in known
        }
    return [
        Sign(
            code,
            drawings[code],
            _words(entry["category"].replace("&", "and")),
            _words(entry["subcategory"]),
            is_held_out_pictogram(_words(entry["name"] or entry["short_name"])),
        )
        for code, entry in known.items()
        if entry["category"] != "Component"
    ]


def _sign_example(task: Task, sign: Sign, label: str) -> Example:
    return Example(sign.code, task.render({}), (Media(_rendered(sign.svg)),), label)


def _rendered(svg: str, size: int = 64) -> Image.Image:
    """The drawing on a near-white ground, as the pictograms of training are."""
    try:
        from resvg_py import svg_to_bytes
    except ImportError as error:
        raise DataError(
            "OpenMoji's drawings are SVG; install what draws them with: pip install resvg-py==0.5.0"
        ) from error
    png = svg_to_bytes(svg_string=svg, width=size, height=size, background="#fafafa", skip_system_fonts=True)
    return Image.open(io.BytesIO(bytes(png))).convert("RGB")


def _first_of_each(count: int, examples: Iterable[Example]) -> list[Example]:
    """The first `count` examples of every class."""
    kept: dict[str, list[Example]] = {}
    for example in examples:
        of_class = kept.setdefault(str(example.label), [])
        if len(of_class) < count:
            of_class.append(example)
    return [example for label in sorted(kept) for example in kept[label]]


def _bench(
    task: Task,
    pool: list[Example],
    test: list[Example],
    *,
    shots: int | None = None,
    note: str = "",
    apart: tuple[bool, ...] = (),
) -> BenchTask:
    return BenchTask(DemoTask(task.name, task.description, task, tuple(pool), tuple(test)), shots, note, apart)


def _read(archive: tarfile.TarFile, member: str | tarfile.TarInfo) -> bytes:
    stream = archive.extractfile(member)
    if stream is None:
        raise DataError(f"{member} is no file: the package is not what was expected", location=str(archive.name))
    return stream.read()


def _code(hexcode: str) -> tuple[str, ...]:
    """Code points, without the selector that asks for a coloured picture."""
    return tuple(part for part in hexcode.upper().split("-") if part != "FE0F")


def _words(text: str) -> str:
    """A name as plain lower-case words, as training writes it."""
    return " ".join("".join(c if c.isalnum() else " " for c in text.lower()).split())


_FETCHED: Mapping[str, Callable[[np.random.Generator], BenchTask]] = {
    CLOTH.name: _textile,
    EASY.name: _easy_vqa,
    GROUPS.name: _groups,
    SUBGROUPS.name: _subgroups,
}

_SOURCES: Mapping[str, tuple[Source, ...]] = {
    CLOTH.name: (TEXTILE,),
    EASY.name: (EASY_VQA,),
    GROUPS.name: (OPENMOJI, EMOJI_NAMES),
    SUBGROUPS.name: (OPENMOJI, EMOJI_NAMES),
}

#: All tasks, in the order of the tables.
TASKS = (*DEMO_TASKS, *_FETCHED)

#: The prompts that this package adds to the demo's. Training must use none of them.
EVALUATION_TEMPLATES = tuple(task.template for task in (CLOTH, EASY, GROUPS, SUBGROUPS))
