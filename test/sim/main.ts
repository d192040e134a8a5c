/** `npm run sim`: the simulator over the register machine and, in every fifth seed, the real subnet state machine. */
import { runSimulator } from '../../raft/sim/index.ts';
import { subnetWorkload } from './subnet-workload.ts';

/** Its commands cost more than everything else in a run together. */
const SUBNET_EVERY = 5;

await runSimulator(import.meta.url, (seed) => (seed % SUBNET_EVERY === 0 ? subnetWorkload() : {}));
