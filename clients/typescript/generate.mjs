// Writes src/schema.ts from ../openapi.json, offline.
import { readFile, writeFile } from "node:fs/promises";
import openapiTS, { astToString } from "openapi-typescript";

const schema = JSON.parse(await readFile(new URL("../openapi.json", import.meta.url), "utf8"));
// A field of a request that has a default may be left out.
const types = await openapiTS(schema, { defaultNonNullable: false });
await writeFile(new URL("src/schema.ts", import.meta.url), `// Generated from openapi.json.\n\n${astToString(types)}`);
