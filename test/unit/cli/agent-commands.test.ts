import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { AgentApi } from '../../../src/control/agent-api.ts';
import type { Params } from '../../../src/control/protocol.ts';
import { type ControlServer, serveControl } from '../../../src/control/server.ts';
import type { AgentFacts } from '../../../src/observe/agent-facts.ts';
import { buildStatus } from '../../../src/observe/status.ts';
import { aborted, config, fakeAgent, hostB, noQuorum, recordingLog } from '../control/fake-agent.ts';
import { healthy, peer, raft } from '../observe/samples.ts';
import { type CliOptions, type CliResult, cli, failure } from './harness.ts';

let runDir: string;
let server: ControlServer | undefined;

beforeEach(() => {
  runDir = mkdtempSync(join(tmpdir(), 'cl-commands-'));
});
afterEach(async () => {
  await server?.close();
  rmSync(runDir, { recursive: true });
});

async function agent(overrides: Partial<AgentApi> = {}): Promise<void> {
  server = await serveControl(runDir, fakeAgent(overrides), recordingLog().log);
}

async function run(words: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  return await cli([...words, '--run-dir', runDir], options);
}

function withFacts(facts: Partial<AgentFacts>): Partial<AgentApi> {
  return { status: async () => buildStatus({ ...healthy, ...facts }) };
}

describe('status', () => {
  test('one screen', async () => {
    await agent();
    expect(await run(['status'])).toEqual({
      code: 0,
      stderr: '',
      stdout: `health   healthy
cluster  c1
node     host-a (aaaaaaaa), 10.0.0.11 on eth0, 1.0.0
raft     leader, term 4, 815/815 applied, 3 voters, 1 learner, 1 voter may fail
lease    10.5.42.0/24, mtu 1500, until 2026-11-23T10:00:00.000Z
routes   1 of 1 installed, 0 repaired, 0 foreign

PEER    ADDRESS    SUBNET        PATH    RTT      LOSS  MTU   REASON
host-b  10.0.0.12  10.5.23.0/24  direct  0.31 ms  0 %   1500
`,
    });
  });

  test('--json is the document of the agent', async () => {
    await agent();
    expect(JSON.parse((await run(['status', '--json'])).stdout)).toEqual(buildStatus(healthy));
  });

  test('degraded: exit 3, the problem and what to do', async () => {
    await agent(withFacts({ peers: [{ ...peer, path: 'down', reason: 'no answer' }] }));
    const { code, stdout } = await run(['status']);
    expect(code).toBe(3);
    expect(stdout).toContain('! Host host-b (10.0.0.12) does not answer: no answer.\n  Look whether');
  });

  test('no quorum: exit 4, and what is not known is a dash or none', async () => {
    await agent(
      withFacts({
        raft: { ...raft, role: 'follower', leader: null, missingVoters: [{ id: '1', name: 'host-b' }] },
        lease: null,
        clusterId: null,
        peers: [],
      }),
    );
    const { code, stdout } = await run(['status']);
    expect(code).toBe(4);
    expect(stdout).toContain('health   no-quorum\ncluster  none yet\n');
    expect(stdout).toContain('follower, leader none');
    expect(stdout).toContain('! No leader among 3 voters; missing: host-b.');
  });

  test('a replica that does not run', async () => {
    await agent(withFacts({ raft: null }));
    expect(await run(['status'])).toMatchObject({ code: 4 });
    expect((await run(['status'])).stdout).toContain('raft     not running');
  });

  test('colours on a terminal only, and not with NO_COLOR', async () => {
    await agent();
    expect((await run(['status'], { isTTY: true })).stdout).toContain('\u001b[32mhealthy\u001b[0m');
    const quiet = await run(['status'], { isTTY: true, environment: { NO_COLOR: '1' } });
    expect(quiet.stdout).not.toContain('\u001b');
    expect((await run(['status'])).stdout).not.toContain('\u001b');
  });
});

