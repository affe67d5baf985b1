#!/usr/bin/env python3
"""Hold a trades Parquet against a suite written by `barflow quality --export-gx`, with Great
Expectations 1.x and pandas, in the versions that barflow is tested with:

    pip install --require-hashes -r deploy/peers/requirements.txt
    python3 deploy/quality/gx_check.py SUITE.json FILE.parquet

One line per expectation. Exit codes: 0 passes (warnings are no reason not to), 1 an expectation of
severity fail or quarantine is broken, 2 wrong usage.
"""

import json
import os
import sys

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
os.environ.setdefault("TQDM_DISABLE", "1")

import great_expectations as gx  # noqa: E402
import pandas as pd  # noqa: E402


def main(arguments):
    if len(arguments) != 2:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    suite_file, data_file = arguments
    with open(suite_file, encoding="utf-8") as file:
        written = json.load(file)
    for expectation in written["expectations"]:
        kwargs = expectation["kwargs"]
        # JSON has no times.
        if kwargs.get("column") == "event_time":
            for bound in ("min_value", "max_value"):
                if bound in kwargs:
                    kwargs[bound] = pd.Timestamp(kwargs[bound])

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    source = context.data_sources.add_pandas("trades")
    batch = (
        source.add_dataframe_asset("trades")
        .add_batch_definition_whole_dataframe("all")
        .get_batch({"dataframe": pd.read_parquet(data_file)})
    )
    suite = gx.ExpectationSuite(
        name=written["name"], expectations=written["expectations"], meta=written["meta"]
    )
    broken = 0
    for result in batch.validate(suite).results:
        config = result.expectation_config
        ours, severity = config.meta["barflow"], config.meta["barflow_severity"]
        if result.exception_info.get("raised_exception", False):
            said = "ERROR " + str(result.exception_info.get("exception_message"))
        elif result.success:
            said = "ok"
        else:
            found = result.result
            said = "BROKEN " + json.dumps(
                {
                    key: found[key]
                    for key in ("unexpected_count", "observed_value", "partial_unexpected_list")
                    if found.get(key) is not None
                },
                default=str,
            )
        if not result.success and severity != "warn":
            broken += 1
        print(f"{ours:18} {severity:10} {config.type:50} {said}")
    for ours, why in written["meta"]["barflow_left_out"].items():
        print(f"{ours:18} left out: {why}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
