/**
 * `npm run bench`: one JSON document on stdout, the figures with the limits of the machine beside them. `npm run bench --
 * raft` measures the consensus library alone, with `--short` in half a minute and roughly, and with `--profile
 * <directory>` leaves a CPU profile of each replica there.
 */
import { parseArgs } from 'node:util';
import { measureAgents } from './agents.ts';
import { measureMachine, measureNetwork } from './machine.ts';
import { measureRaft, SHORT, WHOLE } from './raft.ts';

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { short: { type: 'boolean' }, profile: { type: 'string' } },
});

const progress = (text: string): void => {
  process.stderr.write(`bench: ${text}\n`);
};

progress('the machine');
const machine = await measureMachine();
const plan = values.short === true ? SHORT : WHOLE;
const nodeArguments = values.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${values.profile}`];
const raft = await measureRaft({ ...plan, nodeArguments }, progress);
const whole = positionals.includes('raft')
  ? {}
  : { network: await measureNetwork(), agents: await measureAgents(progress) };
process.stdout.write(`${JSON.stringify({ machine, raft, ...whole }, null, 2)}\n`);
