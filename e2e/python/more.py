"""What a server has besides tools, the same on every generation of `mcp`."""


def offer(mcp, Completion):
    """Gives a server resources, a prompt and completions"""

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
