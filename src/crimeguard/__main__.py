"""`python -m crimeguard` is `crimeguard`."""

from crimeguard.cli import main

main()
