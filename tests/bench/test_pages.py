"""Pages say what the results hold: numbers, leads, reasons, and nothing fetched from elsewhere."""

import csv
import io
import json
import re
from dataclasses import replace

import pytest

from savs.backbones.base import BackboneSpec
from savs.baselines.chat_client import Endpoint
from savs.bench.grids import Reasons, paper_grid, places_of, score_grid, value_and_half, value_and_interval
from savs.bench.pages import write_pages
from savs.bench.recipes import recipe
from savs.bench.results import measure
from savs.prediction import Prediction

SETTING = {
    "command": "savs bench table1 <test>",
    "about": "In miniature.",
    "model": {"model": "llava", "revision": "abc", "dtype": "float32"},
    "heads": 12,
    "shots": 4,
    "draws": 3,
    "costly_draws": 1,
    "seed": 0,
    "versions": {"savs": "1"},
    "machine": "2 CPU cores",
}
METHODS = ("zero-shot-free", "clip-zero-shot", "sav", "hec")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def results(backbone, small, folder):
    from savs.bench.cells import Cells
    from savs.bench.runner import Bench, Setting

    bench = Bench(backbone("llava"), Cells(folder / "cells"), small, Setting(shots=4, draws=3))
    made = recipe("table1").only(columns=["mhalubench", "naturalbench_vqa"], methods=METHODS)
    told = []
    found = measure(bench, made, SETTING, told=told.append)
    assert [each.name for each in told] == ["mhalubench", "naturalbench_vqa"]
    write_pages(found, folder)
    return found


def test_every_place_has_a_number_or_a_reason(results):
    [panel] = results.recipe.panels
    places = places_of(panel)
    assert len(places) == 1 + 3
    assert len(results.entries) == len(METHODS) * len(places)
    for entry in results.entries:
        assert (entry.interval is None) == (entry.row == "clip-zero-shot")
        assert (entry.why is not None) == (entry.row == "clip-zero-shot")
        assert (entry.lead is None) == (entry.row in ("clip-zero-shot", "sav"))
        assert entry.draws == {"zero-shot-free": 1, "clip-zero-shot": 0}.get(entry.row, 3)


def test_markdown_has_the_numbers_the_command_and_the_reasons(results, folder):
    page = (folder / "table1.md").read_text()
    assert "`savs bench table1 <test>`" in page
    sav = results.entry("", "sav", "mhalubench", "accuracy")
    assert value_and_interval(sav.interval) in page
    assert "--dual-encoder" in page
    rows = [line for line in page.splitlines() if line.startswith("| clip-zero-shot")]
    assert rows and all("(1)" in line for line in rows[:1])
    tables = re.findall(r"(?:^\|.*\n)+", page, re.M)
    for table in tables:
        assert not re.search(r"\| +\|", table), "a blank tells nothing"
        assert len({line.count("|") for line in re.sub(r"\\\|", "", table).splitlines()}) == 1, "ragged table"


def test_rows_that_only_rank_are_told_their_own_chance(results, folder, tmp_path):
    says = "clip-zero-shot cannot judge a caption by itself"
    assert says not in (folder / "table1.md").read_text()
    known = results.entry("", "sav", "naturalbench_vqa", "group").interval
    ranked = {
        name: tuple(
            replace(e, interval=known) if (e.row, e.column) == ("clip-zero-shot", name) else e for e in results.entries
        )
        for name in ("mhalubench", "naturalbench_vqa")
    }
    for name, entries in ranked.items():
        write_pages(replace(results, entries=entries), tmp_path / name)
    assert says in (tmp_path / "naturalbench_vqa" / "table1.md").read_text()
    assert says not in (tmp_path / "mhalubench" / "table1.md").read_text()


