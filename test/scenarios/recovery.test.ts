/** A quorum is lost for good: recovery on one survivor, the others come over, and what is left of the old epoch. */
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Agent } from '../lab/agent.ts';
import {
  byName,
  containers,
  fourHosts,
  type Hosts,
  routed,
  startCluster,
  startVoters,
  voters,
} from '../lab/cluster.ts';
import { eventually } from '../lab/eventually.ts';
import type { Container, Lab } from '../lab/lab.ts';
import { ping, RunningPing } from '../lab/probes.ts';
import { useLab } from '../lab/use-lab.ts';

interface NewEpoch {
  readonly clusterId: string;
  readonly epoch: number;
  readonly token: string;
  readonly joinCommand: string;
}

interface Survey {
  readonly clusterId: string;
  readonly epoch: number;
  readonly role: string;
  readonly lastTerm: number;
  readonly lastIndex: number;
  readonly commitIndex: number;
  readonly members: readonly { readonly name: string }[];
  readonly leases: readonly { readonly subnet: string }[];
}

const RECOVER = ['recover', '--force-new-cluster'];

const recover = (agent: Agent): Promise<NewEpoch> => agent.json<NewEpoch>([...RECOVER, '--yes']);
const survey = (agent: Agent): Promise<Survey> => agent.json<Survey>([...RECOVER, '--dry-run']);
const epochOf = (agent: Agent): number =>
  JSON.parse(readFileSync(join(agent.dataDir, 'cluster.json'), 'utf8')).epoch;

/** Ends the command for good right after the step-th change that it makes to files and directories. */
function killedAt(lab: Lab, step: number): { readonly env: Readonly<Record<string, string>> } {
  const preload = join(lab.directory, 'kill.cjs');
  writeFileSync(
    preload,
    `const { promises } = require('node:fs');
    let left = ${step};
    const counted = (name, changes) => {
      const original = promises[name];
      promises[name] = (...args) => {
        const outcome = original.apply(promises, args);
        if (!changes(args) || --left !== 0) return outcome;
        return outcome.finally(() => process.kill(process.pid, 'SIGKILL'));
      };
    };
    if (process.argv[1].endsWith('main.js')) {
      for (const name of ['mkdir', 'rename', 'rm', 'unlink']) counted(name, () => true);
      counted('open', ([, flags]) => typeof flags === 'string' && flags !== 'r');
      require('node:module').syncBuiltinESMExports();
    }`,
  );
  return { env: { NODE_OPTIONS: `--require=${preload}` } };
}

