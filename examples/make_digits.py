"""Write scikit-learn's handwritten digits as pictures: folders to learn from, and a JSON lines file to test on.

python examples/make_digits.py digits
savs fit digits/train --model demo --shots 20 -o digit-reader
savs evaluate digit-reader digits/test.jsonl
"""

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "digits")
digits = load_digits()
order = np.random.default_rng(0).permutation(len(digits.target))
train, test = order[:600], order[600:900]


def picture(index: int) -> Image.Image:
    """One digit, dark on white, 64 x 64 pixels."""
    grey = (255 - digits.images[index] * (255 / 16)).astype(np.uint8)
    return Image.fromarray(grey).resize((64, 64), Image.Resampling.BICUBIC)


for i in train:
    path = folder / "train" / str(digits.target[i]) / f"{i}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(i).save(path)

rows = []
for i in test:
    path = folder / "test" / f"{i}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(i).save(path)
    rows.append({"image": f"test/{i}.png", "label": str(digits.target[i])})
(folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
print(f"{len(train)} pictures to learn from in {folder}/train, {len(test)} to test on in {folder}/test.jsonl")
