/**
 * Looks for mutants: `node dist/test/mutants/hunt.js <first seed> <seeds> [<part> <parts> [<name>]]`. Copies the compiled
 * library, plants one mistake in the copy, runs its simulator seed by seed until a rule is broken, and prints what it found,
 * a line of JSON for each. The seed that found a mutant is run without it as well: what it found is the mistake and nothing else.
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Random } from '../../raft/sim/random.ts';
import type { SimulationOptions, SimulationResult } from '../../raft/sim/run.ts';
import { drawSwarm } from '../../raft/sim/swarm.ts';
import { MUTANTS, type Mutant } from './mutants.ts';
import { SWARMS } from './swarms.ts';
import { WIRES } from './wires.ts';

export interface Catch {
  readonly name: string;
  /** How many seeds it took; null when all were clean. */
  readonly seeds: number | null;
  /** The rule that was broken. */
  readonly rule: string;
  /** What the same seed breaks without the mutant: null when nothing. */
  readonly control: string | null;
}

const TICKS = 600;
const library = fileURLToPath(new URL('../../raft/', import.meta.url));

type Simulate = (options: SimulationOptions) => SimulationResult;

async function loadCopy(directory: string, mutant: Mutant | null): Promise<Simulate> {
  cpSync(library, join(directory, 'raft'), {
    recursive: true,
    filter: (path) => !/\.(d\.ts|map)$/.test(path),
  });
  writeFileSync(join(directory, 'package.json'), '{"type":"module"}');
  if (mutant !== null) {
    const path = join(directory, 'raft', mutant.file);
    const text = readFileSync(path, 'utf8');
    const places = text.split(mutant.find).length - 1;
    if (places !== 1) throw new Error(`${mutant.file} has ${places} places for "${mutant.name}"`);
    writeFileSync(
      path,
      text.replace(mutant.find, () => mutant.replace),
    );
  }
  const { simulate } = await import(pathToFileURL(join(directory, 'raft/sim/run.js')).href);
  return simulate;
}

/** The rule that this seed breaks, or null. What crashes is caught too. */
function broken(simulate: Simulate, seed: number, mutant: Mutant): string | null {
  const swarm = mutant.swarm === undefined ? {} : SWARMS[mutant.swarm](drawSwarm(new Random(seed)));
  const tampering = mutant.wire === undefined ? {} : WIRES[mutant.wire]();
  try {
    const { violation } = simulate({ seed, ticks: TICKS, swarm, tampering });
    return violation === null ? null : (violation.message.split('\n')[0] ?? violation.rule);
  } catch (error) {
    return String(error);
  }
}

/** Runs without any mistake. A seed that several mutants need is run once. */
class Control {
  readonly #simulate: Simulate;
  readonly #known = new Map<string, string | null>();

  constructor(simulate: Simulate) {
    this.#simulate = simulate;
  }

  broken(seed: number, mutant: Mutant): string | null {
    const key = JSON.stringify([seed, mutant.swarm, mutant.wire]);
    let rule = this.#known.get(key);
    if (rule === undefined) {
      rule = broken(this.#simulate, seed, mutant);
      this.#known.set(key, rule);
    }
    return rule;
  }
}

async function hunt(mutant: Mutant, first: number, count: number, control: Control): Promise<Catch> {
  const directory = mkdtempSync(join(tmpdir(), 'raft-mutant-'));
  try {
    const simulate = await loadCopy(directory, mutant);
    const { name } = mutant;
    for (let seeds = 1; seeds <= count; seeds++) {
      const seed = first + seeds - 1;
      const rule = broken(simulate, seed, mutant);
      if (rule !== null) return { name, seeds, rule, control: control.broken(seed, mutant) };
    }
    return { name, seeds: null, rule: 'none', control: null };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

async function main(): Promise<void> {
  const [first = 1, count = 500, part = 0, parts = 1] = process.argv.slice(2).map(Number);
  const only = process.argv[6];
  const mine = MUTANTS.filter(
    ({ name }, i) => i % parts === part && (only === undefined || name.includes(only)),
  );
  const directory = mkdtempSync(join(tmpdir(), 'raft-control-'));
  try {
    const control = new Control(await loadCopy(directory, null));
    for (const mutant of mine) {
      process.stdout.write(`${JSON.stringify(await hunt(mutant, first, count, control))}\n`);
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
}

await main();
