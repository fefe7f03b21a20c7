"""`python -m clipper_manager` is the command `clipper-manager`."""

from clipper_manager.app import main

if __name__ == "__main__":
    main()