describe('status --wait', () => {
  test('returns 0 when it holds, also when something else is wrong', async () => {
    const wait = async () => buildStatus({ ...healthy, raft: { ...raft, leader: null } });
    await agent({ wait });
    expect(await run(['status', '--wait', 'lease'])).toMatchObject({
      code: 0,
      stdout: 'lease 10.5.42.0/24\n',
    });
    expect((await run(['status', '--wait', 'ready'])).stdout).toBe('host-a is ready\n');
    expect((await run(['status', '--wait', 'direct'])).stdout).toBe('1 peer direct\n');
  });

  test('passes on what was missing when time was over', async () => {
    await agent({
      wait: async (_, { signal }) => {
        await aborted(signal);
        throw noQuorum;
      },
    });
    const result = await run(['status', '--wait', 'quorum', '--timeout', '50ms', '--json']);
    expect(result.code).toBe(4);
    expect(failure(result)).toEqual(noQuorum.refusal);
  });

  test('waits for an agent that is only just starting', async () => {
    const waiting = run(['status', '--wait', 'quorum']);
    await agent();
    expect(await waiting).toMatchObject({ code: 0, stdout: 'leader is host-a\n' });
  });
});

describe('tables', () => {
  test('members', async () => {
    await agent();
    expect((await run(['members'])).stdout).toBe(
      `ID        NAME    ADDRESS    ROLE           LAST CONTACT  MATCH INDEX
aaaaaaaa  host-a  10.0.0.11  voter, leader  -             815
bbbbbbbb  host-b  10.0.0.12  learner        120 ms ago    810
`,
    );
  });

  test('leases', async () => {
    await agent();
    expect((await run(['leases'])).stdout).toBe(
      `SUBNET        HOST    ADDRESS    BACKEND  STATE   EXPIRES
10.5.42.0/24  host-a  10.0.0.11  host-gw  active  2026-11-23T10:00:00.000Z
`,
    );
  });

  test('routes', async () => {
    await agent();
    expect((await run(['routes'])).stdout).toBe(
      `DESTINATION   VIA        DEVICE  STATE      OWNER      PEER
10.5.23.0/24  10.0.0.12  eth0    installed  tsflannel  host-b
`,
    );
  });

  test('paths, of all peers and of one', async () => {
    const proven = { state: 'proven', rttMs: 0.31, loss: 0, mtu: 1500, reason: null } as const;
    const dead = { state: 'dead', rttMs: null, loss: 1, mtu: null, reason: 'it has never answered' } as const;
    await agent(withFacts({ peers: [{ ...peer, direct: proven, vxlan: dead }] }));
    const text = `PEER    PATH    SINCE                     WAY     STATE   RTT      LOSS   MTU   REASON
host-b  direct  2026-11-22T10:00:00.000Z  direct  proven  0.31 ms  0 %    1500
                                          vxlan   dead    -        100 %  -     it has never answered
`;
    expect((await run(['paths'])).stdout).toBe(text);
    expect((await run(['paths', 'host-'])).stdout).toBe(text);
    expect(JSON.parse((await run(['paths', 'host-b', '--json'])).stdout)).toMatchObject([
      { name: 'host-b', path: 'direct', direct: proven, vxlan: dead },
    ]);
    expect((await run(['paths', 'nobody'])).code).toBe(1);
  });

  test.each(['members', 'leases', 'routes', 'paths', 'token list'])(
    '%s --json is an array',
    async (command) => {
      await agent();
      const document: unknown = JSON.parse((await run([...command.split(' '), '--json'])).stdout);
      expect(Array.isArray(document)).toBe(true);
    },
  );

  test('state that is not the newest is said, and not in the document', async () => {
    await agent({ members: async () => ({ data: [], staleMs: 150_000 }) });
    const { code, stdout, stderr } = await run(['members', '--json']);
    expect([code, stdout]).toEqual([0, '[]\n']);
    expect(stderr).toBe('This is what this host knew 2 min ago: it is not in touch with a leader.\n');
  });

  test("config get keeps flannel's keys", async () => {
    await agent();
    expect(JSON.parse((await run(['config', 'get', '--json'])).stdout)).toEqual(config);
    expect(JSON.parse((await run(['config', 'get'])).stdout)).toEqual(config);
  });
});

