/** An AgentApi that answers everything from fixed data; a test replaces the methods it is about. */
import type { AgentApi } from '../../../src/control/agent-api.ts';
import { EXIT, refuse, TsflannelError } from '../../../src/errors.ts';
import type { NodeRef } from '../../../src/observe/agent-facts.ts';
import type { Log, LogFields } from '../../../src/observe/log.ts';
import { buildStatus } from '../../../src/observe/status.ts';
import { healthy } from '../observe/samples.ts';

export const hostA: NodeRef = { id: 'a'.repeat(32), name: 'host-a' };

export const hostB: NodeRef = { id: 'b'.repeat(32), name: 'host-b' };

export const config: object = {
  EnableIPv4: true,
  EnableIPv6: false,
  EnableNFTables: false,
  Network: '10.5.0.0/16',
  SubnetLen: 24,
  SubnetMin: '10.5.1.0',
  SubnetMax: '10.5.255.0',
  Backend: { Type: 'host-gw', Fallback: 'vxlan', VNI: 1, Port: 8472, MTU: 0 },
};

const token = { id: '0123456789', role: 'learner', expiresAt: '2026-11-23T10:00:00.000Z' } as const;

export function fakeAgent(overrides: Partial<AgentApi> = {}): AgentApi {
  return {
    version: async () => ({ version: '1.0.0', pid: 2 ** 22 + 1 }),
    status: async () => buildStatus(healthy),
    wait: async () => buildStatus(healthy),
    members: async () => ({
      data: [
        {
          ...hostA,
          publicIp: '10.0.0.11',
          role: 'voter',
          leader: true,
          lastContactMs: null,
          matchIndex: 815,
        },
        {
          ...hostB,
          publicIp: '10.0.0.12',
          role: 'learner',
          leader: false,
          lastContactMs: 120,
          matchIndex: 810,
        },
      ],
      staleMs: 0,
    }),
    leases: async () => ({
      data: [
        {
          subnet: '10.5.42.0/24',
          ipv6Subnet: null,
          nodeId: hostA.id,
          nodeName: 'host-a',
          publicIp: '10.0.0.11',
          backendType: 'host-gw',
          backendData: { VNI: 1, VtepMAC: '02:00:00:00:00:01' },
          expiresAt: '2026-11-23T10:00:00.000Z',
          reserved: false,
          state: 'active',
        },
      ],
      staleMs: 0,
    }),
    routes: async () => [
      {
        dst: '10.5.23.0/24',
        via: '10.0.0.12',
        dev: 'eth0',
        state: 'installed',
        owner: 'tsflannel',
        peer: 'host-b',
      },
    ],
    configGet: async () => ({ data: { revision: 1, config }, staleMs: 0 }),
    tokenCreate: async ({ role, uses }) => ({
      ...token,
      role,
      usesLeft: uses,
      token: 'tsf1.0123456789.digest.secret',
      joinCommand: 'tsflannel join tsf1.0123456789.digest.secret 10.0.0.11',
    }),
    tokenList: async () => ({ data: [{ ...token, usesLeft: null }], staleMs: 0 }),
    tokenRevoke: async ({ id }) => ({ id }),
    snapshotSave: async () => ({
      data: { nodeId: hostA.id, term: 4, voters: [1], state: {} },
      staleMs: 0,
    }),
    memberRole: async ({ role }) => ({ node: hostB, role, pending: null }),
    memberRemove: async ({ yes }) => ({ node: hostB, subnet: '10.5.23.0/24', released: yes }),
    transferLeader: async () => ({ leader: hostB }),
    leave: async () => ({ node: hostA, subnet: '10.5.42.0/24' }),
    shutdown: async () => ({}),
    ...overrides,
  };
}

export const noQuorum: TsflannelError = new TsflannelError(
  refuse('no-quorum', EXIT.noQuorum, 'No leader among 3 voters; missing: host-b.', 'Bring host-b back.'),
);

export interface LoggedEvent {
  readonly event: string;
  readonly fields: LogFields;
}

export function recordingLog(): { readonly log: Log; readonly events: readonly LoggedEvent[] } {
  const events: LoggedEvent[] = [];
  const record = (event: string, _: string, fields: LogFields = {}): void => {
    events.push({ event, fields });
  };
  return { log: { error: record, warn: record, info: record, debug: record }, events };
}

/** Resolves when the signal is aborted: how a method waits for something that does not come. */
export async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
