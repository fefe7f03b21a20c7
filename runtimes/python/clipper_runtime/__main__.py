"""`python -m clipper_runtime`."""

from clipper_runtime.app import main

if __name__ == "__main__":
    main(prog_name="python -m clipper_runtime")
