"""A FastMCP server with sessions, `mcp` 1.x, whose tools ask the client in mid-call. The arguments are the port and
the transport, `sse` for HTTP+SSE."""

import sys

from mcp.server.fastmcp import Context, FastMCP
from mcp.types import SamplingMessage, TextContent
from pydantic import BaseModel

mcp = FastMCP("asking", host="127.0.0.1", port=int(sys.argv[1]))


class Day(BaseModel):
    day: str


@mcp.tool()
async def book(ctx: Context) -> str:
    """Books a day that a person chooses"""
    chosen = await ctx.elicit(message="Which day?", schema=Day)
    return f"{chosen.action}: {chosen.data.day if chosen.action == 'accept' else 'none'}"


@mcp.tool()
async def sum_up(what: str, ctx: Context) -> str:
    """Has the client's model sum up"""
    message = SamplingMessage(role="user", content=TextContent(type="text", text=f"Sum up: {what}"))
    said = await ctx.session.create_message(messages=[message], max_tokens=50, related_request_id=ctx.request_id)
    return said.content.text


@mcp.tool()
async def where(ctx: Context) -> str:
    """Says where the client works"""
    return ",".join(str(root.uri) for root in (await ctx.session.list_roots()).roots)


if __name__ == "__main__":
    mcp.run(transport=sys.argv[2] if len(sys.argv) > 2 else "streamable-http")