def test_the_best_of_a_column_is_marked(results):
    [panel] = results.recipe.panels
    places = places_of(panel)
    grid = score_grid(
        results, panel, Reasons(), places=places, cell=value_and_half, head=lambda column, score: column.name
    )
    for across, place in enumerate(places, start=1):
        values = {
            i: e.interval.value
            for i, row in enumerate(panel.rows)
            if (e := results.entry("", row.name, *place)).interval is not None
        }
        best = {i for i, value in values.items() if value == max(values.values())}
        assert {down for down, at in grid.best if at == across} == best


def test_html_is_self_contained_and_escaped(results, folder):
    page = (folder / "table1.html").read_text()
    sources = re.findall(r'src="([^"]*)"', page)
    assert sources and all(source.startswith("data:image/") for source in sources)
    assert "<script" not in page and "<link" not in page and "http" not in re.sub(r"data:[^\"]*", "", page)
    assert "savs bench table1 &lt;test&gt;" in page


def test_csv_and_json_hold_every_number(results, folder):
    rows = list(csv.DictReader(io.StringIO((folder / "table1.csv").read_text())))
    assert len(rows) == len(results.entries) + len(results.beside)
    by_place = {(r["method"], r["column"], r["score"]): r for r in rows}
    for entry in results.entries:
        row = by_place[entry.row, entry.column, entry.score]
        assert row["value"] == ("" if entry.interval is None else f"{entry.interval.value:.6g}")
        assert bool(row["why"]) == (entry.interval is None)
    table = json.loads((folder / "table1.json").read_text())
    assert len(table["entries"]) + len(table["beside"]) == len(rows)
    also = by_place["sav", "mhalubench", "macro F1"]
    assert also["panel"] == "beside" and None not in also.values() and None not in also
    page = (folder / "table1.md").read_text()
    assert re.search(
        rf"^\| sav \| {100 * float(also['value']):.1f} \|", page.partition("## Beside these scores")[2], re.M
    )
    assert table["entries"][0]["interval"]["low"] <= table["entries"][0]["interval"]["value"]
    assert {each["name"] for each in table["columns"]} == {"mhalubench", "naturalbench_vqa"}


def test_missing_data_are_told_and_the_rest_is_made(backbone, small, tmp_path):
    from savs.bench.cells import Cells
    from savs.bench.runner import Bench, Setting
    from savs.errors import DataError

    def load(name):
        if name == "pets":
            raise DataError("the data of Pets are not there")
        return small(name)

    bench = Bench(backbone("llava"), Cells(tmp_path / "cells"), load, Setting(shots=4, draws=2))
    made = recipe("table1").only(columns=["mhalubench", "pets"], methods=["sav"])
    found = measure(bench, made, SETTING, told=lambda _: None)
    assert found.entry("", "sav", "pets", "accuracy").why == "the data of Pets are not there"
    assert found.entry("", "sav", "mhalubench", "accuracy").interval is not None
    write_pages(found, tmp_path)
    page = (tmp_path / "table1.md").read_text()
    assert "| (1) | the data of Pets are not there |" in page
    assert re.search(r"^\| chance \| 50.0 \| \(1\) \|$", page, re.M), "nor is there anything to be beaten"


def test_head_maps_are_of_the_paper_s_rule(backbone, small, tmp_path):
    from savs.bench.cells import Cells
    from savs.bench.runner import Bench, Setting

    bench = Bench(backbone("llava"), Cells(tmp_path / "cells"), small, Setting(shots=4, draws=2))
    found = measure(bench, recipe("figure3").only(columns=["blink"]), SETTING, told=lambda _: None)
    assert [each.part for each in found.maps] == ["colour", "number", "shape"]
    for each in found.maps:
        chosen = [each.layout.heads.index(head) for head in each.selected]
        left = set(range(each.layout.n_heads)) - set(chosen)
        assert not left or min(each.head_scores[chosen]) >= max(each.head_scores[list(left)])
        assert each.points.shape == (len(each.labels), 2)
    names = {path.name for path in write_pages(found, tmp_path)}
    assert {"figure3-heads.svg", "figure3-tsne.svg"} <= names
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    write_pages(found, tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in first} == first, "the same results, the same bytes"


