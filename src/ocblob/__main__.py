"""`python -m ocblob`."""

from ocblob.cli import main

if __name__ == "__main__":
    main()
