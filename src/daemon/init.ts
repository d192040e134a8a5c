/**
 * `init`: founds a cluster on this host. Writes its identity first and marks the membership unfinished, listens, makes
 * sure that none of the named hosts founds or has a cluster, then writes the first entry. A refusal takes everything
 * back; an interruption is resumed by the same command.
 */
import { randomBytes, randomUUID, X509Certificate } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { bootstrapState } from '../../raft/core/bootstrap.ts';
import { toReplicaId } from '../../raft/core/types.ts';
import { LevelStorage } from '../../raft/storage/level.ts';
import type { InitOptions, InitReady, Running } from '../cli/launcher.ts';
import { foundAuthority } from '../cluster/certificate-authority.ts';
import {
  changeMembership,
  loadClusterFile,
  type Membership,
  saveCaKey,
  saveClusterFile,
} from '../cluster/cluster-file.ts';
import { FIRST_EPOCH } from '../cluster/epoch.ts';
import { askNamedPeers } from '../cluster/founding.ts';
import {
  createIdentity,
  type Identity,
  loadIdentity,
  removeIdentity,
  saveIdentity,
} from '../cluster/identity.ts';
import type { Replica } from '../cluster/replica.ts';
import { certificateDigest, formatToken, newTokenSecret } from '../cluster/token.ts';
import type { Address } from '../config/address.ts';
import { type NetworkConfig, networkFamilies } from '../config/network-config.ts';
import { DEFAULT_PORT } from '../config/ports.ts';
import { EXIT, refuse, TsflannelError } from '../errors.ts';
import { type Ip, ipFamily } from '../net/ip.ts';
import { controlAddress, type Selection } from '../path/interface-selection.ts';
import { hashSecret } from '../subnet/token.ts';
import type { Agent } from './agent.ts';
import { joinCommand } from './agent-api.ts';
import { raftFiles } from './directories.ts';
import { requestLease } from './lease-request.ts';
import { change } from './log-change.ts';
import { forgetMembership, readyFacts, runAgent, running, startMember } from './member-start.ts';
import { startReplica } from './replica-start.ts';
import { openWorkplace, type Workplace } from './workplace.ts';

const FIRST_REPLICA = toReplicaId(1);

const TOKEN_TTL_MS = 24 * 60 * 60 * 1000;
/** A lone voter answers itself; this is for a slow disk. */
const FOUNDING_MS = 30_000;

export async function initCluster(options: InitOptions): Promise<Running<InitReady>> {
  const workplace = await openWorkplace(options, {
    joins: null,
    peers: options.peers.map(({ ip }) => ip),
    families: networkFamilies(options.network),
  });
  try {
    const file = await loadClusterFile(options.dataDir);
    const identity = await loadIdentity(options.dataDir);
    if (file?.state === 'member' && identity !== null && !file.announced) {
      return await resume(workplace, identity, file);
    }
    if (file?.state === 'member') throw new TsflannelError(alreadyMember(file.clusterId));
    return await found(workplace, options, identity);
  } catch (error) {
    await workplace.close();
    throw error;
  }
}

/** The cluster exists, and nobody was told how to join it: only the token is made anew. */
async function resume(
  workplace: Workplace,
  identity: Identity,
  membership: Membership,
): Promise<Running<InitReady>> {
  const agent = await startMember(workplace, identity, membership);
  return running(agent, async () => {
    const { replica } = agent.sources;
    if (replica === null) throw new TsflannelError(alreadyMember(membership.clusterId));
    const { id, secret } = newTokenSecret();
    const grant = {
      id,
      secretHash: hashSecret(secret),
      role: 'learner',
      ttlMs: TOKEN_TTL_MS,
      usesMax: null,
    } as const;
    const signal = AbortSignal.timeout(FOUNDING_MS);
    await change(replica, { kind: 'token-create', token: grant }, 'token-created', { signal });
    return await announce(workplace, agent, membership, id, secret);
  });
}

async function found(
  workplace: Workplace,
  options: InitOptions,
  stored: Identity | null,
): Promise<Running<InitReady>> {
  const { dataDir } = options;
  workplace.watcher.requireAll();
  await workplace.firewall.check();
  const identity = stored ?? createIdentity();
  await workplace.checkConflicts(options.network, identity.nodeId);
  const clusterId = randomBytes(16).toString('hex');
  const names = { clusterId, epoch: FIRST_EPOCH, nodeId: identity.nodeId, replicaId: FIRST_REPLICA };
  const authority = await foundAuthority({ publicKey: identity.publicKey.toString('base64'), names });
  await saveIdentity(dataDir, identity);
  await saveClusterFile(dataDir, {
    state: 'unfinished',
    command: 'init',
    clusterId,
    requestId: randomUUID(),
  });
  const membership: Membership = {
    state: 'member',
    clusterId,
    epoch: FIRST_EPOCH,
    replicaId: FIRST_REPLICA,
    caCert: authority.caCert,
    nodeCert: authority.nodeCert,
    known: [],
    announced: false,
  };
  try {
    const replica = await startFirstReplica(workplace, options, identity, membership, authority.caKey);
    const { id, secret } = newTokenSecret();
    try {
      await bootstrap(workplace, options, identity, membership, replica, { id, secret });
      await saveCaKey(dataDir, FIRST_EPOCH, authority.caKey);
      await saveClusterFile(dataDir, membership);
    } catch (error) {
      await replica.close();
      throw error;
    }
    const agent = await runAgent(workplace, identity, membership, replica);
    return running(agent, () => announce(workplace, agent, membership, id, secret));
  } catch (error) {
    // Nobody outside has seen more of this cluster than its name.
    await forgetMembership(dataDir);
    if (stored === null) await removeIdentity(dataDir);
    throw error;
  }
}

