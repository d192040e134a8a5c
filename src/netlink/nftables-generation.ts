/**
 * The generation of a network namespace's nftables rules: a number that the kernel raises with each transaction of
 * anybody, iptables-nft included. It can be asked for, and the kernel tells when it changes; what the rules are is not
 * read here. One event a transaction, however many rules it has: the kernel keeps the others back.
 */
import { parseMessages, readU16, writeU16, writeU32 } from 'netlink/dist/structs.js';
import { NLM_F, NLMSG } from './constants.ts';
import { malformed, NetlinkError } from './errors.ts';
import { onlyProgram } from './event-filter.ts';
import { NETLINK_NETFILTER, NetlinkSocket } from './socket.ts';

const NFNL_SUBSYS_NFTABLES = 10;
const NFT_MSG_NEWGEN = (NFNL_SUBSYS_NFTABLES << 8) | 15;
const NFT_MSG_GETGEN = (NFNL_SUBSYS_NFTABLES << 8) | 16;
const NFNLGRP_NFTABLES = 7;
const NFTA_GEN_ID = 1;
const HEADER_BYTES = 16;
/** Family, version, resource id. */
const NFGENMSG_BYTES = 4;
const OP = 'ask for the generation of the rules';

export class NftablesGeneration {
  readonly #asking: NetlinkSocket;
  readonly #events: NetlinkSocket;

  private constructor(asking: NetlinkSocket, events: NetlinkSocket) {
    this.#asking = asking;
    this.#events = events;
  }

  /** In the network namespace of the calling thread. Throws a NetlinkError. */
  static open(onChange: () => void): NftablesGeneration {
    const asking = NetlinkSocket.open(NETLINK_NETFILTER);
    let events: NetlinkSocket | undefined;
    try {
      events = NetlinkSocket.open(NETLINK_NETFILTER);
      const generation = new NftablesGeneration(asking, events);
      events.filter(onlyProgram(NFT_MSG_NEWGEN));
      events.join(NFNLGRP_NFTABLES);
      events.listen(() => generation.#drain(onChange));
      return generation;
    } catch (error) {
      asking.close();
      events?.close();
      throw error;
    }
  }

  /** Throws a NetlinkError. */
  read(): number {
    const request = Buffer.alloc(HEADER_BYTES + NFGENMSG_BYTES);
    writeU32.call(request, request.length, 0);
    writeU16.call(request, NFT_MSG_GETGEN, 4);
    writeU16.call(request, NLM_F.request, 6);
    this.#asking.send(request, OP);
    const answer = this.#asking.receive(OP);
    if (!(answer instanceof Buffer)) throw new NetlinkError('EBADMSG', OP, 'the kernel gave no answer');
    return generationOf(answer);
  }

  close(): void {
    this.#asking.close();
    this.#events.close();
  }

  /** Whatever they say, and also when some were lost: the rules are not what they were. */
  #drain(onChange: () => void): void {
    let changed = false;
    try {
      while (this.#events.receive('read events of the rules') !== 'again') changed = true;
    } catch {
      changed = true;
    }
    if (changed) onChange();
  }
}

function generationOf(answer: Buffer): number {
  const [message] = parseMessages(answer);
  if (message === undefined || message.type === NLMSG.error || message.type !== NFT_MSG_NEWGEN)
    throw malformed(OP, new Error('another message'));
  const { data } = message;
  for (let at = NFGENMSG_BYTES; at + 4 <= data.length; ) {
    const length = readU16.call(data, at);
    if (length < 4) break;
    if (readU16.call(data, at + 2) === NFTA_GEN_ID && at + 8 <= data.length) return data.readUInt32BE(at + 4);
    at += (length + 3) & ~3;
  }
  throw malformed(OP, new Error('no generation'));
}