describe('two of three voters are lost, a voter and a learner survive', () => {
  let hosts: Hosts;
  let a: Agent;
  let b: Agent;
  let c: Agent;
  let d: Agent;
  let oldToken: string;
  let made: NewEpoch;
  let boxes: (name: string) => Container;
  let pings: readonly RunningPing[];
  const before = { c: { id: '', subnet: '' }, d: { id: '', subnet: '' }, a: { id: '', subnet: '' } };

  useLab(async (lab: Lab) => {
    hosts = await fourHosts(lab);
    const cluster = await startVoters([hosts.a, hosts.b, hosts.c]);
    a = cluster.agent('a');
    b = cluster.agent('b');
    c = cluster.agent('c');
    d = new Agent(hosts.d);
    oldToken = cluster.token;
    await d.join(oldToken, [hosts.a.address]);
    await routed([a, b, c, d]);
    boxes = await containers(lab, [a, c, d]);
    for (const [name, agent] of Object.entries({ a, c, d }))
      Object.assign(before, { [name]: { id: (await agent.status()).node.id, subnet: agent.subnet } });
  });

  test('an agent that runs makes it refuse: 7, and the switch must be given: 2', async () => {
    expect(await c.refused([...RECOVER, '--yes'])).toMatchObject({ code: 'directory-in-use', exitCode: 7 });
    expect(await c.refused(['recover', '--yes'])).toMatchObject({ exitCode: 2 });
  });

  test('the survivors are compared by what they hold', async () => {
    pings = [
      new RunningPing(boxes('c'), boxes('d').address, { intervalMs: 20 }),
      new RunningPing(boxes('d'), boxes('a').address, { intervalMs: 20 }),
    ];
    for (const ping of pings) await ping.answered(5);
    for (const agent of [a, b, c, d]) await agent.kill();
    const [voter, learner] = [await survey(c), await survey(d)];
    expect(voter).toMatchObject({ epoch: 1, role: 'voter' });
    expect(learner).toMatchObject({ clusterId: voter.clusterId, epoch: 1, role: 'learner' });
    for (const { members, leases, lastTerm, lastIndex } of [voter, learner]) {
      expect(members.map(({ name }) => name).sort()).toEqual(['a', 'b', 'c', 'd']);
      expect(leases).toHaveLength(4);
      expect(lastTerm).toBeGreaterThan(0);
      expect(lastIndex).toBeGreaterThan(0);
    }
  });

  test('without --yes it says what will happen: 9, and nothing changes', async () => {
    const error = await c.refused(RECOVER);
    expect(error).toMatchObject({ exitCode: 9 });
    for (const name of ['a', 'b', 'd']) expect(error.text).toMatch(new RegExp(`\\b${name}\\b`));
    expect(epochOf(c)).toBe(1);
    expect(existsSync(join(c.dataDir, 'raft-2'))).toBe(false);
  });

  test('the survivor begins a new epoch and keeps its node id and its subnet', async () => {
    made = await recover(c);
    expect(made).toMatchObject({ epoch: 2, clusterId: (await survey(d)).clusterId });
    await c.agent();
    const status = await c.status();
    expect(status.raft).toMatchObject({ role: 'leader', voters: 1, learners: 0 });
    expect({ id: status.node.id, subnet: c.subnet }).toEqual(before.c);
    expect((await c.members()).map(({ name }) => name)).toEqual(['c']);
    expect(await c.json<unknown[]>(['leases'])).toHaveLength(4);
    expect(
      readdirSync(c.dataDir)
        .filter((name) => /^(raft|ca)\b/.test(name))
        .sort(),
    ).toEqual(['ca-2.key', 'raft-2']);
  });

  test('a token of another cluster does not bring the other survivor over: 7', async () => {
    const [, , digest = ''] = oldToken.split('.');
    const foreign = oldToken.replace(digest, `${'x'.repeat(42)}A`);
    expect(await d.refused(['join', foreign, hosts.c.address])).toMatchObject({
      code: 'in-another-cluster',
      exitCode: 7,
    });
    expect(epochOf(d)).toBe(1);
  });

  test('the other survivor joins the new epoch and keeps its node id and its subnet', async () => {
    await d.join(made.token, [hosts.c.address]);
    const status = await d.status();
    expect({ id: status.node.id, subnet: d.subnet }).toEqual(before.d);
    expect(epochOf(d)).toBe(2);
    expect((await c.members()).map(({ name }) => name).sort()).toEqual(['c', 'd']);
    await routed([c, d]);
  });

  test('no ping between containers was lost, those of lost hosts included', async () => {
    for (const ping of pings) {
      const { sent, received } = await ping.stop();
      expect(sent).toBeGreaterThan(50);
      expect(received).toBe(sent);
    }
  });

  test('old members that come back with their old directories are a cluster of their own and disturb nobody', async () => {
    const { term } = (await c.status()).raft;
    for (const agent of [a, b]) await agent.agent();
    await voters([a, b], 3);
    // They lead each other, keep dialling the others, and may ask for anything.
    expect((await a.cli(['token', 'create'])).code).toBe(0);
    const told = await eventually('the old member is told', async () =>
      (await a.status()).problems.find(({ code }) => code === 'newer-epoch'),
    );
    expect(told.text).toMatch(/\b[cd] is in epoch 2, this host is in epoch 1/);
    const status = await c.status();
    expect(status.raft).toMatchObject({ role: 'leader', term, voters: 1, learners: 1 });
    expect((await c.members()).map(({ name }) => name).sort()).toEqual(['c', 'd']);
    expect((await d.status()).raft).toMatchObject({ term, leader: { name: 'c' } });
    expect(await ping(boxes('d'), boxes('a').address)).toMatchObject({ received: 1 });
  });

  test('a host of the newer epoch does not go back to the older one: 7', async () => {
    const { token } = await a.json<{ token: string }>(['token', 'create']);
    await d.stop();
    expect(await d.refused(['join', token, hosts.a.address])).toMatchObject({
      code: 'older-epoch',
      exitCode: 7,
    });
    await d.agent();
    expect(epochOf(d)).toBe(2);
  });

  test('they come over in turn, keep their subnets, and there are three voters again', async () => {
    for (const agent of [a, b]) {
      await agent.stop();
      await agent.join(made.token, [hosts.c.address]);
    }
    expect({ id: (await a.status()).node.id, subnet: a.subnet }).toEqual(before.a);
    await voters([a, b, c], 3);
    await routed([a, b, c, d]);
    expect(await c.json<unknown[]>(['leases'])).toHaveLength(4);
    expect((await a.status()).problems.map(({ code }) => code)).not.toContain('newer-epoch');
    expect(await ping(boxes('c'), boxes('a').address)).toMatchObject({ received: 1 });
  });
});

