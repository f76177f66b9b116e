"""The same on the newest `mcp`, which asks in both eras. The port is the only argument."""

import sys
from typing import Annotated

from mcp.server.mcpserver import Elicit, ElicitationResult, ListRoots, MCPServer, Resolve, Sample
from mcp.types import CreateMessageResult, ListRootsResult, SamplingMessage, TextContent
from pydantic import BaseModel

mcp = MCPServer("asking")


class Day(BaseModel):
    day: str


def ask_day():
    return Elicit("Which day?", Day)


def ask_model(what: str):
    return Sample([SamplingMessage(role="user", content=TextContent(type="text", text=f"Sum up: {what}"))], max_tokens=50)


def ask_roots():
    return ListRoots()


@mcp.tool()
async def book(chosen: Annotated[ElicitationResult[Day], Resolve(ask_day)]) -> str:
    """Books a day that a person chooses"""
    return f"{chosen.action}: {chosen.data.day if chosen.action == 'accept' else 'none'}"


@mcp.tool()
async def sum_up(what: str, said: Annotated[CreateMessageResult, Resolve(ask_model)]) -> str:
    """Has the client's model sum up"""
    return said.content.text


@mcp.tool()
async def where(found: Annotated[ListRootsResult, Resolve(ask_roots)]) -> str:
    """Says where the client works"""
    return ",".join(str(root.uri) for root in found.roots)


if __name__ == "__main__":
    mcp.run(transport="streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
