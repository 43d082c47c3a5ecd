"""The documentation page, made from the OpenAPI document; it loads nothing from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any, Final

from crimeguard.serve.problem import KINDS

_METHODS: Final = ("get", "post", "put", "patch", "delete")


def render(document: Mapping[str, Any]) -> str:
    """Return the whole page as HTML."""
    info = document["info"]
    operations = list(_operations(document))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(info['title'])} API</title>"
        '<link rel="icon" href="data:,"><link rel="stylesheet" href="/docs/docs.css">'
        '<script src="/docs/docs.js" defer></script></head><body>'
        f"<header><h1>{escape(info['title'])} API <small>{escape(info['version'])}</small></h1>"
        f"<p>{escape(info['description'])}</p>"
        '<p>The same as a document: <a href="/openapi.json">/openapi.json</a>.</p>'
        f"{_key_field(document)}{_contents(operations)}</header><main>"
        + "".join(_operation(*operation) for operation in operations)
        + _schemas(document["components"]["schemas"])
        + _problems()
        + "</main></body></html>"
    )


def _key_field(document: Mapping[str, Any]) -> str:
    """Ask for a key where keys are in use; it stays in the page and is kept nowhere."""
    if "securitySchemes" not in document["components"]:
        return ""
    return (
        '<p class="try"><label for="api-key">API key, sent with what is tried on this page'
        '</label><input id="api-key" type="password" autocomplete="off" spellcheck="false"></p>'
    )


def _operations(document: Mapping[str, Any]) -> Iterable[tuple[str, str, Mapping[str, Any]]]:
    for path, item in document["paths"].items():
        for method in _METHODS:
            if method in item:
                yield method, path, item[method]


def _contents(operations: Iterable[tuple[str, str, Mapping[str, Any]]]) -> str:
    links = "".join(
        f'<li><a href="#{_anchor(method, path)}"><code>{method.upper()} {escape(path)}</code></a> '
        f"{escape(operation['summary'])}</li>"
        for method, path, operation in operations
    )
    return f'<nav aria-label="Contents"><ul>{links}</ul></nav>'


def _anchor(method: str, path: str) -> str:
    return escape(f"{method}-{path.strip('/').replace('/', '-')}")


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    anchor = _anchor(method, path)
    paragraphs = operation.get("description", "").split("\n\n")
    return (
        f'<section id="{anchor}"><h2><code class="method">{method.upper()}</code> '
        f"<code>{escape(path)}</code></h2><p><strong>{escape(operation['summary'])}</strong></p>"
        + "".join(f"<p>{_prose(text)}</p>" for text in paragraphs if text)
        + _answers(operation["responses"])
        + _try(anchor, method, path, operation)
        + "</section>"
    )


def _answers(responses: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td>{escape(status)}</td><td>{escape(', '.join(answer.get('content', {})))}</td>"
        f"<td>{escape(answer['description'])}</td></tr>"
        for status, answer in responses.items()
    )
    return (
        "<details><summary>Answers</summary><table><thead><tr><th>Status</th><th>Form</th>"
        f"<th>Meaning</th></tr></thead><tbody>{rows}</tbody></table></details>"
    )


def _try(anchor: str, method: str, path: str, operation: Mapping[str, Any]) -> str:
    content = operation.get("requestBody", {}).get("content", {})
    return (
        f'<form class="try" data-method="{method.upper()}" data-path="{escape(path)}">'
        + "".join(_parameter(anchor, item) for item in operation.get("parameters", ()))
        + _body(anchor, content)
        + '<button type="submit">Send</button><output aria-live="polite"></output>'
        "<pre hidden></pre></form>"
    )


def _parameter(anchor: str, parameter: Mapping[str, Any]) -> str:
    name, place = escape(parameter["name"]), escape(parameter["in"])
    values = parameter["schema"].get("enum")
    identity = f'id="{anchor}-{name}" data-{place}="{name}"'
    if values:
        options = "".join(f"<option>{escape(value)}</option>" for value in values)
        field = f'<select {identity}><option value=""></option>{options}</select>'
    else:
        field = f'<input {identity} value="{escape(parameter.get("example", ""))}">'
    return (
        f'<p><label for="{anchor}-{name}"><code>{name}</code> '
        f"{escape(parameter['description'])}</label>{field}</p>"
    )


def _body(anchor: str, content: Mapping[str, Any]) -> str:
    """Offer every example of a JSON body, and a file where a form is taken."""
    if "application/json" not in content:
        return ""
    examples = list(content["application/json"]["examples"].values())
    texts = [json.dumps(item["value"], indent=2) for item in examples]
    options = "".join(
        f'<option value="{escape(text)}">{escape(item["summary"])}</option>'
        for item, text in zip(examples, texts, strict=True)
    )
    chooser = (
        f'<p><label for="{anchor}-example">Example</label>'
        f'<select id="{anchor}-example" class="example">{options}</select></p>'
        f'<p><label for="{anchor}-body">Body, application/json</label>'
        f'<textarea id="{anchor}-body" rows="{texts[0].count(chr(10)) + 1}" spellcheck="false">'
        f"{escape(texts[0])}</textarea></p>"
    )
    if "multipart/form-data" in content:
        chooser += (
            f'<p><label for="{anchor}-file">Or a file: CSV, CSV.gz or Parquet</label>'
            f'<input id="{anchor}-file" type="file" accept=".csv,.gz,.parquet"></p>'
        )
    return chooser


def _schemas(schemas: Mapping[str, Any]) -> str:
    return "<h2 id='schemas'>Shapes</h2>" + "".join(
        f'<details id="schema-{escape(name)}"><summary><code>{escape(name)}</code></summary>'
        f"<p>{_prose(schema.get('description', ''))}</p>{_properties(schema)}</details>"
        for name, schema in schemas.items()
    )


def _properties(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return f"<p>{', '.join(f'<code>{escape(value)}</code>' for value in schema['enum'])}</p>"
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{_type(item)}</td>"
        f"<td>{_prose(item.get('description', ''))}</td></tr>"
        for name, item in schema.get("properties", {}).items()
    )
    return (
        "<table><thead><tr><th>Field</th><th>Type</th><th>Meaning</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    )


def _type(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#schema-{name}"><code>{name}</code></a>'
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    kinds = schema.get("type", "any")
    return escape(kinds if isinstance(kinds, str) else ", ".join(kinds))


def _problems() -> str:
    rows = "".join(
        f'<tr id="problem-{kind.slug}"><td>{kind.status}</td><td><code>{escape(kind.uri)}</code>'
        f"</td><td><strong>{escape(kind.title)}.</strong> {_prose(kind.meaning)}</td></tr>"
        for kind in KINDS
    )
    return (
        '<h2 id="problems">Errors</h2><p>Every error is a document of type '
        "<code>application/problem+json</code> (RFC 9457). <code>errors</code> points at each "
        "value that is wrong; <code>request_id</code> is also in the header "
        "<code>X-Request-ID</code> and in the server's log.</p><table><thead><tr><th>Status</th>"
        f"<th>Type</th><th>Meaning</th></tr></thead><tbody>{rows}</tbody></table>"
    )


def _prose(text: str) -> str:
    """Escape a text, and set what stands between backticks as code."""
    parts = escape(" ".join(text.split())).split("`")
    return "".join(f"<code>{part}</code>" if at % 2 else part for at, part in enumerate(parts))
