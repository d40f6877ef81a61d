// Runs the GraphQL over HTTP audits against the URL given, and prints one line per audit that fails
// and the counts as JSON on the last line. Exits 1 when one fails.
import { serverAudits } from 'graphql-http';

const counts = { ok: 0, notice: 0, warn: 0, error: 0 };
for (const audit of serverAudits({ url: process.argv[2], fetchFn: fetch })) {
  const result = await audit.fn();
  counts[result.status] += 1;
  if (result.status !== 'ok') console.log(`${result.status} ${result.id} ${result.name}: ${result.reason}`);
}
console.log(JSON.stringify(counts));
process.exit(counts.ok === 61 && counts.notice + counts.warn + counts.error === 0 ? 0 : 1);
