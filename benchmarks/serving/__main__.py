"""Our API beside others: the same model, machine, incidents and load tool.

    python -m benchmarks.serving                      # trains a model first, some minutes
    python -m benchmarks.serving --bundle BUNDLE --json figures.json
    python -m benchmarks.serving --bundle BUNDLE --only crimeguard noop --rounds 1

Every round starts each contender in turn, in another order, warms it up, and asks it from 1,
8 and 64 clients; a client waits for its answer before it asks again. Printed are medians
over the rounds; a ratio is the median of the ratios of the rounds, each of them taken within
minutes on the same machine. No ratio is printed where a request failed.

The contender that ratios are taken to is `noop`, a FastAPI app with pydantic models in and
out that computes nothing: it is what the framework costs a user who writes the same API with
care. `noop-raw` validates nothing and writes a constant; it is shown so that nobody has to
guess what the models cost. Needs wrk (apt-get install wrk).
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.serving import batch, model, table
from benchmarks.serving.contenders import Contender, contenders
from benchmarks.serving.incidents import records
from benchmarks.serving.process import NotUpError
from benchmarks.serving.rounds import Round, run_round
from benchmarks.serving.wrk import require_wrk

CLIENTS = (1, 8, 64)


def main(arguments: Sequence[str] | None = None) -> None:
    chosen = _options(arguments)
    require_wrk()
    # Being told to end leaves no server behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))
    print(table.machine(), file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="serving-") as folder:
        work = Path(folder)
        bundle = chosen.bundle.resolve() if chosen.bundle else model.trained(work)
        entered, absent = _entered(contenders(bundle, work, chosen.workers), chosen.only)
        rounds = _measured(entered, absent, work, chosen)
        batches = [] if chosen.no_batch else batch.measure(bundle, work, chosen.batch_rows)
    report = table.report(rounds, entered, batches, absent, bundle=bundle.name,
                          seconds=chosen.seconds)  # fmt: skip
    print(table.text(report))
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(report, indent=1) + "\n")


def _measured(
    entered: Sequence[Contender], absent: dict[str, str], work: Path, chosen: argparse.Namespace
) -> list[Round]:
    """Run all rounds; who does not come up is left out from then on."""
    asked = records(chosen.incidents)
    rounds: list[Round] = []
    for number in range(chosen.rounds):
        turn = number % max(1, len(entered))
        for contender in (*entered[turn:], *entered[:turn]):
            if contender.name in absent:
                continue
            print(f"round {number + 1}: {contender.name}", file=sys.stderr)
            try:
                rounds.append(run_round(contender, number, asked, work, clients=chosen.clients,
                                        seconds=chosen.seconds, warm=chosen.warm))  # fmt: skip
            except NotUpError as error:
                absent[contender.name] = "it did not come up"
                print(f"  it did not come up:\n{error}", file=sys.stderr)
                continue
            print(table.line(rounds[-1]), file=sys.stderr)
    return [found for found in rounds if found.contender not in absent]


def _entered(
    known: dict[str, Contender], only: Sequence[str]
) -> tuple[list[Contender], dict[str, str]]:
    """Return those who take part, and those who are not installed with the remedy."""
    unknown = set(only) - known.keys()
    if unknown:
        raise SystemExit(f"{', '.join(sorted(unknown))}: choose from {', '.join(known)}.")
    chosen = [one for one in known.values() if not only or one.name in only]
    absent = {one.name: f"not installed; {one.missing}" for one in chosen if one.missing}
    for name, why in absent.items():
        print(f"{name}: {why}", file=sys.stderr)
    return [one for one in chosen if not one.missing], absent


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serving", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--bundle", type=Path, help="serve this model; else one is trained")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10, help="of each measurement")
    parser.add_argument("--warm", type=float, default=3, help="seconds before the first")
    parser.add_argument("--clients", type=int, nargs="+", default=list(CLIENTS))
    parser.add_argument("--workers", type=int, default=1,
                        help="with 2, ours and the no-op also with so many workers")  # fmt: skip
    parser.add_argument("--only", nargs="+", default=[], help="names of contenders")
    parser.add_argument("--incidents", type=int, default=500, help="different requests")
    parser.add_argument("--batch-rows", type=int, default=100_000)
    parser.add_argument("--no-batch", action="store_true")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
