"""What the embedded model and SAVs can and cannot do: `python -m benchmarks.embedded` writes docs/results/embedded.*.

The tasks, their prompts, the methods and the aims are fixed in this package. Nothing in it is chosen by a score.
"""
