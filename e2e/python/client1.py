"""The official Python client, `mcp` 1.x; see e2e/js/library.mjs for how it is talked to.

{ url, clientMetadataUrl?, redirectUri, node, person }
"""

import asyncio
import json
import sys

from mcp import ClientSession
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamablehttp_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken

from told import answer_in, authorize, innermost, metadata, task

opened: list[str] = []
callback: dict[str, str] = {}


class Storage:
    """Keeps everything in memory, as a client that was started a moment ago."""

    tokens: OAuthToken | None = None
    information: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.information

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.information = client_info


async def redirect(url: str) -> None:
    opened.append(url)
    callback.update(answer_in(await authorize(url)))


async def come_back() -> tuple[str, str | None]:
    return callback["code"], callback.get("state")


async def main() -> None:
    storage = Storage()
    provider = OAuthClientProvider(
        task["url"],
        metadata(),
        storage,
        redirect,
        come_back,
        client_metadata_url=task.get("clientMetadataUrl"),
    )

    def say(**report: object) -> None:
        print(json.dumps({**report, "accessToken": storage.tokens.access_token, "opened": opened}), flush=True)

    async with streamablehttp_client(task["url"], auth=provider) as (read, write, _):
        async with ClientSession(read, write) as session:
            await session.initialize()
            say(tools=[tool.name for tool in (await session.list_tools()).tools])
            while line := await asyncio.to_thread(sys.stdin.readline):
                result = await session.call_tool("my-mcp-server___add_numbers", json.loads(line))
                say(sum=next(part.text for part in result.content if part.type == "text"))


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except BaseException as error:  # noqa: BLE001 - the test is told
        cause = innermost(error)
        print(json.dumps({"error": f"{type(cause).__name__}: {cause}"}), flush=True)
