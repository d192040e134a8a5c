/** `npm run bench`: one JSON document on stdout, the figures with the limits of the machine beside them. */
import { measureAgents } from './agents.ts';
import { measureMachine } from './machine.ts';

const progress = (text: string): void => {
  process.stderr.write(`bench: ${text}\n`);
};

progress('the machine');
const machine = await measureMachine();
const agents = await measureAgents(progress);
process.stdout.write(`${JSON.stringify({ machine, agents }, null, 2)}\n`);
