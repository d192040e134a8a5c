/** A host whose database is damaged keeps its data plane and comes back by itself; an old copy of one does not. */
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Agent, Status } from '../lab/agent.ts';
import {
  type Cluster,
  containers,
  fourHosts,
  leaderOf,
  type Named,
  startCluster,
  startVoters,
  voters,
} from '../lab/cluster.ts';
import { eventually } from '../lab/eventually.ts';
import type { Container, Lab } from '../lab/lab.ts';
import { ping, RunningPing } from '../lab/probes.ts';
import { useLab } from '../lab/use-lab.ts';

/** The files that hold the log, the write-ahead log last. */
function tables(agent: Agent): readonly string[] {
  const database = join(agent.dataDir, 'raft');
  return readdirSync(database)
    .filter((name) => /\.(log|ldb)$/.test(name))
    .sort((a, b) => Number(a.endsWith('.log')) - Number(b.endsWith('.log')))
    .map((name) => join(database, name));
}

function flipBytes(agent: Agent): void {
  for (const path of tables(agent)) {
    const bytes = readFileSync(path);
    for (let at = Math.floor(bytes.length / 3); at < bytes.length; at += 97)
      bytes[at] = (bytes[at] ?? 0) ^ 0x10;
    writeFileSync(path, bytes);
  }
}

/** LevelDB opens it without a word; only the fence knows. */
function cutTail(agent: Agent): void {
  const wal = tables(agent).at(-1) ?? '';
  truncateSync(wal, Math.max(0, readFileSync(wal).length - 700));
}

function deleteIt(agent: Agent): void {
  rmSync(join(agent.dataDir, 'raft'), { recursive: true });
}

const problemsOf = ({ problems }: Status): readonly string[] => problems.map(({ code }) => code);

describe('one of three voters', () => {
  let cluster: Cluster;
  let agents: readonly Agent[];
  let agent: Named<Agent>;
  let box: Named<Container>;

  useLab(async (lab: Lab) => {
    const { a, b, c } = await fourHosts(lab);
    cluster = await startVoters([a, b, c]);
    ({ agents, agent } = cluster);
    await voters(agents, 3);
    box = await containers(lab, agents);
  });

  /** Kills, damages and starts it; resolves when it votes again. Its containers are pinged all the while. */
  async function comesBack(name: string, damage: (agent: Agent) => void): Promise<void> {
    const victim = agent(name);
    const { subnet } = victim;
    const { node } = await victim.status();
    const other = agents.find((one) => one !== victim)?.host.name ?? '';
    const pings = [
      new RunningPing(box(name), box(other).address),
      new RunningPing(box(other), box(name).address),
    ];
    await victim.kill();
    damage(victim);
    await victim.agent();
    await eventually(`${name} is a member again`, async () => {
      const status = await victim.status();
      return status.raft.leader !== null && !problemsOf(status).includes('database-damaged')
        ? true
        : undefined;
    });
    await voters(agents, 3);
    for (const running of pings) {
      const { sent, received } = await running.stop();
      expect(sent - received).toBe(0);
    }
    expect([victim.subnet, (await victim.status()).node.id]).toEqual([subnet, node.id]);
    expect((await victim.members()).find((member) => member.name === name)).toMatchObject({
      id: node.id,
      role: 'voter',
    });
  }

  test('comes back from flipped bytes, and keeps what was damaged aside', async () => {
    await comesBack('b', flipBytes);
    expect(existsSync(join(agent('b').dataDir, 'raft.damaged-1'))).toBe(true);
  });

  test('comes back from a log whose end was lost', async () => {
    await comesBack('c', cutTail);
  });

  test('comes back from nothing, also as the one that led', async () => {
    await comesBack((await leaderOf(agents)).host.name, deleteIt);
  });

  test('writes go on afterwards, and nothing is wrong', async () => {
    for (const one of agents) {
      await one.json(['token', 'create']);
      expect((await one.status()).health).toBe('healthy');
    }
  });

  test('is refused when its directory is an old copy: 6, while its containers talk', async () => {
    const victim = agent('b');
    const copy = `${victim.dataDir}.copy`;
    await victim.stop();
    cpSync(victim.dataDir, copy, { recursive: true });
    await victim.agent();
    for (let i = 0; i < 20; i++) await victim.json(['token', 'create']);
    await victim.stop();
    rmSync(victim.dataDir, { recursive: true });
    cpSync(copy, victim.dataDir, { recursive: true });
    const program = victim.start(['agent']);
    expect(await program.exited).toBe(6);
    expect(program.stderr).toMatch(/rolled back or copied/);
    expect(await ping(box('b'), box('a').address)).toMatchObject({ received: 1 });
    expect((await agent('a').members()).map(({ name }) => name).sort()).toEqual(['a', 'b', 'c']);
  });
});

describe('the only voter', () => {
  let agent: Named<Agent>;
  let box: Named<Container>;

  useLab(async (lab: Lab) => {
    const { a, b } = await fourHosts(lab);
    const cluster = await startCluster([a, b]);
    ({ agent } = cluster);
    box = await containers(lab, cluster.agents);
  });

  test('keeps its data plane with a damaged log, and refuses writes with what can be done', async () => {
    const victim = agent('a');
    const { subnet } = victim;
    const pings = new RunningPing(box('a'), box('b').address);
    await victim.kill();
    flipBytes(victim);
    await victim.agent();
    expect(victim.subnet).toBe(subnet);
    const status = await victim.status();
    expect(problemsOf(status)).toContain('database-damaged');
    const error = await victim.refused(['token', 'create']);
    expect(error).toMatchObject({ code: 'raft-not-running', exitCode: 1 });
    expect(error.fix).toMatch(/snapshot restore.*recover --force-new-cluster/);
    const { sent, received } = await pings.stop();
    expect(sent - received).toBe(0);
    expect(await ping(box('b'), box('a').address)).toMatchObject({ received: 1 });
  });
});
