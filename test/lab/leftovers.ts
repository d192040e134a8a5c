/**
 * What a lab has made and must unmake. Every lab keeps a directory whose `owner` file names the process that made it
 * and whose `namespaces` file lists each namespace before it is created, so that teardown removes exactly those: at
 * the end, at an interrupt, or by the next lab after the owner was killed. A name that is not listed is never touched.
 */
import { spawnSync } from 'node:child_process';
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const DIRECTORY_PREFIX = 'tsflannel-lab-';
const open = new Set<string>();

/** Makes the directory and, the first time, sees to it that an interrupted process cleans up. */
export function openDirectory(): string {
  if (open.size === 0) catchInterrupts();
  const directory = mkdtempSync(join(tmpdir(), DIRECTORY_PREFIX));
  writeFileSync(join(directory, 'owner'), identityOf('self') ?? '');
  writeFileSync(join(directory, 'namespaces'), '');
  open.add(directory);
  return directory;
}

/** Call this before the namespace is made. */
export function recordNamespace(directory: string, name: string): void {
  appendFileSync(join(directory, 'namespaces'), `${name}\n`);
}

/** Ends what still runs in the namespaces, removes them and the directory. Repeatable. */
export function removeDirectory(directory: string): void {
  for (const name of namespacesOf(directory)) {
    for (let round = 0; round < 3; round++) {
      const pids = output('ip', 'netns', 'pids', name).split('\n').filter(Boolean).map(Number);
      if (pids.length === 0) break;
      for (const pid of withDescendants(pids)) kill(pid);
    }
    output('ip', 'netns', 'delete', name);
  }
  for (const mount of mountsUnder(directory)) output('umount', '--lazy', mount);
  rmSync(directory, { recursive: true, force: true });
  open.delete(directory);
}

/** The lab stays when this process ends. */
export function abandonDirectory(directory: string): void {
  writeFileSync(join(directory, 'owner'), 'kept');
  open.delete(directory);
}

/** Removes the labs of processes that no longer live. Returns their directories. */
export function sweep(): readonly string[] {
  const dead = readdirSync(tmpdir())
    .filter((name) => name.startsWith(DIRECTORY_PREFIX))
    .map((name) => join(tmpdir(), name))
    .filter((directory) => isAbandoned(directory));
  for (const directory of dead) removeDirectory(directory);
  return dead;
}

function isAbandoned(directory: string): boolean {
  const owner = read(join(directory, 'owner'));
  if (owner === undefined || owner === 'kept' || owner === '') return false;
  return identityOf(owner.split(' ')[0] ?? '') !== owner;
}

/** A pid is used again; together with its start time it is not. */
function identityOf(pid: string): string | undefined {
  const stat = read(`/proc/${pid}/stat`);
  if (stat === undefined) return undefined;
  return `${stat.split(' ')[0]} ${statFields(stat)[19]}`;
}

function namespacesOf(directory: string): readonly string[] {
  return (read(join(directory, 'namespaces')) ?? '').split('\n').filter(Boolean);
}

/** An engine's containers have network namespaces of their own, but descend from what runs in the host's. */
function withDescendants(roots: readonly number[]): readonly number[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  const children = new Map<number, number[]>();
  for (const pid of pids) {
    const parent = Number(statFields(read(`/proc/${pid}/stat`) ?? '')[1]);
    children.set(parent, [...(children.get(parent) ?? []), Number(pid)]);
  }
  const all = new Set(roots);
  for (const pid of all) for (const child of children.get(pid) ?? []) all.add(child);
  return [...all];
}

/** Of /proc/PID/stat, from the third on: state, parent, ... The second, the name, may hold anything. */
function statFields(stat: string): readonly string[] {
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

function mountsUnder(directory: string): readonly string[] {
  return (read('/proc/self/mounts') ?? '')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .filter((mount) => mount.startsWith(`${directory}/`))
    .reverse();
}

function catchInterrupts(): void {
  const removeAll = (): void => {
    for (const directory of [...open]) removeDirectory(directory);
  };
  process.once('exit', removeAll);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.once(signal, () => {
      removeAll();
      process.kill(process.pid, signal);
    });
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    // It may have ended by itself since it was listed.
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

/** Failure is an answer here: what is to be removed may be gone already. */
function output(file: string, ...args: readonly string[]): string {
  return spawnSync(file, args, { encoding: 'utf8', timeout: 10_000 }).stdout ?? '';
}
