"""The admin HTTP of a broker, as a client sees it.

What /v1 answers is compared with the OpenAPI document that the broker serves."""

import functools
import http.client
import json

from harness import ANSWER_SECONDS, Broker, free_port


TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}


def fits_type(name, value):
    return isinstance(value, TYPES[name]) and (name == "boolean" or not isinstance(value, bool))


def misfits(schema, value, schemas, where="answer"):
    """What of `value` is not as the schema says: of JSON Schema as much as our document has."""
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        tries = [misfits(one, value, schemas, where) for one in schema["anyOf"]]
        return [] if [] in tries else tries[0]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{where}: {value!r} is none of {schema['enum']}"]
    if "const" in schema and value != schema["const"]:
        return [f"{where}: {value!r} is not {schema['const']!r}"]
    types = schema.get("type", list(TYPES))
    if not any(fits_type(name, value) for name in ([types] if isinstance(types, str) else types)):
        return [f"{where}: {value!r} is no {types}"]
    found = []
    if isinstance(value, dict):
        known = schema.get("properties", {})
        other = schema.get("additionalProperties", True)
        found += [f"{where}: no {name}" for name in schema.get("required", []) if name not in value]
        for name, part in value.items():
            rule = known.get(name, other)
            if rule is False:
                found.append(f"{where}: {name} is not in the document")
            elif rule is not True:
                found += misfits(rule, part, schemas, f"{where}.{name}")
    if isinstance(value, list):
        for index, part in enumerate(value):
            found += misfits(schema.get("items", {}), part, schemas, f"{where}[{index}]")
    return found


class HttpBroker(Broker):
    """A broker with an admin HTTP at a free port."""

    def __init__(self, **options):
        self.admin_port = free_port()
        settings = {"admin.listen": f"127.0.0.1:{self.admin_port}", **options.pop("settings", {})}
        super().__init__(settings=settings, **options)

    def http(self, method, target, body=None, headers=None):
        """(status, headers, what the body says)"""
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.admin_port, timeout=ANSWER_SECONDS
        )
        fields = dict(headers or {})
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            fields.setdefault("Content-Type", "application/json")
        try:
            connection.request(method, target, body, fields)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        kind = answer.headers.get("Content-Type", "")
        is_json = content and kind.split(";")[0].endswith("json")
        return answer.status, answer.headers, json.loads(content) if is_json else content

    def get(self, target):
        return self.api("GET", target)

    def api(self, method, target, body=None, status=200):
        """What the answer says, which has this status and is as the document has it."""
        found, headers, content = self.http(method, target, body)
        assert found == status, (method, target, found, content)
        if target.startswith("/v1/openapi"):
            return content
        operation = self._operation(method, target)
        if status >= 400:
            assert headers["Content-Type"] == "application/problem+json"
            schema = {"$ref": "#/components/schemas/Problem"}
        elif "content" not in operation["responses"][str(status)]:
            return content
        else:
            schema = operation["responses"][str(status)]["content"]["application/json"]["schema"]
        assert misfits(schema, content, self.document["components"]["schemas"]) == []
        return content

    @functools.cached_property
    def document(self):
        return self.api("GET", "/v1/openapi.json")

    def _operation(self, method, target):
        words = target.partition("?")[0].split("/")
        for path, operations in self.document["paths"].items():
            parts = path.split("/")
            if len(parts) == len(words) and all(
                part == word or part.startswith("{") for part, word in zip(parts, words)
            ):
                return operations[method.lower()]
        raise AssertionError(f"the document has no {target}")
