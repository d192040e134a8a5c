/** Who votes, who leads and who has to go, changed by hand while the network and the cluster go on. */
import { describe, expect, test } from 'vitest';
import { Agent, type Failure } from '../lab/agent.ts';
import {
  type Cluster,
  containers,
  fourHosts,
  leaderOf,
  type Named,
  routed,
  startVoters,
  voters,
} from '../lab/cluster.ts';
import { eventually } from '../lab/eventually.ts';
import type { Container, Lab } from '../lab/lab.ts';
import { ping, RunningPing } from '../lab/probes.ts';
import { useLab } from '../lab/use-lab.ts';

interface RoleChange {
  readonly node: { readonly name: string };
  readonly role: string;
  readonly pending: string | null;
}

/** Three voters and a learner. */
class Fleet {
  readonly cluster: Cluster;
  readonly learner: Agent;
  readonly all: readonly Agent[];

  private constructor(cluster: Cluster, learner: Agent) {
    this.cluster = cluster;
    this.learner = learner;
    this.all = [...cluster.agents, learner];
  }

  static async start(lab: Lab): Promise<Fleet> {
    const { a, b, c, d } = await fourHosts(lab);
    const cluster = await startVoters([a, b, c]);
    const learner = new Agent(d);
    await learner.join(cluster.token, [a.address]);
    const fleet = new Fleet(cluster, learner);
    await routed(fleet.all);
    await voters(fleet.all, 3);
    return fleet;
  }

  leader(): Promise<Agent> {
    return leaderOf(this.all);
  }

  /** A voter that does not lead. */
  async follower(): Promise<Agent> {
    const leader = await this.leader();
    const names = await this.voting();
    return this.byName(names.find((name) => name !== leader.host.name) ?? '');
  }

  byName(name: string): Agent {
    const found = this.all.find(({ host }) => host.name === name);
    if (found === undefined) throw new Error(`there is no ${name}`);
    return found;
  }

  async voting(from?: Agent): Promise<readonly string[]> {
    const members = await (from ?? (await this.leader())).members();
    return members
      .filter(({ role }) => role === 'voter')
      .map(({ name }) => name)
      .sort();
  }
}

describe('votes and leadership', () => {
  let fleet: Fleet;

  useLab(async (lab: Lab) => {
    fleet = await Fleet.start(lab);
  });

  test('another voter leads at once, by name from any voter, and writes go on', async () => {
    const follower = await fleet.follower();
    const { name } = follower.host;
    const writes = Promise.all([1, 2, 3].map(() => follower.json(['token', 'create'])));
    expect(await follower.json(['member', 'transfer-leader', name])).toMatchObject({ leader: { name } });
    await writes;
    expect((await fleet.leader()).host.name).toBe(name);
    expect(await follower.json(['member', 'transfer-leader', name]), 'again').toMatchObject({
      leader: { name },
    });
  });

  test('the leader chooses where nobody is named', async () => {
    const before = await fleet.leader();
    const { leader } = await before.json<{ leader: { name: string } }>(['member', 'transfer-leader']);
    expect(leader.name).not.toBe(before.host.name);
    expect((await fleet.leader()).host.name).toBe(leader.name);
  });

  test('a learner cannot lead, and changes nothing itself: 1 and 6', async () => {
    const leader = await fleet.leader();
    expect(await leader.refused(['member', 'transfer-leader', 'd'])).toMatchObject({
      code: 'cannot-lead',
      exitCode: 1,
    });
    for (const words of [['promote', 'd'], ['demote', 'a'], ['remove', 'a'], ['transfer-leader']]) {
      const error = await fleet.learner.refused(['member', ...words]);
      expect(error).toMatchObject({ code: 'not-a-voter', exitCode: 6 });
      expect(error.fix).toMatch(/\ba\b/);
    }
  });

  test('who is meant has to be clear: 1 and 2', async () => {
    const leader = await fleet.leader();
    expect(await leader.refused(['member', 'promote', 'nobody'])).toMatchObject({ exitCode: 1 });
    const ids = (await leader.members()).map(({ id }) => id);
    const [first = ''] = ids;
    expect(await leader.json(['member', 'promote', first.slice(0, 12)])).toMatchObject({
      node: { id: first },
    });
  });

  test('a learner is promoted as one of a pair, and takes the place of a voter that is demoted', async () => {
    const promoted = await fleet.cluster.agent('a').json<RoleChange>(['member', 'promote', 'd']);
    expect(promoted).toMatchObject({ node: { name: 'd' }, role: 'learner', pending: expect.any(String) });
    const follower = await fleet.follower();
    const demoted = await fleet.cluster.agent('a').json<RoleChange>(['member', 'demote', follower.host.name]);
    expect(demoted).toMatchObject({ role: 'learner', pending: null });
    const expected = ['a', 'b', 'c', 'd'].filter((name) => name !== follower.host.name);
    expect(await fleet.voting()).toEqual(expected);
  });

  test('the leader that is demoted hands over first', async () => {
    const leader = await fleet.leader();
    const members = await leader.members();
    const learner = members.find(({ role }) => role === 'learner')?.name ?? '';
    await leader.json(['member', 'promote', learner]);
    const changed = await leader.json<RoleChange>(['member', 'demote', leader.host.name]);
    expect(changed).toMatchObject({ role: 'learner', pending: null });
    expect((await fleet.leader()).host.name).not.toBe(leader.host.name);
    expect(await fleet.voting()).toHaveLength(3);
    expect(await fleet.voting()).toContain(learner);
  });

  test('a voter that nobody can replace stays one: 1, and it says what to add', async () => {
    const leader = await fleet.leader();
    const error = await leader.refused(['member', 'demote', leader.host.name]);
    expect(error).toMatchObject({ code: 'too-few-voters', exitCode: 1 });
    expect(error.fix).toMatch(/token create --role voter/);
    expect(await fleet.voting()).toHaveLength(3);
  });

  test('--wait quorum is proven by one', async () => {
    for (const agent of fleet.all) expect((await agent.cli(['status', '--wait', 'quorum'])).code).toBe(0);
    const leader = await fleet.leader();
    const others = fleet.all.filter((agent) => agent !== leader);
    // Stopped, not ended: the leader has not noticed yet when it is asked.
    for (const agent of others) agent.program.kill('SIGSTOP');
    const asked = await leader.cli(['status', '--wait', 'quorum', '--timeout', '500ms']);
    for (const agent of others) agent.program.kill('SIGCONT');
    expect(asked.code).toBe(4);
  });
});

