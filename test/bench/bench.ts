/**
 * `npm run bench`: one JSON document on stdout, the figures with the limits of the machine beside them. `npm run bench --
 * raft` measures the consensus library alone, `npm run bench -- dataplane` routes, paths and agents alone; with `--short`
 * in a minute and roughly. With `--profile <directory>` each replica of the consensus library leaves a CPU profile there.
 */
import { parseArgs } from 'node:util';
import { measureAgents } from './agents.ts';
import { measureDataPlane, SHORT_DATA_PLANE, WHOLE_DATA_PLANE } from './dataplane.ts';
import { measureMachine, measureNetwork } from './machine.ts';
import { measureRaft, SHORT, WHOLE } from './raft.ts';

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { short: { type: 'boolean' }, profile: { type: 'string' } },
});

const progress = (text: string): void => {
  process.stderr.write(`bench: ${text}\n`);
};
const isShort = values.short === true;
const isAsked = (part: string): boolean => positionals.length === 0 || positionals.includes(part);

progress('the machine');
const machine = await measureMachine();
const nodeArguments = values.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${values.profile}`];
const raft = isAsked('raft')
  ? { raft: await measureRaft({ ...(isShort ? SHORT : WHOLE), nodeArguments }, progress) }
  : {};
const network = isAsked('dataplane') ? { network: await measureNetwork() } : {};
const agents = isAsked('agents') ? { agents: await measureAgents(progress) } : {};
const dataPlane = isAsked('dataplane')
  ? { dataPlane: await measureDataPlane(isShort ? SHORT_DATA_PLANE : WHOLE_DATA_PLANE, progress) }
  : {};
process.stdout.write(
  `${JSON.stringify({ machine, ...raft, ...network, ...agents, ...dataPlane }, null, 2)}\n`,
);
