"""The demo's evaluation tasks: examples to draw shots from and examples to test on, none of it seen in training.

Each is a prompt of its own, asked about scenes drawn afresh (or scikit-learn's handwritten digits). Training uses
none of these prompts, which a test enforces. Knows no model and no classifier.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np
from PIL import Image

from savs.data.example import Example, Media
from savs.data.tasks import Fields, Task
from savs.demo import scenes
from savs.demo.holdout import INVENTED_NAMES
from savs.demo.scenes import Object, Scene

#: Examples of each class to draw shots from, and examples to test on in all.
POOL_PER_CLASS = 60
TEST_EXAMPLES = 240

_LETTERS = ("A", "B", "C", "D")
_NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@dataclass(frozen=True)
class DemoTask:
    """One evaluation task with its data.

    Attributes:
        name: short, for tables.
        asks: one sentence that says what is to be told apart.
        task: prompt, classes, and the words that a zero-shot answer would use.
        pool: labelled examples to draw shots from, `POOL_PER_CLASS` of each class.
        test: labelled examples to test on.
    """

    name: str
    asks: str
    task: Task
    pool: tuple[Example, ...]
    test: tuple[Example, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels, sorted."""
        return tuple(sorted(self.task.labels or ()))


CLAIMS = Task(
    name="claims",
    template='Someone looked at this picture and wrote: "{claim}". Is that borne out by what you see? yes or no?',
    labels=("grounded", "hallucinated"),
    answers={"grounded": "yes", "hallucinated": "no"},
    description="Is a claim about the picture grounded in it, or hallucinated?",
)
MATCHING = Task(
    name="matching",
    template='Could "{caption}" be printed under this picture as its title? Reply yes or no.',
    labels=("matching", "not matching"),
    answers={"matching": "yes", "not matching": "no"},
    fields=Fields(group=("group",)),
    metric="groups",
    description="Which of two captions goes with which of two pictures that share all their words?",
    caption='"(.*)"',
)
HARD_NEGATIVES = Task(
    name="hard negatives",
    template="Proofread the caption. Caption: {caption}. Is every detail of it right? yes or no?",
    labels=("right", "wrong"),
    answers={"right": "yes", "wrong": "no"},
    fields=Fields(group=("group",)),
    metric="pairs",
    description="Is a caption right, or has one attribute or object been swapped, replaced or added?",
    caption="Caption: (.*)[.] Is every detail",
)
CHOICE = Task(
    name="multiple choice",
    template="Pick the option that names what is drawn.\nA. {a}\nB. {b}\nC. {c}\nD. {d}\nReply with its letter only.",
    labels=_LETTERS,
    description="Which option names the object, in combinations of shape and colour never seen in training?",
)
COMPARISON = Task(
    name="two images",
    template="<image> <image> Forget the colours. Do the two things have one and the same form? yes or no?",
    labels=("same", "different"),
    answers={"same": "yes", "different": "no"},
    description="Do two pictures show the same shape?",
)
ANSWERABLE = Task(
    name="answerable",
    template="Here is a question: {question} Can it be answered from this picture at all? yes or no?",
    labels=("answerable", "unanswerable"),
    answers={"answerable": "yes", "unanswerable": "no"},
    description="Does the picture show what the question is about?",
)
DIGITS = Task(
    name="digits",
    template="A person wrote one figure by hand. Which figure is it?",
    labels=tuple("0123456789"),
    answers={str(i): word for i, word in enumerate(_NUMBER_WORDS)},
    description="Which digit was written by hand? Real images, of a kind never seen in training.",
)
_NAMED_SHAPES = dict(zip(sorted(INVENTED_NAMES)[:5], ("circle", "cross", "heart", "star", "triangle"), strict=True))
INVENTED = Task(
    name="invented names",
    template="On our island every kind of thing has a name of its own. How would we call this one?",
    labels=tuple(_NAMED_SHAPES),
    answers=_NAMED_SHAPES,
    description="Which of five made-up names does the shape bear?",
)
DISTRACTOR = Task(
    name="with distractor",
    template="On our island every kind of thing has a name of its own. How would we call the {colour} one?",
    labels=tuple(_NAMED_SHAPES),
    answers=_NAMED_SHAPES,
    description="The same names, for one of two objects: the one of the colour that is asked for.",
)


def load_demo_task(name: str, *, seed: int = 0) -> DemoTask:
    """Draw the data of one task.

    Raises:
        KeyError: no task has that name.
    """
    task, draw = _DRAWN[name]
    return collect(task, draw(task, np.random.default_rng([seed, sorted(_DRAWN).index(name)])))


