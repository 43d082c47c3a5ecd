"""`crimeguard serve` that looks for verdicts twice a second, so that a test need not wait."""

from __future__ import annotations

from functools import partial
from unittest.mock import patch

from crimeguard.cli.app import main
from crimeguard.serve.verdicts import Verdicts

if __name__ == "__main__":
    with patch("crimeguard.serve.app.Verdicts", partial(Verdicts, every=0.5)):
        main()
