"""The model's own answer, without examples: written freely, or chosen by likelihood from the labels' words.

Knows how answers are matched to labels. Knows no shots, no heads and no metric.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Literal

import numpy as np

from savs.backbones.base import Backbone, Progress
from savs.baselines.method import Problem, blind
from savs.data.choices import offered
from savs.data.example import Example
from savs.data.tasks import GENERIC, Task
from savs.prediction import Prediction

#: The label of a free answer that matches none of the classes. It counts as wrong and is reported as a rate.
UNMATCHED = "<unmatched>"

#: How a model answers: it writes, and what it wrote is matched to a label; or the likeliest label's word is taken.
Form = Literal["free", "choice"]

#: After so many tokens a written answer is cut off.
ANSWER_TOKENS = 16

_LETTER = re.compile(r"\(?([A-Z])(?:[).:\n]|\s+[-–—]\s|$)")


@dataclass(frozen=True)
class ZeroShot:
    """The model's own answer, without examples.

    Attributes:
        backbone: the frozen model.
        form: `free`, the greedy answer matched by `match_answer`, or `choice`, the likeliest of the labels' words:
            VQAScore for Yes and No (arXiv 2404.01291), length-normalised otherwise.
    """

    backbone: Backbone
    form: Form = "free"

    @property
    def name(self) -> str:
        """Of the row: one for each form."""
        return f"zero-shot-{self.form}"

    def obstacle(self, problem: Problem) -> str | None:
        """Why it cannot answer: see `Method.obstacle`."""
        return blind(self.backbone, problem.test)

    def predict(self, problem: Problem, *, progress: Progress | None = None) -> list[Prediction]:
        """Ask each test example; shots play no part."""
        return answer_in(self.form, self.backbone, problem, progress=progress)


def answer_in(
    form: Form, backbone: Backbone, problem: Problem, *, progress: Progress | None = None
) -> list[Prediction]:
    """The test examples' answers in one form or the other: by `free_answer` or by `closed_choice`."""
    ask = free_answer if form == "free" else closed_choice
    return ask(backbone, problem.test, problem.classes, task=problem.task, progress=progress)


def free_answer(
    backbone: Backbone,
    examples: Sequence[Example],
    classes: Sequence[str],
    *,
    task: Task = GENERIC,
    max_new_tokens: int = ANSWER_TOKENS,
    progress: Progress | None = None,
) -> list[Prediction]:
    """Zero-shot generation: the greedy answer, matched to a label by `match_answer`."""
    answers = backbone.generate(examples, max_new_tokens=max_new_tokens, progress=progress)
    labels = [match_answer(answer, example, classes, task) for answer, example in zip(answers, examples, strict=True)]
    return [
        Prediction(example.id, label, {c: float(c == label) for c in classes}, {})
        for example, label in zip(examples, labels, strict=True)
    ]


def closed_choice(
    backbone: Backbone,
    examples: Sequence[Example],
    classes: Sequence[str],
    *,
    task: Task = GENERIC,
    progress: Progress | None = None,
) -> list[Prediction]:
    """Zero-shot likelihood: the class whose word has the highest mean log-probability a token.

    For Yes and No this is VQAScore (arXiv 2404.01291). Where an example offers choices among the classes, only those
    are run and compete. A class that the prompt has no word for (`Task.open_label`) gets what the words of the others
    leave: one minus their probabilities. Those are then of the whole words, not of a token: a likely token of an
    unlikely word leaves much to other answers.
    """
    words = [task.answer(label) for label in classes]
    may = offered(examples, classes)
    left = np.array([label == task.open_label for label in classes])
    summed = bool(left.any())
    scores = backbone.answer_log_likelihoods(examples, words, offered=may & ~left, summed=summed, progress=progress)
    rest = np.log1p(-np.exp(scores).sum(axis=1, keepdims=True).clip(max=1 - 1e-9))
    scores = np.where(may & left, rest, scores)
    predictions = []
    for example, row in zip(examples, scores, strict=True):
        weights = np.exp(row - row.max())
        share = weights / weights.sum()
        probabilities = {label: float(p) for label, p in zip(classes, share, strict=True)}
        predictions.append(Prediction(example.id, classes[int(row.argmax())], probabilities, {}))
    return predictions


def match_answer(answer: str, example: Example, classes: Sequence[str], task: Task = GENERIC) -> str:
    """The class that a free answer names, or `UNMATCHED`.

    In this order: the whole answer is a class or its word; it is an option letter, and the example's choices or the
    classes say what that stands for; it is the text of one of the example's options, or of the task's label map; it
    begins with one of all these, and with those of no other class. Where a task has an `open_label`, any other answer
    is of that class, unless another class's word stands in it. Case and punctuation do not count.
    """
    words = {_plain(word): label for label in classes for word in (label, task.answer(label))}
    text = _plain(answer)
    if text in words:
        return words[text]
    options = _options(example, classes)
    letter = _LETTER.match(answer.strip())
    if letter is not None:
        if letter[1].lower() in words:
            return words[letter[1].lower()]
        place = ord(letter[1]) - ord("A")
        if place < len(options) and options[place][1] in classes:
            return options[place][1]
    # The files' own numbers for classes are no words.
    mapped = [*options, *((key, label) for key, label in task.label_rule.map.items() if not key.strip().isdigit())]
    said = [*words.items(), *((_plain(word), label) for word, label in mapped if label in classes)]
    whole = {label for word, label in said if word and word == text}
    # "A cat" begins with an article, and not with option A.
    begun = {label for word, label in said if word not in ("", "a") and f"{text} ".startswith(f"{word} ")}
    for found in (whole, begun):
        if len(found) == 1:
            return found.pop()
    left = task.open_label
    others = [word for word, label in said if label != left and f" {word} " in f" {text} "]
    return left if left is not None and left in classes and text and not others else UNMATCHED


def _options(example: Example, classes: Sequence[str]) -> list[tuple[str, str]]:
    """The text and the class of each option: the text itself where that is a class, else its letter."""
    lettered = zip(ascii_uppercase, example.choices or (), strict=False)
    return [(option, option if option in classes else letter) for letter, option in lettered]


def _plain(text: str) -> str:
    """Lower case, no punctuation, single spaces.

    >>> _plain(" It's a  Cat. ")
    'its a cat'
    """
    return " ".join(text.casefold().translate(str.maketrans("", "", string.punctuation)).split())