async function startFirstReplica(
  workplace: Workplace,
  { dataDir, peers, network }: InitOptions,
  identity: Identity,
  membership: Membership,
  caKey: string,
): Promise<Replica> {
  const { database } = raftFiles(dataDir, FIRST_EPOCH);
  await rm(database, { recursive: true, force: true }); // of an `init` that was interrupted before anybody could join
  const storage = await LevelStorage.create(
    database,
    { cluster: membership.clusterId, replica: FIRST_REPLICA },
    bootstrapState(FIRST_REPLICA),
  );
  const founding = peers.map(({ ip }) => ip);
  const address = foundingAddress(workplace.watcher.require(), network, peers);
  return await startReplica({ workplace, identity, membership, caKey, founding, address, storage });
}

async function bootstrap(
  workplace: Workplace,
  { network, peers }: InitOptions,
  identity: Identity,
  membership: Membership,
  replica: Replica,
  token: { readonly id: string; readonly secret: string },
): Promise<void> {
  const selection = workplace.watcher.require();
  const address = foundingAddress(selection, network, peers);
  const others = peers.filter(({ ip }) => ip !== selection.publicIp && ip !== selection.publicIpv6);
  const endpoints = others.map(({ ip, port }) => ({ host: ip, port: port ?? DEFAULT_PORT }));
  for (const round of ['initialising', 'founding'] as const) {
    if (round === 'founding') replica.decideFounding();
    const refusal = await askNamedPeers(address, membership.clusterId, endpoints, round);
    if (refusal !== null) throw new TsflannelError(refusal);
  }
  const signal = AbortSignal.timeout(FOUNDING_MS);
  const { name, port } = workplace.options;
  const { result } = await replica.propose(
    {
      kind: 'bootstrap',
      clusterId: membership.clusterId,
      epoch: membership.epoch,
      config: network,
      peers: peers.map(({ ip }) => ip),
      member: {
        nodeId: identity.nodeId,
        publicKey: identity.publicKey.toString('base64'),
        name,
        address,
        port,
        wantsVoter: true,
      },
      token: {
        id: token.id,
        secretHash: hashSecret(token.secret),
        role: 'learner',
        ttlMs: TOKEN_TTL_MS,
        usesMax: null,
      },
    },
    signal,
  );
  if (result.kind === 'refused') throw new TsflannelError(result.refusal);
  const leaseRefusal = await requestLease(
    workplace,
    identity,
    replica,
    { id: randomUUID(), wanted: [] },
    signal,
  );
  if (leaseRefusal !== null) throw new TsflannelError(leaseRefusal);
}

/** What the others reach this host by: what `--peers` calls it, else of the family of the others, else the network's. */
function foundingAddress(selection: Selection, network: NetworkConfig, peers: readonly Address[]): Ip {
  const { publicIp, publicIpv6 } = selection;
  const named = peers.find(({ ip }) => ip === publicIp || ip === publicIpv6);
  if (named !== undefined) return named.ip;
  const [first] = peers;
  const family = first === undefined ? networkFamilies(network)[0] : ipFamily(first.ip);
  return controlAddress(selection, family ?? 4);
}

/** From here on `init` has done its work, and another one is refused. */
async function announce(
  workplace: Workplace,
  agent: Agent,
  membership: Membership,
  id: string,
  secret: string,
): Promise<InitReady> {
  await changeMembership(workplace.start.dataDir, (stored) => ({ ...stored, announced: true }));
  const caDigest = certificateDigest(new X509Certificate(membership.caCert).raw);
  const token = formatToken({ id, caDigest, secret });
  return { ...readyFacts(agent, workplace), token, joinCommand: joinCommand(agent.sources, token) };
}

function alreadyMember(clusterId: string): ReturnType<typeof refuse> {
  return refuse(
    'already-initialised',
    EXIT.conflict,
    `This host is a member of cluster ${clusterId} already.`,
    'Run "tsflannel agent" to start it, or "tsflannel leave" before it founds another cluster.',
  );
}
