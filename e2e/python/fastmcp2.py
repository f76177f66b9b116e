"""The same on the newest `mcp`, which speaks both eras. The port is the only argument."""

import sys

from mcp.server.mcpserver import MCPServer
from mcp.types import Completion

from more import offer

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


offer(mcp, Completion)

if __name__ == "__main__":
    mcp.run(transport="streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
