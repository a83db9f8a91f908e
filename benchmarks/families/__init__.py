"""The support matrix: every model type of transformers, built tiny from its real classes and put through savs."""
