// The four-shot launch by the published TypeScript client of MCP (npm: @modelcontextprotocol/sdk), over a pipe or over HTTP. Run by scripts/agents:
//   node agents.mjs stdio PROGRAM      as the role of the PG... variables
//   node agents.mjs http URL TOKEN
// With ASK=1 it has no budget, and its person says yes to each question (over a pipe: this client asks as the protocol of 2025 has it).
import assert from "node:assert/strict";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { ElicitRequestSchema } from "@modelcontextprotocol/sdk/types.js";

const shots = {
  hero: "matte black over-ear headphones on a brushed concrete plinth",
  lifestyle: "a woman wearing the headphones, a nude statue behind her",
  detail: "macro shot of the ear cushion and hinge",
  social: "headphones hanging in mid-air, room above for a headline",
};
const [way, where, token] = process.argv.slice(2);
const { CAMPAIGN: campaign, ASK } = process.env;
const asks = ASK === "1";
const kept = Object.fromEntries(Object.entries(process.env).filter(([name]) => name.startsWith("PG") || name === "PATH"));
const transport =
  way === "stdio"
    ? new StdioClientTransport({ command: where, args: ["mcp"], env: kept })
    : new StreamableHTTPClientTransport(new URL(where), { requestInit: { headers: { Authorization: `Bearer ${token}` } } });

let asked = 0;
const client = new Client({ name: "image_gen-agents", version: "0.1.0" }, { capabilities: asks ? { elicitation: { form: {} } } : {} });
if (asks) {
  client.setRequestHandler(ElicitRequestSchema, () => {
    asked += 1;
    return { action: "accept", content: { confirm: true } };
  });
}
await client.connect(transport);
console.log(`speaks with ${client.getServerVersion().name}`);
const { tools } = await client.listTools();
assert.equal(tools.length, 14);

// The client holds each answer against the tool's output schema.
async function done(name, args, options) {
  const result = await client.callTool({ name, arguments: args }, undefined, { timeout: 90_000, ...options });
  assert.ok(!result.isError, JSON.stringify(result.content));
  return result;
}

console.log(`available: ${(await done("get_credits", {})).structuredContent.available}`);
const ids = [];
for (const [shot, prompt] of Object.entries(shots)) {
  const metadata = { campaign, shot, ticket: "MKT-2241" };
  const queued = await done("generate_image", {
    prompt, model: "flux-1.1-pro", width: 1024, height: 1024, seed: 73104, metadata, idempotency_key: `${campaign}/${shot}`,
  });
  ids.push(queued.structuredContent.id);
}
let heard = 0;
const result = await done("settle", { ids, wait_seconds: 45 }, { onprogress: () => (heard += 1), resetTimeoutOnProgress: true });
const settled = result.structuredContent;
assert.deepEqual(Object.keys(settled.done).sort(), Object.keys(shots).sort());
assert.deepEqual([settled.failed, settled.pending], [{}, []]);
const kinds = result.content.map((block) => block.type);
assert.deepEqual([kinds.filter((k) => k === "image").length, kinds.filter((k) => k === "resource_link").length], [1, 4]);
const { uri } = result.content.find((block) => block.type === "resource_link");
const { contents } = await client.readResource({ uri });
assert.equal(contents[0].mimeType, "image/jpeg");
console.log(`four images, ${heard} times told of progress, asked ${asked} times; the first has ${contents[0].blob.length} characters of base64`);
assert.equal(asked > 0, asks);
const dear = await client.callTool({ name: "generate_image", arguments: { prompt: "x", model: "flux-1.1-pro", max_cost: 0.001 } });
assert.equal(dear.structuredContent.error.code, "budget_exceeded");
await client.close();
