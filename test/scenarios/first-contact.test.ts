/** init and join: interrupted and resumed, at the same time, in the background, and with their token hidden. */
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { Agent, type InitResult } from '../lab/agent.ts';
import { fourHosts, type Hosts, routed } from '../lab/cluster.ts';
import { eventually } from '../lab/eventually.ts';
import type { Lab } from '../lab/lab.ts';
import { listenTcp } from '../lab/probes.ts';
import { useLab } from '../lab/use-lab.ts';

/** From before the first file to about when it is ready. */
const MOMENTS_MS = [60, 120, 180, 240, 320, 400, 550];

describe('init and join', () => {
  let hosts: Hosts;
  let a: Agent;
  let b: Agent;

  useLab(async (lab: Lab) => {
    hosts = await fourHosts(lab);
    a = new Agent(hosts.a);
    b = new Agent(hosts.b);
  });

  const forget = async (agent: Agent): Promise<void> => {
    expect((await agent.cli(['down', '--purge', '--yes'])).code).toBe(0);
    rmSync(agent.subnetFile, { force: true });
  };

  test('an init that is killed at any moment before it is ready is resumed by the same command', async () => {
    for (const moment of MOMENTS_MS) {
      const program = a.start(['init', '--json']);
      await delay(moment);
      await a.kill();
      if (program.stdout === '') {
        const { token } = await a.init();
        expect([moment, token]).toEqual([moment, expect.stringMatching(/^tsf1\./)]);
        await a.stop();
      }
      await forget(a);
    }
  });

  test('a join that is killed at any moment is resumed by the same command, and costs one lease', async () => {
    const { token } = await a.init();
    for (const moment of MOMENTS_MS) {
      b.start(['join', token, hosts.a.address, '--json']);
      await delay(moment);
      await b.kill();
      await b.join(token, [hosts.a.address]);
      await routed([a, b]);
      expect(await a.json<unknown[]>(['leases'])).toHaveLength(2);
      expect(await a.members()).toHaveLength(2);
      expect((await b.cli(['leave', '--yes'])).code).toBe(0);
      rmSync(b.subnetFile, { force: true });
    }
    await forget(a);
  });

  test('of two that initialise at once and name each other, one refuses, and joins the other', async () => {
    const peers = ['--peers', `${hosts.a.address},${hosts.b.address}`];
    for (let round = 0; round < 5; round++) {
      const pair = [a, b].map((agent) => ({ agent, program: agent.start(['init', ...peers, '--json']) }));
      const settled = await Promise.allSettled(
        pair.map(({ agent, program }) => agent.ready<InitResult>(program)),
      );
      const won = settled.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
      const lost = pair.filter((_, index) => settled[index]?.status === 'rejected');
      expect([round, won.length, lost.length]).toEqual([round, 1, 1]);
      for (const { agent, program } of lost) {
        expect(await program.exited).toBe(7);
        expect(existsSync(agent.subnetFile)).toBe(false);
        const [first] = pair.filter((other) => other.agent !== agent);
        await agent.join(won[0]?.token ?? '', [first?.agent.host.address ?? '']);
      }
      await routed([a, b]);
      for (const agent of [a, b]) await forget(agent);
    }
  });

  test('--detach returns when the agent is ready, and the agent goes on', async () => {
    const result = await a.json<InitResult>(['init', '--detach']);
    expect(result.joinCommand).toContain(result.token);
    const pid = Number(readFileSync(join(a.runDir, 'agent.pid'), 'utf8'));
    expect(existsSync(`/proc/${pid}`)).toBe(true);
    expect((await a.cli(['status'])).code).toBe(0);
    expect(statSync(a.dataDir).mode & 0o777).toBe(0o700);
    expect(statSync(join(a.runDir, 'agent.sock')).mode & 0o777).toBe(0o600);
    expect(statSync(a.subnetFile).mode & 0o777).toBe(0o644);
    process.kill(pid, 'SIGTERM');
    await eventually('the agent has ended', async () =>
      (await a.cli(['status'])).code === 5 ? true : undefined,
    );
  });

  test('agent --detach runs it again; status --wait lease needs no agent', async () => {
    expect((await a.cli(['status', '--wait', 'lease'])).code).toBe(0);
    expect((await a.cli(['agent', '--detach'])).code).toBe(0);
    expect((await a.cli(['status', '--wait', 'ready'])).code).toBe(0);
    await forget(a);
  });

  test('--detach that fails says why, with the exit code of the reason', async () => {
    const other = await listenTcp(hosts.a, 6473);
    const error = await a.refused(['init', '--detach']);
    expect([error.exitCode, error.text]).toEqual([1, expect.stringContaining('6473')]);
    expect(existsSync(a.subnetFile)).toBe(false);
    await other.stop();
  });

  test('the token comes from a file, standard input or the environment, and never shows in the process list', async () => {
    const { token } = await a.init();
    const file = join(hosts.b.directory, 'token');
    writeFileSync(file, `${token}\n`);
    const ways = [
      { words: ['join', `@${file}`, hosts.a.address], options: {} },
      { words: ['join', '-', hosts.a.address], options: { input: `${token}\n` } },
      { words: ['join', hosts.a.address], options: { env: { TSFLANNEL_TOKEN: token } } },
      { words: ['join', token, hosts.a.address], options: {} },
    ];
    for (const { words, options } of ways) {
      const program = b.start([...words, '--json'], options);
      await b.ready(program);
      await routed([a, b]);
      const secret = token.split('.').at(-1) ?? token;
      expect([words, readFileSync(`/proc/${program.pid}/cmdline`, 'utf8').includes(secret)]).toEqual([
        words,
        false,
      ]);
      expect((await b.cli(['leave', '--yes'])).code).toBe(0);
    }
    await forget(a);
  });
});
