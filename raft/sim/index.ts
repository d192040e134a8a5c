/**
 * The simulator, for users of the library: their state machine on the real core, on simulated networks, disks and clocks,
 * with every rule of Raft checked at every step. `simulate` runs one seed, `runSimulator` is a whole program.
 */
export { runSimulator, type Workload } from './command-line.ts';
export { check, ViolationError } from './facts.ts';
export { Random } from './random.ts';
export type { SimulatedProcess } from './replica.ts';
export type { Report } from './report.ts';
export { type SimulationOptions, type SimulationResult, simulate, type Violation } from './run.ts';
export type { SwarmParameters } from './swarm.ts';