describe('only a learner survives', () => {
  let hosts: Hosts;
  let survivor: Agent;
  let lost: Agent;
  let lab: Lab;

  useLab(async (one: Lab) => {
    lab = one;
    hosts = await fourHosts(lab);
    const cluster = await startCluster([hosts.a, hosts.b]);
    lost = cluster.agent('a');
    survivor = cluster.agent('b');
  });

  test('an attempt that is killed at any step leaves one whole epoch, and the same command begins the next', async () => {
    await lost.kill();
    await survivor.kill();
    const copy = `${survivor.dataDir}.copy`;
    const epochs: number[] = [];
    for (let step = 1; ; step++) {
      cpSync(survivor.dataDir, copy, { recursive: true });
      const { code } = await survivor.cli([...RECOVER, '--yes'], killedAt(lab, step));
      const epoch = epochOf(survivor);
      epochs.push(epoch);
      expect([step, epoch === 1 || existsSync(join(survivor.dataDir, 'ca-2.key'))]).toEqual([step, true]);
      expect([step, (await recover(survivor)).epoch]).toEqual([step, epoch + 1]);
      rmSync(survivor.dataDir, { recursive: true });
      renameSync(copy, survivor.dataDir);
      if (code === 0) break;
      expect([step, code]).toEqual([step, null]);
    }
    // Once it has come, the new epoch is there to stay.
    expect(epochs).toEqual([...epochs].sort());
    expect(epochs.filter((epoch) => epoch === 1).length).toBeGreaterThan(5);
    expect(epochs.filter((epoch) => epoch === 2).length).toBeGreaterThan(1);
    expect(await survey(survivor)).toMatchObject({ epoch: 1, role: 'learner', leases: [{}, {}] });
  });

  test('it recovers beside whatever an attempt has left, and keeps its subnet', async () => {
    const { subnet } = survivor;
    mkdirSync(join(survivor.dataDir, 'raft-2'));
    for (const name of ['raft-2/CURRENT', 'raft-2.replica', 'ca-2.key'])
      writeFileSync(join(survivor.dataDir, name), 'half of it');
    expect((await recover(survivor)).epoch).toBe(2);
    await survivor.agent();
    expect(survivor.subnet).toBe(subnet);
    expect((await survivor.status()).raft).toMatchObject({ role: 'leader', voters: 1 });
  });

  test('a new host joins and gets a subnet that was never used', async () => {
    const { token } = await survivor.json<{ token: string }>(['token', 'create']);
    const fresh = new Agent(hosts.c);
    await fresh.join(token, [hosts.b.address]);
    expect([lost.subnet, survivor.subnet]).not.toContain(fresh.subnet);
  });

  test('a damaged database cannot be recovered from: 1, and it says what can be done', async () => {
    await survivor.kill();
    const database = join(survivor.dataDir, 'raft-2');
    for (const name of readdirSync(database).filter((file) => /\.(log|ldb)$/.test(file))) {
      const path = join(database, name);
      const bytes = readFileSync(path);
      bytes.fill(0xff, Math.floor(bytes.length / 4), Math.floor(bytes.length / 2));
      writeFileSync(path, bytes);
    }
    for (const words of [
      [...RECOVER, '--dry-run'],
      [...RECOVER, '--yes'],
    ]) {
      const error = await survivor.refused(words);
      expect(error).toMatchObject({ code: 'database-damaged', exitCode: 1 });
      expect(error.fix).toMatch(/another survivor.*snapshot restore/);
    }
    expect(epochOf(survivor)).toBe(2);
  });

  test('a host that is in no cluster has nothing to recover: 1', async () => {
    expect(await new Agent(hosts.d).refused([...RECOVER, '--dry-run'])).toMatchObject({
      code: 'not-a-member',
      exitCode: 1,
    });
  });
});

