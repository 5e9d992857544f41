"""A study as JSON: `study.json`."""

from pydantic import TypeAdapter

from isthmus.study.kept_json import KeptJson
from isthmus.study.records import StudyResult

SCHEMA_VERSION = 1
STUDY_FILE = "study.json"

_STUDY = KeptJson(
    TypeAdapter(StudyResult),
    STUDY_FILE,
    SCHEMA_VERSION,
    what="the record of a study",
    folder="a search",
    remedy="Run the search's command again: it writes the record anew.",
)
study_to_json, study_from_json = _STUDY.to_json, _STUDY.from_json
write_study, read_study = _STUDY.write, _STUDY.read
