import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { Ip } from '../../../src/net/ip.ts';
import { toIp } from '../../../src/net/ip.ts';
import { ChecksumWatch, type Tunnel } from '../../../src/path/checksum-watch.ts';
import { recordingLog } from '../control/fake-agent.ts';

const tunnel = (number: number): Tunnel => ({
  ...{ device: 'flannel.1', from: toIp('10.5.1.0') },
  to: toIp(`10.5.${number}.0`),
});

class Host implements AsyncDisposable {
  /** Null: no such device. */
  offload: boolean | null = true;
  readonly switched: boolean[] = [];
  readonly asked: Ip[] = [];
  answers: (offload: boolean, to: Ip) => boolean = () => true;
  readonly watch: ChecksumWatch;

  constructor() {
    this.watch = new ChecksumWatch({
      offload: {
        checksumOffload: () => this.offload,
        setChecksumOffload: (_, on) => {
          if (this.offload === null) return false;
          if (on !== this.offload) this.switched.push(on);
          this.offload = on;
          return true;
        },
      },
      answersSyn: async (_, to, signal) => {
        this.asked.push(to);
        await turn();
        return !signal.aborted && this.answers(this.offload === true, to);
      },
      log: recordingLog().log,
    });
  }

  /** As the data plane does again and again. */
  async look(...numbers: readonly number[]): Promise<readonly string[]> {
    for (let i = 0; i < 20; i++) {
      this.watch.setTunnels(numbers.map(tunnel));
      await turn();
    }
    return this.watch.problems.map(({ code }) => code);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.watch.close();
  }
}

test('on a good path it asks once and never touches the device', async () => {
  await using host = new Host();
  expect(await host.look(2, 3)).toEqual([]);
  expect([host.switched, host.asked.length]).toEqual([[], 2]);
});

test('one peer that answers is enough, though policies of others are silent', async () => {
  await using host = new Host();
  host.answers = (_, to) => to === '10.5.4.0';
  expect(await host.look(2, 3, 4)).toEqual([]);
  expect(host.switched).toEqual([]);
});

test('a NIC that spoils checksums has its offload switched off, and it is reported', async () => {
  await using host = new Host();
  host.answers = (offload) => !offload;
  expect(await host.look(2)).toEqual(['checksum-offload-broken']);
  expect(host.offload).toBe(false);
  expect(host.watch.problems[0]).toMatchObject({ severity: 'warning' });
});

test('and again on a device that was made anew, without another trial', async () => {
  await using host = new Host();
  host.answers = (offload) => !offload;
  await host.look(2);
  const asked = host.asked.length;
  host.offload = true;
  expect(await host.look(2)).toEqual(['checksum-offload-broken']);
  expect([host.offload, host.asked.length]).toEqual([false, asked]);
});

test('where nothing is answered the device is as before, and only new peers are asked', async () => {
  await using host = new Host();
  host.answers = () => false;
  expect(await host.look(2)).toEqual([]);
  expect([host.offload, host.switched]).toEqual([true, [false, true]]);
  const asked = host.asked.length;
  await host.look(2);
  expect(host.asked).toHaveLength(asked);
  host.answers = (_, to) => to === '10.5.3.0';
  expect(await host.look(2, 3)).toEqual([]);
  expect(host.asked.slice(asked)).toEqual(['10.5.3.0']);
});

test('and not for ever', async () => {
  await using host = new Host();
  host.answers = () => false;
  for (let number = 2; number < 100; number++) await host.look(number);
  expect(new Set(host.asked).size).toBe(12);
  expect(host.offload).toBe(true);
});

test('an offload that was off before is left off and reported; switched on, it is tried', async () => {
  await using host = new Host();
  host.offload = false;
  expect(await host.look(2)).toEqual(['checksum-offload-off']);
  expect([host.asked, host.switched]).toEqual([[], []]);
  host.offload = true;
  expect(await host.look(2)).toEqual([]);
  expect(host.asked).toHaveLength(1);
});

test('closed in the middle of a trial it leaves the device as it was', async () => {
  const host = new Host();
  host.answers = (offload) => !offload;
  host.watch.setTunnels([tunnel(2)]);
  while (host.offload === true) await turn();
  await host.watch.close();
  expect(host.offload).toBe(true);
  host.watch.setTunnels([tunnel(3)]);
  expect(host.asked).not.toContain('10.5.3.0');
});

test('a device that is not there is nothing to try', async () => {
  await using host = new Host();
  host.offload = null;
  expect(await host.look(2)).toEqual([]);
  expect(host.asked).toEqual([]);
});
