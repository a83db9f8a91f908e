"""One column of the paper's table 1: shots from its training part, SAVs on them, the score on its test part.

Run as `python examples/benchmark_column.py pets DATA_ROOT --model Qwen/Qwen2-VL-7B-Instruct`; DATA_ROOT/pets holds the
data, and without DATA_ROOT they come from the Hub. `savs bench` does this for all columns, methods and draws.
"""

import argparse
from statistics import mean

import savs
from savs.backbones.base import Backbone
from savs.data.benchmarks import Benchmark, load_benchmark


def score(benchmark: Benchmark, backbone: Backbone, shots: int, seed: int) -> savs.Report:
    """Fit on one draw of shots and judge on the test part."""
    drawn, _ = savs.sample_shots(benchmark.train, shots, seed)
    model = savs.SAVModel.fit(backbone, drawn, task=benchmark.task)
    return savs.evaluate(
        benchmark.test,
        model.predict(benchmark.test),
        metric=benchmark.task.metric,
        classes=model.classes,
        positive=benchmark.task.positive,
    )


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("column")
parser.add_argument("data_root", nargs="?")
parser.add_argument("--model", default="demo")
parser.add_argument("--shots", type=int, default=20)
parser.add_argument("--seed", type=int, default=0)
arguments = parser.parse_args()

benchmark = load_benchmark(arguments.column, arguments.data_root)
backbone = savs.load_backbone(arguments.model)
print(
    f"{arguments.column}: {benchmark.source}, {len(benchmark.train):,} to draw from, {len(benchmark.test):,} to answer"
)
for leak in benchmark.leaks:
    print(f"warning: {leak}")
reports = {name: score(part, backbone, arguments.shots, arguments.seed) for name, part in benchmark.by_part()}
for name, report in reports.items():
    value = report.score
    print(
        f"{name}: {100 * value.value:.1f} ({100 * value.low:.1f} to {100 * value.high:.1f}) on {report.n:,}; "
        f"always {report.majority_class!r}: {100 * report.majority_accuracy:.1f}"
    )
if len(reports) > 1:
    print(f"mean of {len(reports)} parts: {100 * mean(report.score.value for report in reports.values()):.1f}")
