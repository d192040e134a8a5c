import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { toReplicaId, toTerm } from '../../../raft/core/types.ts';
import type {
  NewEpoch,
  RecoverOptions,
  Recovery,
  RestoreOptions,
  Survey,
} from '../../../src/cli/recovery.ts';
import type { SavedState } from '../../../src/control/answers.ts';
import { serveControl } from '../../../src/control/server.ts';
import { EXIT, refuse, TsflannelError } from '../../../src/errors.ts';
import { decodeSnapshotFile, encodeSnapshotFile } from '../../../src/subnet/snapshot-file.ts';
import { encodeState } from '../../../src/subnet/state.ts';
import { fakeAgent, recordingLog } from '../control/fake-agent.ts';
import { acquireCommand, cluster, node } from '../subnet/samples.ts';
import { type CliOptions, type CliResult, cli, failure } from './harness.ts';

let directory: string;
let file: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'cl-recovery-'));
  file = join(directory, 'cluster.snapshot');
});
afterEach(() => rmSync(directory, { recursive: true }));

const survey: Survey = {
  clusterId: 'c1',
  epoch: 3,
  node: { id: 'c'.repeat(32), name: 'host-c' },
  role: 'voter',
  term: 9,
  lastTerm: 8,
  lastIndex: 120,
  commitIndex: 118,
  keptIndex: 120,
  keptUncommitted: 2,
  dropped: 0,
  members: [
    { id: 'a'.repeat(32), name: 'host-a', publicIp: '10.0.0.11', role: 'voter' },
    { id: 'c'.repeat(32), name: 'host-c', publicIp: '10.0.0.13', role: 'voter' },
  ],
  leases: [
    {
      subnet: '10.5.1.0/24',
      ipv6Subnet: null,
      nodeId: 'a'.repeat(32),
      nodeName: 'host-a',
      publicIp: '10.0.0.11',
      publicIpv6: null,
      state: 'absent',
    },
  ],
};

const made: NewEpoch = {
  clusterId: 'c1',
  epoch: 4,
  node: survey.node,
  token: 'tsf1.0123456789.digest.secret',
  joinCommand: 'tsflannel join tsf1.0123456789.digest.secret 10.0.0.13',
};

interface Asked {
  readonly survey: RecoverOptions[];
  readonly recover: RecoverOptions[];
  readonly restore: RestoreOptions[];
}

/** Runs one command against a daemon that remembers what it was asked. */
async function run(
  words: readonly string[],
  options: CliOptions & { readonly answers?: Partial<Recovery> } = {},
): Promise<{ readonly result: CliResult; readonly asked: Asked }> {
  const asked: Asked = { survey: [], recover: [], restore: [] };
  const recovery: Recovery = {
    async survey(given) {
      asked.survey.push(given);
      return survey;
    },
    async recover(given) {
      asked.recover.push(given);
      return made;
    },
    async clusterOf() {
      return null;
    },
    async restore(given) {
      asked.restore.push(given);
      return made;
    },
    ...options.answers,
  };
  const where = ['--data-dir', directory, '--run-dir', directory];
  const result = await cli([...words, ...where], { ...options, recovery: async () => recovery });
  return { result, asked };
}

const RECOVER = ['recover', '--force-new-cluster'];

describe('recover', () => {
  test('needs --force-new-cluster, and looks at nothing without it', async () => {
    const { result, asked } = await run(['recover', '--yes', '--json']);
    expect(failure(result)).toMatchObject({ code: 'usage', exitCode: 2 });
    expect(asked.survey).toEqual([]);
  });

  test('--dry-run shows what is there and begins nothing, with --yes neither', async () => {
    const { result, asked } = await run([...RECOVER, '--dry-run', '--yes']);
    expect(result).toEqual({
      code: 0,
      stderr: '',
      stdout: `cluster     c1
epoch       3
node        host-c (cccccccc), voter
last entry  term 8, index 120
committed   index 118; 2 entries not known to be committed kept
term        9

ID        NAME    ADDRESS    ROLE
aaaaaaaa  host-a  10.0.0.11  voter
cccccccc  host-c  10.0.0.13  voter

SUBNET       NODE    ADDRESS    STATE
10.5.1.0/24  host-a  10.0.0.11  absent

Recover on the host with the highest last term, then the highest last index.
`,
    });
    expect(asked.recover).toEqual([]);
  });

  test('--dry-run --json is the document to compare hosts by', async () => {
    const { result } = await run([...RECOVER, '--dry-run', '--json']);
    expect(JSON.parse(result.stdout)).toEqual(survey);
  });

  test('without --yes it says who would be out: 9', async () => {
    const { result, asked } = await run([...RECOVER, '--json']);
    const error = failure(result);
    expect(error).toMatchObject({ code: 'needs-yes', exitCode: 9 });
    expect(error['text']).toMatch(
      /Epoch 4 of cluster c1 .* host-c alone, from entry 120 .* host-a would be out/,
    );
    expect(asked.recover).toEqual([]);
  });

  test('with --yes it begins the new epoch and prints the line to join with', async () => {
    const { result, asked } = await run([...RECOVER, '--yes']);
    expect(result.code).toBe(0);
    expect(result.stdout).toContain(made.joinCommand);
    expect(asked.recover).toEqual([{ dataDir: directory, runDir: directory, discardUncommitted: false }]);
    expect(JSON.parse((await run([...RECOVER, '--yes', '--json'])).result.stdout)).toEqual(made);
  });

  test('what is to be dropped is known to the survey, the question and the recovery', async () => {
    const dropping: Recovery['survey'] = async () => ({ ...survey, keptUncommitted: 0, dropped: 2 });
    const words = [...RECOVER, '--discard-uncommitted'];
    const { result } = await run([...words, '--json'], { answers: { survey: dropping } });
    expect(failure(result)['text']).toContain('2 entries not known to be committed dropped');
    const { asked } = await run([...words, '--yes']);
    expect([...asked.survey, ...asked.recover].map(({ discardUncommitted }) => discardUncommitted)).toEqual([
      true,
      true,
    ]);
  });

  test('a refusal of the daemon is the answer', async () => {
    const busy = async (): Promise<never> => {
      throw new TsflannelError(refuse('directory-in-use', EXIT.conflict, 'It is in use.', 'Stop the agent.'));
    };
    const { result } = await run([...RECOVER, '--dry-run', '--json'], { answers: { survey: busy } });
    expect(failure(result)).toMatchObject({ code: 'directory-in-use', exitCode: 7 });
  });
});

