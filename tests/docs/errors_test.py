"""The reference of errors says of each what the code says, and what to do."""
import re

import documents

ROW = re.compile(r"^\| (-?\d+) \| (\w+) \| (yes|no) \| (.+?) \| (.+) \|$", re.M)
DEFINED = re.compile(r'BROKER_ERROR\((-?\d+), (\w+), (true|false),\s*((?:"[^"]*"\s*)+)\)')


def test_every_error_is_explained_as_the_library_tells_it():
    text = (documents.ROOT / "client" / "broker_errors.def").read_text()
    defined = {(code, name, {"true": "yes", "false": "no"}[again],
                "".join(re.findall(r'"([^"]*)"', sentence)))
               for code, name, again, sentence in DEFINED.findall(text)}
    explained = {row[:4] for row in ROW.findall((documents.ROOT / "client" / "ERRORS.md").read_text())}
    assert len(defined) > 30
    assert explained == defined


def test_links_of_documents_lead_somewhere():
    for path in documents.markdown():
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[\w-]+)?\)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.name}: {target}"
