# /// script
# requires-python = ">=3.11"
# dependencies = ["mcp>=2.3,<3"]
# ///
"""The official Python client against a gateway: logs in with the browser and calls a tool of the demonstration.

    uv run examples/client.py http://127.0.0.1:8480/mcp --client-id http://127.0.0.1:8480/oauth/client-metadata.json

Without uv: `pip install "mcp>=2.3,<3"` and `python examples/client.py …`.
"""

import argparse
import asyncio
import http.server
import os
import ssl
import threading
import webbrowser
from urllib.parse import parse_qs, urlparse

import httpx2
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata

REDIRECT_URI = "http://127.0.0.1:6274/oauth/callback"


class Memory:
    """Keeps tokens until the end of the program."""

    def __init__(self, client_id: str) -> None:
        self.tokens = None
        # The client is known by the URL of its metadata document; nobody registered it.
        self.client = OAuthClientInformationFull(
            client_id=client_id, redirect_uris=[REDIRECT_URI], token_endpoint_auth_method="none"
        )

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens) -> None:
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client_info) -> None:
        self.client = client_info


class Callback(http.server.BaseHTTPRequestHandler):
    """The page to which the browser comes back."""

    def do_GET(self) -> None:
        address = urlparse(self.path)
        if address.path != urlparse(REDIRECT_URI).path:
            self.send_error(404)
            return
        self.server.answer = {name: values[0] for name, values in parse_qs(address.query).items()}
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.end_headers()
        self.wfile.write(b"Done. You can close this window.\n")
        self.server.came_back.set()

    def log_message(self, *_) -> None:
        pass


async def main() -> None:
    parser = argparse.ArgumentParser(description="Log in and call a tool.")
    parser.add_argument("url", help="the MCP endpoint")
    parser.add_argument("--client-id", required=True, help="the URL of the client metadata document")
    options = parser.parse_args()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", urlparse(REDIRECT_URI).port), Callback)
    server.came_back = threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()

    async def open_browser(url: str) -> None:
        print(f"Log in here: {url}")
        webbrowser.open(url)

    async def wait_for_browser() -> AuthorizationCodeResult:
        await asyncio.to_thread(server.came_back.wait)
        if "error" in server.answer:
            raise SystemExit(f"refused: {server.answer['error']}: {server.answer.get('error_description', '')}")
        answer = server.answer
        return AuthorizationCodeResult(code=answer["code"], state=answer.get("state"), iss=answer.get("iss"))

    metadata = OAuthClientMetadata(
        redirect_uris=[REDIRECT_URI],
        grant_types=["authorization_code", "refresh_token"],
        response_types=["code"],
        token_endpoint_auth_method="none",
    )
    provider = OAuthClientProvider(options.url, metadata, Memory(options.client_id), open_browser, wait_for_browser)
    trust = ssl.create_default_context(cafile=os.environ.get("SSL_CERT_FILE"))
    async with httpx2.AsyncClient(auth=provider, verify=trust, timeout=300) as web:
        async with Client(streamable_http_client(options.url, http_client=web)) as client:
            tools = [tool.name for tool in (await client.list_tools()).tools]
            print("Tools:", ", ".join(tools))
            add = next(name for name in tools if name.endswith("add_numbers"))
            result = await client.call_tool(add, {"a": 2, "b": 3})
            print("2 + 3 =", result.content[0].text)


if __name__ == "__main__":
    asyncio.run(main())
