"""Every wording of training and its gates. Knows no scene and no model; `questions.py` fills the slots.

Slots: {c} colour, {s} shape, {n} a noun, {p} a plural, {a} and {b} two nouns, {r} a relation, {x} and {y} two options or
things, {o} lettered options, {q} a question, {k} a number or an attribute, {v} a colour, {g} a group or name,
{t} a statement.
"""
# ruff: noqa: E501

from __future__ import annotations

from collections.abc import Iterator

WORDINGS: dict[str, tuple[str, ...]] = {
    "caption": (
        "describe the picture.", "list what you see from left to right.", "what does the image show?",
        "write a caption.", "name all objects.", "tell me everything in the scene.", "what is here?",
        "caption this image.", "what things are in the picture?", "give a description of the scene.",
        "which objects do you see?", "say what is shown.",
    ),
    "shape": (
        "what is the {c} thing?", "what shape is {c}?", "which shape has the colour {c}?", "the {c} object is a",
        "name the shape of the {c} object.", "what {c} shape is there?", "what is {c} here?",
        "tell me the shape of the {c} item.", "{c} object: which shape?", "find the {c} one. its shape?",
        "the form of the {c} figure?", "what kind of shape is the {c} one?", "which figure is {c}?",
    ),
    "only": (
        "what {k} is it?", "name the {k}.", "the {k}?", "which {k} do you see?", "tell me the {k}.", "the {k} is",
        "there is one thing. its {k}?", "what is its {k}?", "say which {k} it has.", "{k}?",
        "of what {k} is the only object?", "which {k} does the one thing have?", "one thing is shown: of which {k}?",
    ),
    "colour": (
        "what colour is the {s}?", "what color does the {s} have?", "the {s} is", "name the colour of the {s}.",
        "which colour has the {s}?", "tell me the color of the {s}.", "{s}: which colour?",
        "in which colour is the {s} painted?", "how is the {s} coloured?", "find the {s}. its colour?",
        "the color of the {s}?", "what paint was used for the {s}?", "what colour do you see on the {s}?",
    ),
    "size": (
        "how big is the {n}?", "what size is the {n}?", "is the {n} small or large?", "large or small: the {n}?",
        "the size of the {n}?", "tell me the size of the {n}.", "{n}: large or small?", "name the size of the {n}.",
        "would you call the {n} small or large?", "what is the size of the {n}?", "size of {n}?",
        "how large is the {n}?",
    ),
    "texture": (
        "what pattern has the {n}?", "what texture is on the {n}?", "is the {n} plain, striped or dotted?",
        "how is the {n} filled?", "the pattern of the {n}?", "tell me the texture of the {n}.",
        "{n}: plain, dotted or striped?", "name the pattern on the {n}.", "which texture does the {n} have?",
        "striped, dotted or plain: the {n}?", "what does the surface of the {n} look like?", "texture of {n}?",
    ),
    "count": (
        "how many {p} are there?", "count the {p}.", "what is the number of {p}?", "how many {p} do you see?",
        "number of {p}?", "how many {p} does the picture have?", "give the count of {p}.",
        "tell me how many {p} are shown.", "{p}: how many?", "in total, how many {p}?", "how often do you see {p}?",
        "the number of {p} in the scene is",
    ),
    "where": (
        "where is the {a} from the {b}?", "on which side of the {b} is the {a}?", "the {a} lies where, seen from the {b}?",
        "relative to the {b}, where is the {a}?", "how does the {a} lie to the {b}?",
        "what is the position of the {a} to the {b}?", "seen from the {b}, the {a} is", "the {a} is where of the {b}?",
        "left, right, above or below: where is the {a} from the {b}?", "compared to the {b}, where is the {a}?",
        "tell me where the {a} is, with the {b} as centre.", "which direction leads from the {b} to the {a}?",
    ),
    "neighbour": (
        "what is {r} the {b}?", "which object is {r} the {b}?", "name the thing {r} the {b}.", "{r} the {b} is what?",
        "what do you find {r} the {b}?", "what lies {r} the {b}?", "tell me what is {r} the {b}.",
        "look {r} the {b}: what is there?", "the object {r} the {b} is a", "{r} the {b} you see a",
        "which thing lies {r} the {b}?", "what can be seen {r} the {b}?",
    ),
    "half": (
        "in which half is the {n}, {x} or {y}?", "is the {n} at the {x} or the {y}?", "{x} or {y}: the {n}?",
        "where is the {n}, {x} or {y}?", "does the {n} lie {x} or {y}?", "the {n} is in which part, {x} or {y}?",
        "{n}: {x} or {y}?", "tell me the half of the {n}: {x} or {y}.", "which part has the {n}, {x} or {y}?",
        "find the {n}: {x} or {y}?", "to which side is the {n}: {x} or {y}?", "position of the {n}, {x} or {y}?",
    ),
    "spot": (
        "in which part of the image is the {n}?", "where in the picture is the {n}?", "place of the {n}?",
        "tell me the place of the {n}.", "the {n} is in which part of the scene?", "point out the {n}.",
        "where do you find the {n}?", "locate the {n}.", "in what corner or part is the {n}?", "the place of the {n} is",
        "say where the {n} is in the image.", "{n}: which part of the picture?",
    ),
    "at_spot": (
        "what is at the {x}?", "name the object at the {x}.", "what do you see at the {x}?", "{x}: what is there?",
        "which thing is in the {x} part?", "look at the {x}. what is it?", "the object at the {x} is a",
        "tell me what is at the {x}.", "what lies at the {x}?", "at the {x} there is a", "what can be seen at the {x}?",
        "which object is placed {x}?",
    ),
    "places": (
        "where is everything?", "list all objects with their places.", "name each thing and its place.",
        "which object is where?", "give the place of each object.", "map the scene.", "what is where?",
        "tell me all objects and where they are.", "for each thing, say where it is.", "list things and places.",
        "locate all objects.", "where are the things?",
    ),
    "detail": (
        "describe the {n} in detail.", "tell me all about the {n}.", "what exactly is the {n} like?",
        "give all attributes of the {n}.", "the {n} in full is a", "{n}: size, pattern, colour and shape?",
        "describe only the {n}.", "what does the {n} look like?", "say more about the {n}.", "be exact about the {n}.",
        "a full description of the {n}?", "the {n}, in all detail?",
    ),
    "background": (
        "what is the background?", "which colour is behind the objects?", "name the background.",
        "the colour of the background?", "on which ground do the objects lie?", "what is behind the shapes?",
        "background?", "tell me the background.", "what colour fills the rest?", "the ground is",
        "which background does the picture have?", "what colour is the ground?",
    ),
    "choice": (
        "which is in the image? {o}", "which of these do you see? {o}", "choose what is shown. {o}", "pick one: {o}",
        "what is in the picture? {o}", "select the object in the scene. {o}", "{o} which one is there?",
        "one of these is in the image: {o}", "answer with a letter. what is shown? {o}", "what do you see? {o}",
        "{o} which letter is right?", "find the option in the picture. {o}", "options: {o} answer:",
    ),
    "choice_fact": (
        "{q} {o}", "{q} choose. {o}", "{q} pick a letter. {o}", "{q} options: {o}", "{o} question: {q}", "question: {q} {o}",
        "{q} select one. {o} answer:", "answer with a letter. {q} {o}", "{q} one of: {o}", "{q} which letter? {o}",
        "options: {o} question: {q}", "{q} your choice? {o}",
    ),
    "choice_caption": (
        "which caption fits? {o}", "which text is true of the image? {o}", "pick the right caption. {o}", "{o} which is true?",
        "which description belongs to the picture? {o}", "one of these is true: {o}", "choose the true sentence. {o}",
        "find the caption of this image. {o}", "which statement is right? {o}", "{o} which one describes the image?",
        "select the correct text. {o}", "what is true here? {o}",
    ),
    "more": (
        "are there more {a} or more {b}?", "which are more, {a} or {b}?", "more {a} or more {b}?",
        "what is there more of, {a} or {b}?", "which do you see more often, {a} or {b}?",
        "which has the higher count, {a} or {b}?", "{a} or {b}: which are more?", "which win by number, {a} or {b}?",
        "count both: are {a} or {b} more?", "name the more common, {a} or {b}.", "which are in the majority, {a} or {b}?",
        "are {a} or {b} more frequent?",
    ),
    "pictogram_group": (
        "what group is this?", "which category does this belong to?", "what kind of picture is this?", "name the category.",
        "the category of this symbol?", "in which group would you put it?", "what is the theme?", "group?",
        "sort this picture: which group?", "which theme does the symbol have?", "tell me the group of this icon.",
        "what class of thing is this?",
    ),
    "pictogram_subgroup": (
        "what subgroup is this?", "be more exact: what kind is it?", "which narrow category is it?", "subgroup?",
        "name the subgroup.", "in which subgroup does it belong?", "what family of things is this?",
        "the narrow category of this symbol?", "tell me the subgroup of this icon.", "which subcategory is it?",
        "what type is this exactly?", "sort it finely: which subgroup?",
    ),
    "pictogram_name": (
        "what is this?", "name the symbol.", "what does the icon show?", "give the name of this picture.", "this is a",
        "what is the name of this emoji?", "what do we see?", "name it.", "which thing is drawn?", "tell me its name.",
        "what is drawn here?", "what is it called?",
    ),
    "pair_which": (
        "which image has {n}?", "{n}: in which image?", "where is {n}, in the first or second image?",
        "in which picture do you see {n}?", "first or second: which shows {n}?", "which of the two has {n}?",
        "tell me which image contains {n}.", "{n} is in which of the images?", "which one holds {n}, first or second?",
        "look for {n}: first or second image?", "find {n}. which image?", "is {n} in the first or second picture?",
    ),
    "pair_same": (
        "same {k}?", "do both images have the same {k}?", "is the {k} the same?", "compare the {k}: is it the same?",
        "are the two objects of the same {k}?", "{k}: the same in both?", "do the objects have the same {k}?",
        "both of the same {k}?", "is it the same {k} twice?", "would you say the {k} is the same?",
        "is the same {k} in both pictures?", "check the {k}. is it the same?", "does the {k} agree?",
        "is the {k} shared by both?", "is it the very same {k}?", "both things: one {k}?",
        "are they alike in {k}?", "do they match in {k}?", "has the second thing the {k} of the first?",
        "do the two agree in {k}?", "is there only one {k} in both?", "one {k} for both?",
    ),
    "pair_differs": (
        "different {k}?", "is the {k} different?", "compare the {k}: does it differ?", "do the objects differ in {k}?",
        "do both images show a different {k}?", "check the {k}. is it another in the second?",
        "would you say the {k} is different?", "has the second thing another {k}?", "are there two {k}s?",
        "does the {k} change?", "is the {k} unlike in the two?", "has each its own {k}?",
        "two kinds of {k}?", "is the {k} of the first not that of the second?", "do they differ in {k}?",
        "is there another {k} in the second?", "are the two unlike in {k}?",
    ),
    "pair_more": (
        "which image has more objects?", "more things in the first or second?", "where are more shapes?",
        "which picture is fuller?", "which of the two has more objects?", "in which image do you count more?",
        "first or second: which has more things?", "which scene has the higher number of shapes?",
        "which holds more objects, first or second?", "count both images. which has more?", "more objects: which image?",
        "tell me the image with more shapes.",
    ),
}  # fmt: skip

