"""What is asked: examples, the tasks they belong to, the files they come from. No torch, no model names."""