class ClosedModel:
    """Answers in place of an endpoint."""

    endpoint = Endpoint("https://host/v1", "gpt-4o-2024-08-06")
    spec = BackboneSpec("gpt-4o-2024-08-06", "r", "", "")


@pytest.mark.parametrize("called", ["Qwen2-VL-7B-Instruct", "llava"])
def test_a_closed_model_stands_beside_its_own_row_of_the_paper(backbone, small, tmp_path, monkeypatch, called):
    from savs.baselines.endpoint import ZeroShotEndpoint
    from savs.baselines.registry import Resources
    from savs.bench.cells import Cells
    from savs.bench.runner import Bench, Setting

    def answer(method, problem, **_):
        return [Prediction(each.id, each.label, {}, {}) for each in problem.test]

    monkeypatch.setattr(ZeroShotEndpoint, "obstacle", lambda method, problem: None)
    monkeypatch.setattr(ZeroShotEndpoint, "predict", answer)
    model = backbone("llava")
    monkeypatch.setattr(model, "spec", replace(model.spec, model=called))
    bench = Bench(model, Cells(tmp_path), small, Setting(shots=4, draws=1), Resources(endpoint=ClosedModel()))
    made = recipe("table1").only(columns=["mhalubench"], methods=["zero-shot-endpoint"])
    found = measure(bench, made, SETTING, told=lambda _: None)
    assert found.entry("", "zero-shot-endpoint", "mhalubench", "accuracy").paper == pytest.approx(0.394)
    of_sav = found.entry("", "sav", "mhalubench", "accuracy").paper
    assert of_sav == (pytest.approx(0.851) if called.startswith("Qwen") else None), "the other rows are not its own"
    row = next(row for row in paper_grid(found, found.recipe.panels[0]).rows if row[0].startswith("zero-shot-endpoint"))
    assert row == ("zero-shot-endpoint, GPT-4o", "MHaluBench", row[2], "39.4", "+60.6")


def test_fewer_shots_are_told_on_the_page_and_drawn_where_they_are(backbone, small, tmp_path):
    from savs.bench.cells import Cells
    from savs.bench.figures import figures
    from savs.bench.runner import Bench, Setting

    bench = Bench(backbone("llava"), Cells(tmp_path / "cells"), small, Setting(shots=4, draws=2))
    made = recipe("figure4").only(columns=["mhalubench"], methods=["sav"])
    found = measure(bench, made, SETTING, told=lambda _: None)
    [axes] = figures(found)["shots"].axes
    assert list(axes.lines[0].get_xdata()) == [1, 2, 5, 6], "there are six of each class"
    write_pages(found, tmp_path)
    for page in ("figure4.md", "figure4.html"):
        assert "MHaluBench: 6 shots a class where 40 were asked for, all there are, " in (tmp_path / page).read_text()
    assert json.loads((tmp_path / "figure4.json").read_text())["columns"][0]["shots"] == found.columns[0].shots


def test_figures_leave_out_what_has_no_data_and_keep_their_legend(backbone, small, tmp_path):
    from savs.bench.cells import Cells
    from savs.bench.figures import figures
    from savs.bench.runner import Bench, Setting
    from savs.errors import DataError

    def load(name):
        if name == "mhalubench":
            raise DataError("not there")
        return small(name)

    bench = Bench(backbone("llava"), Cells(tmp_path / "cells"), load, Setting(shots=4, draws=2))
    made = recipe("figure4").only(columns=["mhalubench", "vlguard"], methods=["sav"])
    found = measure(bench, made, SETTING, told=lambda _: None)
    for figure in figures(found).values():
        assert [axes.get_title(loc="left") for axes in figure.axes] == ["VLGuard"]
        assert [text.get_text() for legend in figure.legends for text in legend.get_texts()] == ["sav"]
    table = recipe("table1").only(columns=["mhalubench", "vlguard"], methods=["sav"])
    [figure] = figures(measure(bench, table, SETTING, told=lambda _: None)).values()
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["VLGuard"]
