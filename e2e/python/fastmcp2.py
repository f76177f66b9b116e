"""The same on the newest `mcp`, which speaks both eras. The port is the only argument."""

import sys

from mcp.server.mcpserver import MCPServer
from mcp.types import Completion

mcp = MCPServer("my-mcp-server")


@mcp.tool()
def add_numbers(a: int, b: int) -> int:
    """Add two numbers together"""
    return a + b


@mcp.tool()
def multiply_numbers(a: int, b: int) -> int:
    """Multiply two numbers together"""
    return a * b


@mcp.tool()
def greet_user(name: str) -> str:
    """Greet a user by name"""
    return f"Hello, {name}! Nice to meet you."


@mcp.resource("note://today", mime_type="text/plain")
def today() -> str:
    """What is planned today"""
    return "Nothing is planned."


@mcp.resource("note://{day}/tasks", mime_type="text/plain")
def tasks(day: str) -> str:
    """What is to be done on a day"""
    return f"Nothing is to be done on {day}."


@mcp.prompt()
def plan(day: str) -> str:
    """Plan a day"""
    return f"Plan my {day}."


@mcp.completion()
async def complete(ref, argument, context):
    """The days that begin so"""
    return Completion(values=[day for day in ["Monday", "Tuesday"] if day.startswith(argument.value)])


if __name__ == "__main__":
    mcp.run(transport="streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