def drawn_examples(name: str, rng: np.random.Generator) -> Iterator[Example]:
    """The examples of a demo task, drawn one after the other. Raises as `load_demo_task`."""
    task, draw = _DRAWN[name]
    return draw(task, rng)


def collect(task: Task, examples: Iterator[Example], *, test_examples: int = TEST_EXAMPLES) -> DemoTask:
    """The first `POOL_PER_CLASS` of each class to draw shots from, and of what follows so many to test on."""
    labels = task.labels or ()
    pool: dict[str, list[Example]] = {label: [] for label in labels}
    for example in examples:
        drawn = pool[str(example.label)]
        if len(drawn) < POOL_PER_CLASS:
            drawn.append(example)
        if all(len(drawn) == POOL_PER_CLASS for drawn in pool.values()):
            break
    if task.metric != "accuracy":  # groups are tested whole: what is left of one that was begun is dropped
        begun = {example.group for example in chain(*pool.values())}
        examples = (example for example in examples if example.group not in begun)
    test = tuple(islice(examples, test_examples))
    return DemoTask(task.name, task.description, task, tuple(chain(*pool.values())), test)


def make_example(
    task: Task,
    number: int,
    images: list[Image.Image],
    label: str,
    *,
    group: int | None = None,
    split: str | None = None,
    **columns: str,
) -> Example:
    """Example `number` of a task, `columns` filling its template."""
    return Example(
        id=f"{task.name}-{number:04d}",
        text=task.render(columns),
        media=tuple(Media(image) for image in images),
        label=label,
        group=None if group is None else f"{task.name}-{group:04d}",
        split=split,
    )


def _claims(task: Task, rng: np.random.Generator) -> Iterator[Example]:
    number = 0
    while True:
        scene = scenes.sample_scene(rng, n_objects=int(rng.integers(2, 4)), held_out=None, distinct="both")
        true, false = _claim_pair(scene, rng)
        grounded = bool(rng.random() < 0.5)
        label = "grounded" if grounded else "hallucinated"
        yield make_example(task, number, [scenes.render(scene)], label, claim=true if grounded else false)
        number += 1


def _claim_pair(scene: Scene, rng: np.random.Generator) -> tuple[str, str]:
    """A true and a false claim of one kind: of an object, an attribute, a relation or a number."""
    item = scene.objects[int(rng.integers(len(scene.objects)))]
    kind = ("object", "attribute", "relation", "number")[int(rng.integers(4))]
    if kind == "relation" and (pairs := list(scenes.related_pairs(scene))):
        first, word, second = pairs[int(rng.integers(len(pairs)))]
        return tuple(  # type: ignore[return-value]
            f"the {first.shape} is {relation} the {second.shape}" for relation in (word, scenes.OPPOSITE[word])
        )
    if kind == "attribute":
        others = [colour for colour in scenes.COLOURS if colour != item.colour]
        return f"the {item.shape} is {item.colour}", f"the {item.shape} is {others[int(rng.integers(len(others)))]}"
    if kind == "number":
        count = len(scene.objects)
        wrong = [n for n in (1, 2, 3, 4) if n != count]
        return (
            f"there are {_NUMBER_WORDS[count]} things",
            f"there are {_NUMBER_WORDS[wrong[int(rng.integers(3))]]} things",
        )
    absent = scenes.absent_names(scene)[:12]
    return (
        f"there is {scenes.article(item.name)}",
        f"there is {scenes.article(absent[int(rng.integers(len(absent)))])}",
    )


def _matching(task: Task, rng: np.random.Generator) -> Iterator[Example]:
    number = group = 0
    while True:
        scene = scenes.sample_scene(rng, n_objects=2, held_out=None, distinct="both")
        other = scenes.swap_attributes(scene, rng)
        if other is None:
            continue
        images = [scenes.render(scene), scenes.render(other)]
        captions = [scenes.caption(scene), scenes.caption(other)]
        for i, image in enumerate(images):
            for j, caption in enumerate(captions):
                label = "matching" if i == j else "not matching"
                yield make_example(task, number, [image], label, group=group, caption=caption)
                number += 1
        group += 1


#: What is done to a scene to make a hard negative of its caption, as SugarCrepe (arXiv 2306.14610) calls it.
_CHANGES = ("swap", "replace", "replace", "add")