STATEMENTS: dict[str, tuple[str, ...]] = {
    "exists": (
        "there is {x}", "the image shows {x}", "the picture contains {x}", "you can see {x}", "{x} is visible",
        "the scene has {x}", "{x} is in the picture", "{x} appears", "the image has {x} in it", "one finds {x} here",
        "somewhere is {x}", "the picture includes {x}", "{x} is present", "this shows {x}", "{x}",
    ),
    "absent": (
        "there is no {x}", "the image does not show a {x}", "no {x} is visible", "you can not see a {x}",
        "the picture has no {x}", "a {x} is missing", "nowhere is a {x}", "the scene is without a {x}",
        "the image does not contain a {x}", "no {x} appears", "there is not a {x}", "a {x} is absent",
    ),
    "count": (
        "there are {k} {p}", "the image shows {k} {p}", "you see {k} {p}", "the number of {p} is {k}", "{k} {p} are visible",
        "the picture has {k} {p}", "the count of {p} is {k}", "{k} {p} are in the scene", "one counts {k} {p}",
        "we find {k} {p}", "exactly {k} {p} appear", "{p}: {k}",
    ),
    "relation": (
        "the {a} is {r} the {b}", "there is a {a} {r} a {b}", "a {a} lies {r} a {b}", "{r} the {b} is a {a}",
        "a {a} {r} a {b}", "you see a {a} {r} a {b}", "the {a} can be found {r} the {b}", "{r} the {b} one sees the {a}",
        "the image shows a {a} {r} a {b}", "the {a} stands {r} the {b}", "a {a} is placed {r} a {b}",
        "the {a} appears {r} the {b}",
    ),
    "attribute": (
        "the {s} is {v}", "the {s} looks {v}", "there is a {v} {s}", "a {v} {s} is here", "the colour of the {s} is {v}",
        "{v} is the colour of the {s}", "the {s} has the colour {v}", "you see a {s} and it is {v}", "the {s} seems {v}",
        "a {s} in {v} is shown", "one {s} is {v}", "we see a {s} that is {v}",
    ),
    "group": (
        "this belongs to {g}", "the group is {g}", "this is from {g}", "the icon is in {g}", "the category is {g}",
        "this fits {g}", "the symbol is of the group {g}", "it is about {g}", "one would sort this under {g}",
        "the theme is {g}", "the picture is in the category {g}", "we see something of {g}",
    ),
    "name": (
        "this is {g}", "the picture shows {g}", "it is called {g}", "the icon means {g}", "we see {g}",
        "the name is {g}", "the symbol shows {g}", "here is {g}", "the drawing is of {g}", "this depicts {g}",
        "the image shows {g}", "you see {g}",
    ),
}  # fmt: skip

