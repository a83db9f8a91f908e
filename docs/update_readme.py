"""Run the demo and put its real output and its picture into the README: `make readme`.

The picture needs a Chromium; without one it stays as it is.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PICTURE = ROOT / "docs" / "images" / "demo.png"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")

savs = str(Path(sys.executable).with_name("savs"))
with tempfile.TemporaryDirectory() as temporary:
    page = Path(temporary) / "demo.html"
    environment = {**os.environ, "COLUMNS": "80"}
    table = subprocess.run(
        [savs, "demo", "--out", str(page)], env=environment, stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    block = f"<!-- demo:begin -->\n```text\n{table.rstrip()}\n```\n<!-- demo:end -->"
    text = README.read_text(encoding="utf-8")
    README.write_text(
        re.sub(r"<!-- demo:begin -->.*<!-- demo:end -->", lambda _: block, text, flags=re.DOTALL), encoding="utf-8"
    )
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        print("no Chromium found; the picture stays as it is", file=sys.stderr)
    else:
        PICTURE.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [
                browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
                "--disable-background-networking", f"--user-data-dir={temporary}/browser", "--window-size=1140,1290",
                f"--screenshot={PICTURE}", page.as_uri(),
            ],
            check=True, capture_output=True,
        )  # fmt: skip