def _hard_negatives(task: Task, rng: np.random.Generator) -> Iterator[Example]:
    number = group = 0
    while True:
        scene = scenes.sample_scene(rng, n_objects=2, held_out=None, distinct="both")
        kind = int(rng.integers(4))
        wrong = (
            scenes.swap_attributes(scene, rng)
            if kind == 0
            else scenes.replace_attribute(scene, rng, attribute="shape" if kind == 1 else "colour")
            if kind < 3
            else scenes.add_object(scene, rng)
        )
        if wrong is None:
            continue
        image = scenes.render(scene)
        for label, described in (("right", scene), ("wrong", wrong)):
            caption = scenes.caption(described)
            yield make_example(task, number, [image], label, group=group, split=_CHANGES[kind], caption=caption)
            number += 1
        group += 1


def _choice(task: Task, rng: np.random.Generator) -> Iterator[Example]:
    number = 0
    while True:
        scene = scenes.sample_scene(rng, n_objects=1, held_out=True)
        true = scene.objects[0].name
        near = scenes.absent_names(scene)[:12]  # they share the shape or the colour
        options = [true, *(near[i] for i in rng.choice(len(near), size=3, replace=False))]
        options = [options[i] for i in rng.permutation(4)]
        columns = dict(zip("abcd", options, strict=True))
        yield make_example(task, number, [scenes.render(scene)], _LETTERS[options.index(true)], **columns)
        number += 1


def _comparison(task: Task, rng: np.random.Generator) -> Iterator[Example]:
    number = 0
    while True:
        same = bool(rng.random() < 0.5)
        first = scenes.sample_scene(rng, n_objects=1, held_out=None)
        while True:
            second = scenes.sample_scene(rng, n_objects=1, held_out=None)
            one, other = first.objects[0], second.objects[0]
            if (one.shape == other.shape) == same and one.colour != other.colour:
                break
        yield make_example(task, number, [scenes.render(first), scenes.render(second)], "same" if same else "different")
        number += 1


def _answerable(task: Task, rng: np.random.Generator) -> Iterator[Example]:
    number = 0
    while True:
        scene = scenes.sample_scene(rng, n_objects=2, held_out=None, distinct="both")
        present = [item.shape for item in scene.objects]
        absent = [shape for shape in scenes.SHAPES if shape not in present]
        answerable = bool(rng.random() < 0.5)
        shapes = present if answerable else absent
        question = f"What colour is the {shapes[int(rng.integers(len(shapes)))]}?"
        label = "answerable" if answerable else "unanswerable"
        yield make_example(task, number, [scenes.render(scene)], label, question=question)
        number += 1


def _digits(task: Task, rng: np.random.Generator) -> Iterator[Example]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    for number, i in enumerate(rng.permutation(len(digits.target))):
        ink = Image.fromarray((255 - digits.images[i] * (255 / 16)).astype(np.uint8))
        image = ink.resize((64, 64), Image.Resampling.BICUBIC).convert("RGB")
        yield make_example(task, number, [image], str(digits.target[i]))


def _invented(task: Task, rng: np.random.Generator) -> Iterator[Example]:
    names = {shape: name for name, shape in _NAMED_SHAPES.items()}
    number = 0
    while True:
        scene = scenes.sample_scene(rng, n_objects=1, held_out=None)
        if scene.objects[0].shape in names:
            yield make_example(task, number, [scenes.render(scene)], names[scene.objects[0].shape])
            number += 1


def _distractor(task: Task, rng: np.random.Generator) -> Iterator[Example]:
    names = {shape: name for name, shape in _NAMED_SHAPES.items()}
    number = 0
    while True:
        scene = scenes.sample_scene(rng, n_objects=2, held_out=None, distinct="both")
        asked: Object = scene.objects[int(rng.integers(2))]
        if all(item.shape in names for item in scene.objects):
            yield make_example(task, number, [scenes.render(scene)], names[asked.shape], colour=asked.colour)
            number += 1


_DRAWN: dict[str, tuple[Task, Callable[[Task, np.random.Generator], Iterator[Example]]]] = {
    task.name: (task, draw)
    for task, draw in (
        (CLAIMS, _claims),
        (MATCHING, _matching),
        (HARD_NEGATIVES, _hard_negatives),
        (CHOICE, _choice),
        (COMPARISON, _comparison),
        (ANSWERABLE, _answerable),
        (DIGITS, _digits),
        (INVENTED, _invented),
        (DISTRACTOR, _distractor),
    )
}

#: All tasks that can be drawn, and those that `savs demo` shows.
DEMO_TASKS = tuple(_DRAWN)
SHOWN_TASKS = ("claims", "matching", "multiple choice", "two images", "digits", "invented names")

#: Every prompt of an evaluation task. Training must use none of them.
EVALUATION_TEMPLATES = tuple(task.template for task, _ in _DRAWN.values())
