"""Runs the frontend: python -m clipper_frontend."""

from clipper_frontend.app import main

main()
