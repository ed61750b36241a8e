"""`python -m ltgc_cli` is `ltgc`."""

from ltgc_cli.cli import main

if __name__ == "__main__":
    main()
