/**
 * What this host knows of its membership, in `cluster.json`: which cluster, which epoch, which replica, by which
 * certificate, and where the others were last seen. Written `unfinished` before the first step of `init` or `join` that
 * another host can see, `member` after the last, so that an interrupted one resumes under the same names.
 * The CA key of the epoch lies beside it (`ca.key`), on voters only, never in the log.
 */
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type ReplicaId, toReplicaId } from '../../raft/core/types.ts';
import type { Endpoint } from '../../raft/transport/transport.ts';
import { writeFileAtomic } from '../config/atomic-file.ts';
import { EXIT, refuse, TsflannelError } from '../errors.ts';
import { type NodeId, toNodeId } from '../subnet/lease.ts';
import { ofEpoch } from './epoch.ts';

/** A member as this host last knew it: enough to find and recognise it before the log is here. */
export interface KnownMember {
  readonly replicaId: ReplicaId;
  readonly nodeId: NodeId;
  readonly endpoint: Endpoint;
}

/** `init` or `join` has begun and not ended. The request id makes the repetition the same request. */
export interface UnfinishedMembership {
  readonly state: 'unfinished';
  readonly command: 'init' | 'join';
  readonly clusterId: string;
  readonly requestId: string;
}

export interface Membership {
  readonly state: 'member';
  readonly clusterId: string;
  readonly epoch: number;
  readonly replicaId: ReplicaId;
  /** PEM. */
  readonly caCert: string;
  readonly nodeCert: string;
  readonly known: readonly KnownMember[];
  /** `init` has told the user how to join. Until then the same command goes on instead of refusing. */
  readonly announced: boolean;
}

export type ClusterFile = UnfinishedMembership | Membership;

const FORMAT = 1;
const FILE = 'cluster.json';
/** More than any cluster has: a bound for hostile input. */
const MAX_KNOWN_MEMBERS = 10_000;

/** Null when this host has never been told to be in a cluster. Throws TsflannelError for a file that is damaged. */
export async function loadClusterFile(dataDir: string): Promise<ClusterFile | null> {
  const text = await readIfThere(join(dataDir, FILE));
  if (text === null) return null;
  const file = parseClusterFile(text);
  if (file === undefined) throw damaged(join(dataDir, FILE));
  return file;
}

export async function saveClusterFile(dataDir: string, file: ClusterFile): Promise<void> {
  await writeFileAtomic(join(dataDir, FILE), `${JSON.stringify({ format: FORMAT, ...file })}\n`, {
    mode: 0o600,
  });
}

let lastChange: Promise<void> = Promise.resolve();

/** One change after the other: no two parts of an agent overwrite each other's. A host that has left is left alone. */
export async function changeMembership(
  dataDir: string,
  change: (membership: Membership) => Membership,
): Promise<void> {
  const mine = lastChange.then(async () => {
    const file = await loadClusterFile(dataDir);
    if (file?.state === 'member') await saveClusterFile(dataDir, change(file));
  });
  lastChange = mine.catch(() => undefined);
  await mine;
}

export async function removeClusterFile(dataDir: string): Promise<void> {
  await rm(join(dataDir, FILE), { force: true });
}

export async function loadCaKey(dataDir: string, epoch: number): Promise<string | null> {
  return await readIfThere(caKeyFile(dataDir, epoch));
}

/** Null deletes it: a host that is no longer a voter must not be able to sign. */
export async function saveCaKey(dataDir: string, epoch: number, caKey: string | null): Promise<void> {
  const path = caKeyFile(dataDir, epoch);
  if (caKey === null) await rm(path, { force: true });
  else await writeFileAtomic(path, caKey, { mode: 0o600 });
}

function caKeyFile(dataDir: string, epoch: number): string {
  return join(dataDir, `${ofEpoch('ca', epoch)}.key`);
}

async function readIfThere(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

/** Undefined unless it is exactly what saveClusterFile writes. */
export function parseClusterFile(text: string): ClusterFile | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (!isRecord(value) || value['format'] !== FORMAT) return undefined;
    return value['state'] === 'member' ? parseMembership(value) : parseUnfinished(value);
  } catch {
    return undefined;
  }
}

function parseUnfinished(value: Record<string, unknown>): UnfinishedMembership | undefined {
  const { state, command, clusterId, requestId } = value;
  if (state !== 'unfinished' || (command !== 'init' && command !== 'join')) return undefined;
  if (typeof clusterId !== 'string' || typeof requestId !== 'string') return undefined;
  return { state, command, clusterId, requestId };
}

function parseMembership(value: Record<string, unknown>): Membership | undefined {
  const { clusterId, epoch, replicaId, caCert, nodeCert, known, announced } = value;
  if (typeof clusterId !== 'string' || typeof caCert !== 'string' || typeof nodeCert !== 'string')
    return undefined;
  const members = parseKnownMembers(known);
  if (typeof epoch !== 'number' || !isReplicaId(replicaId) || members === undefined) return undefined;
  if (typeof announced !== 'boolean') return undefined;
  return {
    state: 'member',
    clusterId,
    epoch,
    replicaId: toReplicaId(replicaId),
    caCert,
    nodeCert,
    known: members,
    announced,
  };
}

/** Also the form in which the answer to a join names the members. Undefined when one of them is not a member. */
export function parseKnownMembers(value: unknown): KnownMember[] | undefined {
  if (!Array.isArray(value) || value.length > MAX_KNOWN_MEMBERS) return undefined;
  const members = value.map(parseKnownMember);
  return members.every((member) => member !== undefined) ? members : undefined;
}

function parseKnownMember(value: unknown): KnownMember | undefined {
  if (!isRecord(value) || !isRecord(value['endpoint'])) return undefined;
  const { host, port } = value['endpoint'];
  const { replicaId, nodeId } = value;
  if (typeof host !== 'string' || typeof port !== 'number' || port < 1 || port > 65_535) return undefined;
  if (!isReplicaId(replicaId) || typeof nodeId !== 'string' || !/^[0-9a-f]{32}$/.test(nodeId))
    return undefined;
  return { replicaId: toReplicaId(replicaId), nodeId: toNodeId(nodeId), endpoint: { host, port } };
}

export function isReplicaId(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function damaged(path: string): TsflannelError {
  return new TsflannelError(
    refuse(
      'membership-damaged',
      EXIT.failed,
      `The record of this host's membership in ${path} cannot be read.`,
      'Restore the file from a backup, or run "tsflannel down --purge" and join again.',
    ),
  );
}
