import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { HostFiles } from '../../../src/host/files.ts';
import type { Wanted } from '../../../src/host/surroundings.ts';
import { SurroundingsWatch } from '../../../src/host/watch.ts';
import { recordingLog } from '../control/fake-agent.ts';

const wanted: Wanted = { iface: 'eth0', devices: [], port: 6473, vxlanPort: null, ipv4: true, ipv6: false };

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'tsflannel-watch-'));
  mkdirSync(join(root, 'proc/sys/net/ipv4'), { recursive: true });
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});
afterEach(() => {
  vi.useRealTimers();
  rmSync(root, { recursive: true });
});

function forwarding(value: number): void {
  writeFileSync(join(root, 'proc/sys/net/ipv4/ip_forward'), `${value}\n`);
}

test('looks when it is started and every half minute, and reports what is there now', async () => {
  const { log } = recordingLog();
  await using watch = new SurroundingsWatch({ wanted: () => wanted, log, files: new HostFiles(root) });
  const codes = (): readonly string[] => watch.problems.map(({ code }) => code);
  forwarding(0);
  expect(codes()).toEqual([]);
  watch.start();
  watch.start();
  await vi.waitFor(() => expect(codes()).toEqual(['forwarding-off']));
  forwarding(1);
  await vi.waitFor(() => expect(vi.getTimerCount()).toBe(1));
  await vi.advanceTimersByTimeAsync(30_000);
  await vi.waitFor(() => expect(codes()).toEqual([]));
});

test('asks for nothing while nothing is wanted, and ends at once', async () => {
  const { log } = recordingLog();
  forwarding(0);
  const watch = new SurroundingsWatch({ wanted: () => null, log, files: new HostFiles(root) });
  watch.start();
  await watch.close();
  expect(watch.problems).toEqual([]);
  expect(vi.getTimerCount()).toBe(0);
});
