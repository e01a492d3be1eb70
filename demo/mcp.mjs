// An agent's day through a published MCP server for PostgreSQL: the four tools are called by SQL, with nothing of ours between.
// Run by scripts/mcp, which installs that server and the SDK's client:  node mcp.mjs postgresql://...
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";

const [url] = process.argv.slice(2);
const client = new Client({ name: "image_gen-demo", version: "0.1.0" });
await client.connect(
  new StdioClientTransport({ command: "node_modules/.bin/mcp-postgres-full-access", args: [url], stderr: "ignore" }),
);

async function call(name, args) {
  console.log(`-> ${name} ${JSON.stringify(args)}`);
  const answer = await client.callTool({ name, arguments: args });
  const text = answer.content[0].text;
  if (answer.isError) throw new Error(text);
  // The server adds words for people below its JSON.
  return JSON.parse(text.replace(/\n}\n[^]*$/, "\n}"));
}

// One value, read in the server's read-only transaction.
async function ask(sql) {
  const { rows } = await call("execute_query", { sql: `SELECT ${sql} AS answer` });
  console.log(`<- ${JSON.stringify(rows[0].answer)}`);
  return rows[0].answer;
}

await ask("image_gen.get_credits()");
const request = {
  tool: "generate_image",
  arguments: { model: "preview", prompt: "a red fox in snow", width: 512, height: 512, seed: 73104, metadata: { shot: "hero", ticket: "MKT-2241" } },
};
// This server shows no rows of what it writes, and commits when it is told: the id is read afterwards.
const written = await call("execute_dml_ddl_dcl_tcl", { sql: `SELECT image_gen.generate_image('${JSON.stringify(request)}')` });
await call("execute_commit", { transaction_id: written.transaction_id });
const { generations } = await ask(`image_gen.list_recent_generations(1, '{"ticket": "MKT-2241"}')`);
let generation = generations[0];
while (generation.next_poll_ms !== null) {
  await new Promise((resolve) => setTimeout(resolve, generation.next_poll_ms));
  generation = await ask(`image_gen.get_generation('${generation.id}')`);
}
await client.close();
if (generation.status !== "succeeded" || generation.seed !== 73104) throw new Error(JSON.stringify(generation));
console.log(`${generation.id}: ${generation.status}, ${generation.output_url}, ${generation.billed_cost} ${generation.currency}`);
process.exit(0);
