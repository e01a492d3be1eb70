"""The four-shot launch by the published Python client of MCP (PyPI: mcp), over a pipe or over HTTP. Run by scripts/agents:
    agents.py stdio PROGRAM      as the role of the PG... variables
    agents.py http URL TOKEN
With ASK=1 it has no budget, and its person says yes to each question."""

import asyncio
import os
import sys

import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp_types import ElicitResult

SHOTS = {
    "hero": "matte black over-ear headphones on a brushed concrete plinth",
    "lifestyle": "a woman wearing the headphones, a nude statue behind her",
    "detail": "macro shot of the ear cushion and hinge",
    "social": "headphones hanging in mid-air, room above for a headline",
}
CAMPAIGN = os.environ["CAMPAIGN"]
asked = []


async def say_yes(context, params):
    asked.append(params.message)
    return ElicitResult(action="accept", content={"confirm": True})


async def done(client, tool, arguments, **more):
    result = await client.call_tool(tool, arguments, **more)
    assert not result.is_error, (tool, result.content)
    return result


async def launch(server):
    asks = os.environ.get("ASK") == "1"
    async with Client(server, elicitation_callback=say_yes if asks else None, read_timeout_seconds=90) as client:
        print(f"speaks {client.protocol_version} with {client.server_info.name}")
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert len(tools) == 14, sorted(tools)
        assert tools["get_credits"].annotations.read_only_hint and not tools["generate_image"].annotations.read_only_hint
        credits = (await done(client, "get_credits", {})).structured_content
        print(f"available: {credits['available']}")
        ids = []
        for shot, prompt in SHOTS.items():
            metadata = {"campaign": CAMPAIGN, "shot": shot, "ticket": "MKT-2241"}
            queued = await done(client, "generate_image", {"prompt": prompt, "model": "flux-1.1-pro", "width": 1024, "height": 1024, "seed": 73104,
                                                           "metadata": metadata, "idempotency_key": f"{CAMPAIGN}/{shot}"})
            ids.append(queued.structured_content["id"])
        heard = []

        async def progress(value, total, message):
            heard.append(value)

        result = await done(client, "settle", {"ids": ids, "wait_seconds": 45}, progress_callback=progress)
        settled = result.structured_content
        assert sorted(settled["done"]) == sorted(SHOTS) and not settled["failed"] and not settled["pending"], settled
        kinds = [block.type for block in result.content]
        assert kinds.count("image") == 1 and kinds.count("resource_link") == 4, kinds
        link = next(block for block in result.content if block.type == "resource_link")
        contents = (await client.read_resource(str(link.uri))).contents
        assert contents[0].mime_type == "image/jpeg" and len(contents[0].blob) > 1000
        print(f"four images, {len(heard)} times told of progress, asked {len(asked)} times; the first has {len(contents[0].blob)} characters of base64")
        assert bool(asked) == asks, asked
        # A budget that has no room says so, and what is wrong is said to the model.
        dear = await client.call_tool("generate_image", {"prompt": "x", "model": "flux-1.1-pro", "max_cost": 0.001})
        assert dear.is_error and dear.structured_content["error"]["code"] == "budget_exceeded", dear


async def main():
    if sys.argv[1] == "stdio":
        keep = {name: value for name, value in os.environ.items() if name.startswith("PG") or name == "PATH"}
        await launch(StdioServerParameters(command=sys.argv[2], args=["mcp"], env=keep))
    else:
        async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {sys.argv[3]}"}, timeout=90) as http:
            await launch(streamable_http_client(sys.argv[2], http_client=http))


asyncio.run(main())
