"""What both generations of the Python client do alike: they are told a task, say who they are, and send a person to a browser."""

import asyncio
import json
import subprocess
import sys
from urllib.parse import parse_qs, urlparse

from mcp.shared.auth import OAuthClientMetadata

task = json.loads(sys.argv[1])


def metadata() -> OAuthClientMetadata:
    return OAuthClientMetadata(
        client_name="a client that nobody registered",
        redirect_uris=[task["redirectUri"]],
        grant_types=["authorization_code", "refresh_token"],
        response_types=["code"],
        token_endpoint_auth_method="none",
    )


async def authorize(url: str) -> str:
    """Follows an authorization URL to the client's redirect URI; see e2e/js/person.mjs."""
    command = [task["node"], task["person"], url]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())
    return done.stdout.strip()


def answer_in(callback: str) -> dict[str, str]:
    """The parameters of an authorization response; an error is raised."""
    answer = {name: values[0] for name, values in parse_qs(urlparse(callback).query).items()}
    if "error" in answer:
        raise RuntimeError(f"{answer['error']}: {answer.get('error_description', '')}")
    return answer


def innermost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
