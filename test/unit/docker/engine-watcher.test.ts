import { rmSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { EngineWatcher } from '../../../src/docker/engine-watcher.ts';
import type { Log } from '../../../src/observe/log.ts';
import { eventually } from '../../lab/eventually.ts';
import { FakeEngine } from '../../support/fake-engine.ts';

const network = (name: string) => ({ Id: `id-of-${name}`, Name: name, Driver: 'bridge' });

interface Watched {
  readonly engine: FakeEngine;
  readonly watcher: EngineWatcher;
  readonly warnings: string[];
  changes(): number;
  /** The names of the networks it knows. */
  names(): readonly string[] | undefined;
}

function watch(engine: FakeEngine, pidFile: string | null = null): Watched {
  const warnings: string[] = [];
  const silent = (): void => undefined;
  const log: Log = {
    error: silent,
    info: silent,
    debug: silent,
    warn: (_, text) => void warnings.push(text),
  };
  let changes = 0;
  const socket = { path: engine.socket, pidFile };
  const watcher = new EngineWatcher({ socket, log, onChange: () => void changes++ });
  onTestFinished(async () => {
    await watcher[Symbol.asyncDispose]();
    await engine[Symbol.asyncDispose]();
  });
  const names = () => watcher.facts?.networks.map(({ name }) => name);
  return { engine, watcher, warnings, changes: () => changes, names };
}

const reads = ({ engine }: Watched, end: string): number =>
  engine.requests.filter(({ path }) => path.endsWith(end)).length;

test('an engine that starts later is seen, with what changes in it, its end and its next start', async () => {
  const watched = watch(new FakeEngine());
  const { engine, watcher, names } = watched;
  expect(watcher.facts).toBe(null);
  await engine.listen();
  await eventually('facts', () => watcher.facts ?? undefined);
  expect(names()).toEqual([]);

  engine.networks.push(network('shop'));
  engine.emit({ Type: 'network', Action: 'create' });
  await eventually('the new network', () => (names()?.includes('shop') ? true : undefined));

  await engine.stop();
  await eventually('its end', () => (watcher.facts === null ? true : undefined));
  await engine.listen();
  await eventually('its next start', () => watcher.facts ?? undefined);
  expect(watched.changes()).toBe(4);
  expect(watched.warnings).toEqual([]);
});

test('nothing is asked while nothing happens, and a burst of events is one reading', async () => {
  const watched = watch(await FakeEngine.start());
  const { engine, watcher } = watched;
  await eventually('facts', () => watcher.facts ?? undefined);
  // Longer than it waits between two readings.
  await delay(1_300);
  expect(reads(watched, '/networks')).toBe(1);
  for (let i = 0; i < 100; i++) engine.emit({ Type: 'network', Action: 'connect', Actor: { ID: `${i}` } });
  await eventually('a reading', () => (reads(watched, '/networks') > 1 ? true : undefined));
  expect(reads(watched, '/networks')).toBe(2);
  expect(watched.changes()).toBe(1);
});

test('the socket of an engine that is not running is left alone: systemd would start the engine', async () => {
  const engine = await FakeEngine.start();
  const pidFile = `${engine.directory}/docker.pid`;
  const watched = watch(engine, pidFile);
  // Several looks go by while another watcher sees it.
  const other = watch(engine);
  await eventually('facts', () => other.watcher.facts ?? undefined);
  expect(watched.watcher.facts).toBe(null);
  writeFileSync(pidFile, '1');
  await eventually('facts', () => watched.watcher.facts ?? undefined);
  rmSync(pidFile);
  await engine.stop();
  await eventually('its end', () => (watched.watcher.facts === null ? true : undefined));
});

test('an engine that talks nonsense is no engine, and why is said once', async () => {
  const engine = await FakeEngine.start();
  engine.info = { FirewallBackend: 7 };
  const watched = watch(engine);
  await eventually('a second try', () => (reads(watched, '/version') > 1 ? true : undefined));
  expect(watched.watcher.facts).toBe(null);
  expect(watched.watcher.failure).toContain('/info is not understood');
  expect(watched.warnings).toHaveLength(1);
  expect(engine.listeners).toBeLessThanOrEqual(1);
  engine.info = {};
  await eventually('facts', () => watched.watcher.facts ?? undefined);
  expect(watched.watcher.failure).toBe(null);
});
