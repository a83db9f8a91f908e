"""Rules of selection and voting on the features of a real pretrained model: text tasks on SmolLM2-135M-Instruct."""