describe('a snapshot', () => {
  let hosts: Hosts;
  let agents: (name: string) => Agent;
  let clusterId: string;
  let file: string;

  useLab(async (lab: Lab) => {
    hosts = await fourHosts(lab);
    const cluster = await startCluster([hosts.a, hosts.b]);
    agents = byName(cluster.agents.map((agent) => [agent.host.name, agent]));
    clusterId = cluster.clusterId;
    file = join(lab.directory, 'cluster.snapshot');
  });

  test('is saved by any member and inspected without one', async () => {
    const saved = await agents('b').json<{ index: number }>(['snapshot', 'save', file]);
    expect(saved).toMatchObject({ clusterId, epoch: 1, file });
    const seen = await new Agent(hosts.c).json<object>(['snapshot', 'inspect', file]);
    expect(seen).toMatchObject({
      clusterId,
      epoch: 1,
      index: saved.index,
      config: { Network: '10.5.0.0/16' },
      members: [
        { name: 'a', role: 'voter', publicIp: hosts.a.address },
        { name: 'b', role: 'learner', publicIp: hosts.b.address },
      ],
      leases: [{ subnet: agents('a').subnet }, { subnet: agents('b').subnet }],
    });
  });

  test('is refused when it is damaged: 1, and nothing is begun', async () => {
    const bytes = readFileSync(file);
    bytes[200] = (bytes[200] ?? 0) ^ 4;
    const damaged = `${file}.damaged`;
    writeFileSync(damaged, bytes);
    const fresh = new Agent(hosts.c);
    for (const words of [
      ['snapshot', 'inspect', damaged],
      ['snapshot', 'restore', damaged, '--yes'],
    ])
      expect(await fresh.refused(words)).toMatchObject({ code: 'snapshot-damaged', exitCode: 1 });
    expect(existsSync(join(fresh.dataDir, 'identity.json'))).toBe(false);
  });

  test('is not restored below an agent or in another cluster: 7, nor over a member without --yes: 9', async () => {
    expect(await agents('a').refused(['snapshot', 'restore', file, '--yes'])).toMatchObject({ exitCode: 7 });
    const other = new Agent(hosts.d);
    await other.init(['--network', '10.9.0.0/16']);
    await other.stop();
    expect(await other.refused(['snapshot', 'restore', file, '--yes'])).toMatchObject({
      code: 'in-another-cluster',
      exitCode: 7,
    });
    await agents('a').stop();
    expect(await agents('a').refused(['snapshot', 'restore', file])).toMatchObject({ exitCode: 9 });
    await agents('a').agent();
  });

  test('is restored on a fresh host as a new epoch, which the old hosts join with their subnets', async () => {
    for (const name of ['a', 'b']) await agents(name).kill();
    const fresh = new Agent(hosts.c);
    const made = await fresh.json<NewEpoch>(['snapshot', 'restore', file]);
    expect(made).toMatchObject({ clusterId, epoch: 2 });
    await fresh.agent();
    const { subnet } = agents('b');
    expect([agents('a').subnet, subnet]).not.toContain(fresh.subnet);
    await agents('b').join(made.token, [hosts.c.address]);
    expect(agents('b').subnet).toBe(subnet);
    await routed([fresh, agents('b')]);
  });

  test('brings back a member whose database is gone, with its node id and its subnet', async () => {
    const a = agents('a');
    const { subnet } = a;
    rmSync(join(a.dataDir, 'raft'), { recursive: true });
    const made = await a.json<NewEpoch>(['snapshot', 'restore', file, '--yes']);
    expect(made).toMatchObject({ clusterId, epoch: 2 });
    await a.agent();
    expect((await a.status()).lease?.subnet).toBe(subnet);
    const { members } = await a.json<Survey>(['snapshot', 'inspect', file]);
    expect(await a.members()).toMatchObject(members.filter(({ name }) => name === 'a'));
    expect(await a.json<unknown[]>(['leases'])).toHaveLength(2);
  });

  test('two hosts that were each restored do not mix: 7, until one of them begins a newer epoch', async () => {
    const [a, b] = [agents('a'), agents('b')];
    const { subnet } = b;
    const { token } = await a.json<{ token: string }>(['token', 'create']);
    for (const agent of [a, b]) await agent.stop();
    await a.agent();
    expect(await b.refused(['join', token, hosts.a.address])).toMatchObject({
      code: 'two-recoveries',
      exitCode: 7,
    });
    await a.stop();
    const made = await recover(a);
    expect(made.epoch).toBe(3);
    await a.agent();
    await b.join(made.token, [hosts.a.address]);
    expect(b.subnet).toBe(subnet);
  });
});
