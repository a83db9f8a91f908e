"""`python -m savs`: the command line."""

from savs.cli import main

if __name__ == "__main__":
    main()
