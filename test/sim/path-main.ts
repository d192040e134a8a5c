/** `node dist/test/sim/path-main.js <first seed> <seeds>`: the paths of a host in worlds from seeds; what breaks a rule is printed. */
import { PathTable } from '../../src/path/path-table.ts';
import { PathWorld } from './path-world.ts';

const SECONDS = 120;
const [first = 1, count = 100] = process.argv.slice(2).map(Number);
const sums = { seeds: 0, violations: 0, leaves: 0, returns: 0, falseLeaves: 0, probes: 0 };
for (let seed = first; seed < first + count; seed++) {
  const run = new PathWorld((random, nowMs) => new PathTable(random, nowMs), seed).run(SECONDS);
  sums.seeds++;
  sums.leaves += run.leaves;
  sums.returns += run.returns;
  sums.falseLeaves += run.falseLeaves;
  sums.probes += run.probes;
  if (run.violation === null) continue;
  sums.violations++;
  process.stdout.write(`${run.violation}\n`);
}
process.stdout.write(`${JSON.stringify(sums)}\n`);