describe('token', () => {
  test('create: 24 h, unlimited, learner unless told', async () => {
    const asked: Params<'tokenCreate'>[] = [];
    const tokenCreate = fakeAgent().tokenCreate;
    await agent({
      tokenCreate: async (params, call) => {
        asked.push(params);
        return await tokenCreate(params, call);
      },
    });
    const { stdout } = await run(['token', 'create']);
    expect(stdout).toContain('\n  tsflannel join tsf1.0123456789.digest.secret 10.0.0.11\n');
    await run(['token', 'create', '--role', 'voter', '--ttl', '1h30m', '--uses', '3']);
    expect(asked).toEqual([
      { role: 'learner', ttlMs: 86_400_000, uses: null },
      { role: 'voter', ttlMs: 5_400_000, uses: 3 },
    ]);
  });

  test('list and revoke', async () => {
    await agent();
    expect((await run(['token', 'list'])).stdout).toBe(
      `ID          ROLE     EXPIRES                   USES LEFT
0123456789  learner  2026-11-23T10:00:00.000Z  unlimited
`,
    );
    expect((await run(['token', 'revoke', 'abc'])).stdout).toBe('token abc is revoked\n');
  });

  test('a refusal of the agent is the result', async () => {
    const refused = async (): Promise<never> => {
      throw noQuorum;
    };
    await agent({ tokenCreate: refused });
    const result = await run(['token', 'create']);
    expect(result).toEqual({
      code: 4,
      stdout: '',
      stderr: 'tsflannel: No leader among 3 voters; missing: host-b.\nBring host-b back.\n',
    });
  });

  test('an agent without an answer is exit 8', async () => {
    await agent({ tokenList: () => new Promise(() => undefined) });
    expect((await run(['token', 'list', '--timeout', '50ms'])).code).toBe(8);
  });
});

describe('member', () => {
  test('promote and demote say what is now, or what it waits for', async () => {
    const asked: Params<'memberRole'>[] = [];
    const pending = 'Voters come in pairs.';
    await agent({
      memberRole: async (params) => {
        asked.push(params);
        return { node: hostB, role: params.role, pending: params.node === 'alone' ? pending : null };
      },
    });
    expect(await run(['member', 'promote', 'host-b'])).toMatchObject({ code: 0, stdout: 'host-b votes\n' });
    expect((await run(['member', 'demote', 'bbb'])).stdout).toBe('host-b is a learner\n');
    expect((await run(['member', 'promote', 'alone'])).stdout).toBe(`${pending}\n`);
    expect(asked).toEqual([
      { node: 'host-b', role: 'voter' },
      { node: 'bbb', role: 'learner' },
      { node: 'alone', role: 'voter' },
    ]);
    expect(JSON.parse((await run(['member', 'promote', 'b', '--json'])).stdout)).toEqual({
      node: hostB,
      role: 'voter',
      pending: null,
    });
  });

  test('remove keeps the lease unless it is told --yes', async () => {
    await agent();
    expect((await run(['member', 'remove', 'host-b'])).stdout).toBe(
      'host-b is no member any more; 10.5.23.0/24 stays reserved for it (with --yes it is given back)\n',
    );
    expect((await run(['member', 'remove', 'host-b', '--yes'])).stdout).toBe(
      'host-b is no member any more, and 10.5.23.0/24 is given back\n',
    );
  });

  test('transfer-leader needs no name', async () => {
    const asked: Params<'transferLeader'>[] = [];
    await agent({
      transferLeader: async (params) => {
        asked.push(params);
        return { leader: hostB };
      },
    });
    expect((await run(['member', 'transfer-leader'])).stdout).toBe('host-b leads\n');
    await run(['member', 'transfer-leader', 'host-b']);
    expect(asked).toEqual([{ node: null }, { node: 'host-b' }]);
  });

  test('every one shows examples', async () => {
    for (const name of ['promote', 'demote', 'remove', 'transfer-leader'])
      expect((await run(['member', name, '--help'])).stdout).toContain(`\n  tsflannel member ${name}`);
  });
});

describe('options from everywhere', () => {
  test('global options stand before and after the command, flags win over the environment', async () => {
    await agent();
    const environment = { TSFLANNEL_RUN_DIR: '/nonexistent', TSFLANNEL_JSON: 'true' };
    const before = await cli(['--run-dir', runDir, 'routes'], { environment });
    const after = await cli(['routes', '--run-dir', runDir], { environment });
    expect(after).toEqual(before);
    expect(after.code).toBe(0);
    expect(JSON.parse(after.stdout)).toHaveLength(1);
    const text = await cli(['routes', '--run-dir', runDir, '--json=false'], { environment });
    expect(text.stdout).toContain('DESTINATION');
    expect((await cli(['routes'], { environment })).code).toBe(5);
  });

  test('an empty variable is none; a bad one is named', async () => {
    await agent();
    const environment = { TSFLANNEL_RUN_DIR: runDir, TSFLANNEL_TIMEOUT: '' };
    expect((await cli(['routes'], { environment })).code).toBe(0);
    const result = await cli(['routes'], { environment: { ...environment, TSFLANNEL_TIMEOUT: 'soon' } });
    expect(result.code).toBe(2);
    expect(result.stderr).toContain('TSFLANNEL_TIMEOUT: "soon" is not a duration');
  });
});
