"""`python -m clipperctl`."""

from clipperctl.main import main

if __name__ == "__main__":
    main()