#: A frame, the answer where its statement is true, and the answer where it is false.
FRAMES: tuple[tuple[str, str, str], ...] = (
    ("{t}. yes or no?", "yes", "no"),
    ("is it so that {t}?", "yes", "no"),
    ("is it true that {t}?", "yes", "no"),
    ("does this fit the image: {t}?", "yes", "no"),
    ("does the text match the picture? {t}", "yes", "no"),
    ("do you agree that {t}?", "yes", "no"),
    ("{t}, right?", "yes", "no"),
    ("{t}?", "yes", "no"),
    ("caption: {t}. does it match?", "yes", "no"),
    ("would you say that {t}?", "yes", "no"),
    ("{t}. true or false?", "true", "false"),
    ("true or false: {t}.", "true", "false"),
    ("claim: {t}. is the claim true or false?", "true", "false"),
    ("is this statement true or false? {t}", "true", "false"),
    ("someone says {t}. true or false?", "true", "false"),
    ("judge the sentence as true or false: {t}", "true", "false"),
    ("{t}. correct or wrong?", "correct", "wrong"),
    ("check this: {t}. correct or wrong?", "correct", "wrong"),
    ("correct or wrong: {t}", "correct", "wrong"),
    ("a student wrote: {t}. correct or wrong?", "correct", "wrong"),
    ("is the answer right? {t}. right or wrong?", "right", "wrong"),
    ("text: {t}. does it match or differ?", "match", "differ"),
    ("match or differ? {t}", "match", "differ"),
    ("{t}. is that a fact or a lie?", "fact", "lie"),
    ("is it wrong that {t}?", "no", "yes"),
    ("is it false that {t}?", "no", "yes"),
    ("does this contradict the image: {t}?", "no", "yes"),
    ("{t}. is there a mistake?", "no", "yes"),
    ("was this made up? {t}", "no", "yes"),
    ("look at the image. {t}: yes or no?", "yes", "no"),
    ("answer with yes or no: is it the case that {t}?", "yes", "no"),
    ("can one say that {t}? yes or no.", "yes", "no"),
    ("one says: {t}. is one right to say so?", "yes", "no"),
    ("read this: {t}. then look. do both agree?", "yes", "no"),
    ("is the following so? {t}", "yes", "no"),
    ("please tell whether {t}. yes or no?", "yes", "no"),
    ("with this image before you: {t}? yes or no.", "yes", "no"),
    ('"{t}": do you find it so?', "yes", "no"),
    ("i think {t}. do you think so too?", "yes", "no"),
    ("a child said that {t}. was the child right?", "yes", "no"),
    ('a note reads: "{t}". does the note fit?', "yes", "no"),
    ('"{t}" is a line about an image. does the line hold? yes or no?', "yes", "no"),
    ("we were told: {t}. is it the case? yes or no", "yes", "no"),
    ("does the sentence hold? {t}.", "yes", "no"),
    ('could one caption it so: "{t}"?', "yes", "no"),
    ("yes or no? {t}.", "yes", "no"),
    ('an old book has the words "{t}" under this image. do they belong there? answer yes or no.', "yes", "no"),
    ("they asked: {t}? what do you answer, yes or no?", "yes", "no"),
    ('check the words "{t}" against the image. do all of them hold?', "yes", "no"),
)
#: Frames that training leaves to a gate, which asks how it does in words that it never read together.
UNTRAINED_FRAMES: tuple[str, ...] = (
    "my friend insists: {t}. has my friend seen well?",
    'think of the line "{t}". should it stand beside this image? yes or no?',
    "tell me if the description is good: {t}.",
    "{t} - is that what is shown? yes or no?",
    'suppose a guide points here and tells us "{t}". may we trust the guide? yes or no?',
)

