"""`python -m aiocloudmap`."""

from aiocloudmap.cli import main

if __name__ == "__main__":
    main()
