/** What may get into the log: nothing that the replicas could not read back, whoever sent it. */
import { describe, expect, it } from 'vitest';
import { createIdentity } from '../../../src/cluster/identity.ts';
import { checkedBytes } from '../../../src/cluster/proposer.ts';
import { toIp } from '../../../src/net/ip.ts';
import { type Command, decodeCommand } from '../../../src/subnet/command.ts';
import { toClusterTime } from '../../../src/subnet/lease.ts';

const identity = createIdentity();
const join: Command = {
  kind: 'join',
  time: toClusterTime(0),
  requestId: 'r'.repeat(36),
  tokenId: '0123456789',
  nodeId: identity.nodeId,
  publicKey: identity.publicKey.toString('base64'),
  name: 'host-b',
  address: toIp('10.0.0.12'),
  port: 6473,
  wantsVoter: null,
};

describe('a command before it is proposed', () => {
  it('is read back as it is', () => {
    expect(decodeCommand(checkedBytes(join, null))).toEqual(join);
  });

  it.each([
    { name: 'bad name!' },
    { name: 'x'.repeat(300) },
    { requestId: 'short' },
    { publicKey: `${join.kind === 'join' ? join.publicKey : ''}\n` },
  ])('with %o is refused instead of stopping every replica', (malformed) => {
    expect(() => checkedBytes({ ...join, ...malformed }, null)).toThrow(/malformed or too long/);
  });
});
