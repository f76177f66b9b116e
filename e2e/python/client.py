"""The official Python client, told by one JSON argument what to do; prints one JSON report.

{ url, era: legacy|auto|2026-07-28, clientId?, clientMetadataUrl?, redirectUri, scope?, refresh?, everything?, asked?, node, person }
"""

import asyncio
import json
import os
import socket
import ssl
import time
from urllib.parse import parse_qsl, urlencode, urlparse

import httpx2
from mcp import Client, types
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthToken

from told import answer_in, authorize, innermost, metadata, task

report: dict = {}


def answer_for_test_hosts() -> None:
    """Every name below SEKISHO_E2E_DOMAIN is this machine."""
    domain = os.environ.get("SEKISHO_E2E_DOMAIN")
    if not domain:
        return
    real = socket.getaddrinfo

    def getaddrinfo(host, *rest, **options):
        name = host.decode() if isinstance(host, bytes) else host
        if isinstance(name, str) and (name == domain or name.endswith("." + domain)):
            host = "127.0.0.1"
        return real(host, *rest, **options)

    socket.getaddrinfo = getaddrinfo


class Storage:
    """Keeps everything in memory, as a client that was started a moment ago."""

    def __init__(self) -> None:
        self.tokens: OAuthToken | None = None
        self.information: OAuthClientInformationFull | None = None
        if task.get("clientId"):
            self.information = OAuthClientInformationFull(
                client_id=task["clientId"],
                redirect_uris=[task["redirectUri"]],
                token_endpoint_auth_method="none",
                issuer=task.get("issuer"),
            )

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens
        report["tokens"] = tokens.model_dump(mode="json", exclude_none=True)
        report["tokensSaved"] = report.get("tokensSaved", 0) + 1

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.information

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.information = client_info
        report["clientInformation"] = client_info.model_dump(mode="json", exclude_none=True)


callback: dict[str, str] = {}


async def redirect(url: str) -> None:
    if task.get("scope"):
        # The client asks for what the challenge recommends; this test wants something else.
        parts = urlparse(url)
        query = dict(parse_qsl(parts.query), scope=task["scope"])
        url = parts._replace(query=urlencode(query)).geturl()
    report["authorizationUrl"] = url
    report["callback"] = await authorize(url)
    callback.update(answer_in(report["callback"]))


async def come_back() -> AuthorizationCodeResult:
    return AuthorizationCodeResult(code=callback["code"], state=callback.get("state"), iss=callback.get("iss"))


def text_of(result) -> object:
    texts = [part.text for part in result.content if part.type == "text"]
    return {"error": texts} if result.is_error else texts[0]


def answers() -> dict:
    """Answers what servers ask: as a person who is `asked`, and a model that repeats"""
    asked = task.get("asked")
    if not asked:
        return {}

    async def enter(context, params) -> types.ElicitResult:
        report.setdefault("questions", []).append(params.message)
        if asked == "nobody":
            return types.ElicitResult(action="decline")
        return types.ElicitResult(action="accept", content={"day": f"{asked}'s day"})

    async def sample(context, params) -> types.CreateMessageResult:
        content = params.messages[0].content
        heard = (content[0] if isinstance(content, list) else content).text
        said = types.TextContent(type="text", text=f"{asked} hears: {heard}")
        return types.CreateMessageResult(role="assistant", model="echo", content=said)

    async def roots(context) -> types.ListRootsResult:
        return types.ListRootsResult(roots=[types.Root(uri=f"file:///home/{asked}", name="home")])

    return {"elicitation_callback": enter, "sampling_callback": sample, "list_roots_callback": roots}


async def use_everything(client) -> None:
    """Resources, a prompt and completions"""
    report["resources"] = [str(one.uri) for one in (await client.list_resources()).resources]
    templates = (await client.list_resource_templates()).resource_templates
    report["templates"] = [one.uri_template for one in templates]
    report["prompts"] = [one.name for one in (await client.list_prompts()).prompts]
    report["listed"] = (await client.read_resource("note://today")).contents[0].text
    report["templated"] = (await client.read_resource("note://Monday/tasks")).contents[0].text
    prompt = await client.get_prompt(report["prompts"][0], {"day": "Monday"})
    report["prompt"] = prompt.messages[0].content.text
    references = [
        types.PromptReference(type="ref/prompt", name=report["prompts"][0]),
        types.ResourceTemplateReference(type="ref/resource", uri=report["templates"][0]),
    ]
    completed = [await client.complete(one, {"name": "day", "value": "M"}) for one in references]
    report["completed"] = [one.completion.values for one in completed]


async def main() -> None:
    provider = OAuthClientProvider(
        task["url"],
        metadata(),
        Storage(),
        redirect,
        come_back,
        client_metadata_url=task.get("clientMetadataUrl"),
    )
    trust = ssl.create_default_context(cafile=os.environ.get("SSL_CERT_FILE"))
    async with httpx2.AsyncClient(auth=provider, verify=trust, timeout=30) as http:
        transport = streamable_http_client(task["url"], http_client=http)
        async with Client(transport, mode=task["era"], **answers()) as client:
            report["version"] = client.session.protocol_version
            report["tools"] = [tool.name for tool in (await client.list_tools()).tools]

            def named(name: str) -> str:
                return next((tool for tool in report["tools"] if tool == name or tool.endswith("___" + name)), name)

            async def call(name: str, arguments: dict) -> object:
                return text_of(await client.call_tool(named(name), arguments))

            if task.get("asked"):
                together = [call("book", {}), call("sum_up", {"what": "all"}), call("where", {})]
                report["booked"], report["summedUp"], report["where"] = await asyncio.gather(*together)
                return
            if task.get("everything"):
                await use_everything(client)
            report["sum"] = await call("add_numbers", {"a": 2, "b": 3})
            report["product"] = await call("multiply_numbers", {"a": 2, "b": 3})
            report["greeting"] = await call("greet_user", {"name": "Alice"})
            if task.get("refresh"):
                before = provider.context.current_tokens
                # As if the access token's time were over; what remains is the refresh token.
                provider.context.token_expiry_time = time.time() - 1
                report["sumAfterRefresh"] = await call("add_numbers", {"a": 20, "b": 3})
                after = provider.context.current_tokens
                report["refreshed"] = {
                    "access": after.access_token != before.access_token,
                    "refresh": after.refresh_token != before.refresh_token,
                }


if __name__ == "__main__":
    answer_for_test_hosts()
    try:
        asyncio.run(main())
    except BaseException as error:  # noqa: BLE001 - the report tells it
        cause = innermost(error)
        report["error"] = {"name": type(cause).__name__, "message": str(cause)}
    print(json.dumps(report))