const sample = cluster(2);
sample.expect('acquired', acquireCommand(2));

const saved: SavedState = {
  nodeId: node(2),
  term: 7,
  voters: [1],
  state: JSON.parse(Buffer.from(encodeState(sample.state)).toString()),
};

function write(): void {
  const header = { savedBy: node(2), savedAt: '2026-11-23T10:00:00.000Z', staleMs: 0, term: toTerm(7) };
  writeFileSync(file, encodeSnapshotFile({ ...header, voters: [toReplicaId(1)], state: sample.state }));
}

describe('snapshot save', () => {
  const serve = (staleMs: number) =>
    serveControl(
      directory,
      fakeAgent({ snapshotSave: async () => ({ data: saved, staleMs }) }),
      recordingLog().log,
    );

  test('writes what the agent holds, for root only', async () => {
    await using _ = await serve(0);
    const { result } = await run(['snapshot', 'save', file, '--json']);
    expect(JSON.parse(result.stdout)).toEqual({
      file,
      bytes: statSync(file).size,
      clusterId: 'c1',
      epoch: 1,
      index: sample.state.index,
      staleMs: 0,
    });
    expect(decodeSnapshotFile(readFileSync(file))).toMatchObject({
      savedBy: node(2),
      term: 7,
      voters: [1],
      state: sample.state,
    });
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  test('says how old that is', async () => {
    await using _ = await serve(600_000);
    const { result } = await run(['snapshot', 'save', file]);
    expect(result.stderr).toContain('10 min ago');
    expect(decodeSnapshotFile(readFileSync(file)).staleMs).toBe(600_000);
  });

  test('a file that cannot be written is named: 1; no agent: 5', async () => {
    {
      await using _ = await serve(0);
      const path = join(directory, 'missing', 'file');
      const { result } = await run(['snapshot', 'save', path, '--json']);
      expect(failure(result)).toMatchObject({ code: 'unwritable-output', exitCode: 1 });
      expect(failure(result)['text']).toContain(path);
    }
    const { result } = await run(['snapshot', 'save', file, '--json']);
    expect(failure(result)).toMatchObject({ exitCode: 5 });
    expect(existsSync(file)).toBe(false);
  });
});

describe('snapshot inspect', () => {
  test('shows the members, the leases and the configuration', async () => {
    write();
    const { stdout } = (await run(['snapshot', 'inspect', file, '--json'])).result;
    expect(JSON.parse(stdout)).toMatchObject({
      clusterId: 'c1',
      epoch: 1,
      index: sample.state.index,
      term: 7,
      savedBy: node(2),
      members: [
        { name: 'host-1', role: 'voter' },
        { name: 'host-2', role: 'learner' },
      ],
      leases: [{ nodeName: 'host-2', state: 'active' }],
      configRevision: 1,
      config: { Network: '10.5.0.0/16' },
    });
    const text = (await run(['snapshot', 'inspect', file])).result.stdout;
    expect(text).toMatch(/saved +2026-11-23T10:00:00.000Z by host-2/);
    expect(text).toContain('"Network": "10.5.0.0/16"');
  });

  test.each([
    ['nothing at the path', null, { code: 'unreadable-input', exitCode: 2 }],
    ['another file', 'SQLite format 3', { code: 'snapshot-damaged', exitCode: 1 }],
  ])('%s is refused', async (_, content, refusal) => {
    if (content !== null) writeFileSync(file, content);
    const { result } = await run(['snapshot', 'inspect', file, '--json']);
    expect(failure(result)).toMatchObject(refusal);
    expect(failure(result)['text']).toContain(file);
  });
});

describe('snapshot restore', () => {
  test('on a member of that cluster it says what will be lost: 9, and does it with --yes', async () => {
    write();
    const answers: Partial<Recovery> = { clusterOf: async () => 'c1' };
    const { result, asked } = await run(['snapshot', 'restore', file, '--json'], { answers });
    expect(failure(result)).toMatchObject({ code: 'needs-yes', exitCode: 9 });
    expect(failure(result)['text']).toContain('as it was at 2026-11-23T10:00:00.000Z');
    expect(asked.restore).toEqual([]);
    expect((await run(['snapshot', 'restore', file, '--yes'], { answers })).asked.restore).toHaveLength(1);
  });

  test('on a host in no cluster it needs no --yes, and gets a verified snapshot and the options of the agent', async () => {
    write();
    const { result, asked } = await run(['snapshot', 'restore', file, '--name', 'other', '--json']);
    expect(JSON.parse(result.stdout)).toEqual(made);
    expect(asked.restore).toMatchObject([
      { dataDir: directory, given: { name: ['other'] }, snapshot: { state: sample.state } },
    ]);
  });

  test('never asks about a file that is damaged', async () => {
    writeFileSync(file, 'tsflsnap');
    const { result, asked } = await run(['snapshot', 'restore', file, '--json']);
    expect(failure(result)).toMatchObject({ code: 'snapshot-damaged', exitCode: 1 });
    expect(asked.restore).toEqual([]);
  });
});
