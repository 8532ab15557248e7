"""python -m chronofacts, where the program `chronofacts` is not on the path."""

from chronofacts.flows.program import main

if __name__ == "__main__":
    main()
