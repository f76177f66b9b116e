"""The MCP server of the published experiment: three tools, stateless HTTP, `mcp` 1.x; and more
than tools. The port is the only argument."""

import sys

from mcp.server.fastmcp import FastMCP
from mcp.server.transport_security import TransportSecuritySettings
from mcp.types import Completion

from more import offer

# As printed but for the address: the original listens on 0.0.0.0, where no host names are checked either.
any_host = TransportSecuritySettings(enable_dns_rebinding_protection=False)
mcp = FastMCP(host="127.0.0.1", port=int(sys.argv[1]), stateless_http=True, transport_security=any_host)


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
    mcp.run(transport="streamable-http")
