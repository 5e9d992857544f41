"""A report's bundle as JSON: `report_bundle.json`."""

from pydantic import TypeAdapter

from isthmus.report.story.bundle import ReportBundle
from isthmus.study.kept_json import KeptJson

SCHEMA_VERSION = 1
BUNDLE_FILE = "report_bundle.json"

_BUNDLE = KeptJson(
    TypeAdapter(ReportBundle),
    BUNDLE_FILE,
    SCHEMA_VERSION,
    what="all that a report shows",
    folder="a report",
    remedy="Run `isthmus report` again: it writes the bundle anew.",
    indent=None,
)
bundle_to_json, bundle_from_json = _BUNDLE.to_json, _BUNDLE.from_json
write_bundle, read_bundle = _BUNDLE.write, _BUNDLE.read