#: The first so many frames are plain yes/no questions; they are asked more often.
PLAIN_FRAMES = 9

#: What may be said before two images are compared by something else.
ASIDES: tuple[str, ...] = (
    "never mind the {k}.", "the {k} does not count.", "let the {k} be.", "leave the {k} aside.", "whatever the {k}:",
    "the {k} may differ.", "do not look at the {k}.", "any {k} will do.", "pay no heed to the {k}.", "not the {k}.",
    "the {k} is of no interest.", "ignoring {k}:",
)  # fmt: skip
#: Other words for an attribute.
CALLED = {"shape": ("shape", "shape", "form"), "colour": ("colour", "colour", "color")}
NUMBERS = ("zero", "one", "two", "three", "four")
MARKS = ("{l}) {x}", "{l}. {x}", "({l}) {x}", "{l}: {x}")
RELATION_WORDS: dict[str, tuple[str, ...]] = {
    "left of": ("left of", "to the left of", "on the left side of"),
    "right of": ("right of", "to the right of", "on the right side of"),
    "above": ("above", "over", "higher than"),
    "below": ("below", "under", "lower than"),
}


def all_templates() -> Iterator[str]:
    """Every wording that training uses, with its slots, for the test that holds them against the evaluation's."""
    for group in (WORDINGS, STATEMENTS):
        for wordings in group.values():
            yield from wordings
    yield from (frame for frame, _, _ in FRAMES)
    yield from UNTRAINED_FRAMES
    yield from ASIDES
