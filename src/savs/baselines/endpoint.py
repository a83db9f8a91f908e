"""A model behind an endpoint as a row of a comparison, zero-shot: the paper's closed model.

Knows how an example becomes a message. Knows no HTTP and no metric.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from PIL import Image

from savs.backbones.base import Progress
from savs.backbones.prompts import content_of, images_of
from savs.baselines.chat_client import NEEDS_HTTPX, ChatClient, httpx_is_installed
from savs.baselines.method import Problem
from savs.baselines.zero_shot import match_answer
from savs.data.example import Example
from savs.prediction import Prediction


@dataclass(frozen=True)
class ZeroShotEndpoint:
    """The answer of a model behind an OpenAI-compatible endpoint, matched to a label by `match_answer`.

    Attributes:
        client: that asks it; its `bill` says what that cost.
        video_frames: taken of each video and sent as images.
        name: of the row.
    """

    client: ChatClient
    video_frames: int = 8
    name: str = "zero-shot-endpoint"

    def obstacle(self, problem: Problem) -> str | None:
        """Why it cannot answer: see `Method.obstacle`."""
        return None if httpx_is_installed() else NEEDS_HTTPX

    def predict(self, problem: Problem, *, progress: Progress | None = None) -> list[Prediction]:
        """Ask each test example that was not asked before; shots play no part.

        Raises:
            EndpointError: the endpoint does not answer.
        """
        asked = [[message_of(example, video_frames=self.video_frames)] for example in problem.test]
        answers = self.client.ask_all(asked, progress=progress)
        labels = [
            match_answer(answer.text, example, problem.classes, problem.task)
            for answer, example in zip(answers, problem.test, strict=True)
        ]
        return [
            Prediction(example.id, label, {c: float(c == label) for c in problem.classes}, {})
            for example, label in zip(problem.test, labels, strict=True)
        ]


def message_of(example: Example, *, video_frames: int) -> dict[str, Any]:
    """The user's turn: text and images in their order, images as data URLs.

    Raises:
        DataError: an image or a video cannot be opened, or its marks do not fit.
    """
    images = images_of(example, video_frames=video_frames)
    parts = content_of(example, [len(mark) for mark in images])
    in_order = iter([image for mark in images for image in mark])
    return {
        "role": "user",
        "content": [
            part if part["type"] == "text" else {"type": "image_url", "image_url": {"url": data_url(next(in_order))}}
            for part in parts
        ],
    }


def data_url(image: Image.Image) -> str:
    """The image as a JPEG of high quality, in a `data:` address."""
    stream = BytesIO()
    image.save(stream, format="JPEG", quality=95, subsampling=0)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"
