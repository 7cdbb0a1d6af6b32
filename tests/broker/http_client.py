"""The admin HTTP of a broker, as a client sees it."""

import http.client
import json

from harness import ANSWER_SECONDS, Broker, free_port


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

    def get(self, target, status=200):
        """What a good answer says."""
        found, _, content = self.http("GET", target)
        assert found == status, (target, found, content)
        return content