describe('hosts that do not come back', () => {
  let fleet: Fleet;
  let box: Named<Container>;

  useLab(async (lab: Lab) => {
    fleet = await Fleet.start(lab);
    box = await containers(lab, fleet.all);
  });

  test('one is not removed where that would cost the quorum: 1', async () => {
    const leader = await fleet.leader();
    const [dead, alive] = fleet.cluster.agents.filter((agent) => agent !== leader);
    await dead?.kill();
    await eventually('the leader misses it', async () =>
      (await leader.status()).problems.some(({ code }) => code === 'voter-missing') ? true : undefined,
    );
    const error: Failure['error'] = await leader.refused(['member', 'remove', alive?.host.name ?? '']);
    expect(error).toMatchObject({ code: 'costs-the-quorum', exitCode: 1 });
    await dead?.agent();
    await routed(fleet.all);
  });

  test('a dead voter is removed, its subnet is kept for it, and it disturbs nobody when it returns', async () => {
    const dead = await fleet.follower();
    const leader = await fleet.leader();
    const { subnet } = dead;
    const name = dead.host.name;
    const pings = new RunningPing(box(leader.host.name), box(name).address);
    await dead.kill();
    expect(await leader.json(['member', 'remove', name])).toMatchObject({ subnet, released: false });
    const leases = await leader.json<{ subnet: string; state: string }[]>(['leases']);
    expect(leases.find((lease) => lease.subnet === subnet)).toMatchObject({ state: 'absent' });
    expect((await leader.members()).map((member) => member.name)).not.toContain(name);
    const { term } = (await leader.status()).raft;
    await dead.agent();
    expect(dead.subnet).toBe(subnet);
    expect((await dead.cli(['status', '--wait', 'quorum', '--timeout', '3s'])).code).toBe(4);
    expect((await leader.status()).raft).toMatchObject({ term, role: 'leader' });
    await leader.json(['token', 'create']);
    const { sent, received } = await pings.stop();
    expect(sent - received).toBe(0);
    await dead.stop();
  });

  test('the learner has taken its place', async () => {
    await eventually('three voters', async () => ((await fleet.voting()).length === 3 ? true : undefined));
    expect(await fleet.voting()).toContain('d');
  });

  test('the leader is removed from another host: a new one leads, and its subnet is given back with --yes', async () => {
    const leader = await fleet.leader();
    const { subnet } = leader;
    const other = await fleet.follower();
    const removed = await other.json(['member', 'remove', leader.host.name, '--yes']);
    expect(removed).toMatchObject({ subnet, released: true });
    await eventually('another one leads', async () =>
      (await other.status()).raft.leader?.name !== leader.host.name ? true : undefined,
    );
    await other.json(['token', 'create']);
    const leases = await other.json<{ subnet: string }[]>(['leases']);
    expect(leases.map((lease) => lease.subnet)).not.toContain(subnet);
    expect(await ping(other.host, leader.host.address)).toMatchObject({ received: 1 });
  });
});
