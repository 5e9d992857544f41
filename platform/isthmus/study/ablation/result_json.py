"""An ablation's result as JSON: `result.json`."""

from pydantic import TypeAdapter

from isthmus.study.ablation.findings import AblationResult
from isthmus.study.kept_json import KeptJson

SCHEMA_VERSION = 1
RESULT_FILE = "result.json"

_RESULT = KeptJson(
    TypeAdapter(AblationResult),
    RESULT_FILE,
    SCHEMA_VERSION,
    what="the result of an ablation",
    folder="an ablation",
    remedy="Run the ablation's command again: it writes the result anew.",
)
result_to_json, result_from_json = _RESULT.to_json, _RESULT.from_json
write_result, read_result = _RESULT.write, _RESULT.read
