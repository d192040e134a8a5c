/**
 * What applying a command gives: the same value on every replica. A refusal is a result like any other and has changed
 * nothing. Has a strict JSON form, because the host that asked is often not the one that proposed.
 */
import { COMMAND_BYTES_MAX, LEASES_MAX } from '../config/limits.ts';
import {
  canonicalJson,
  cidr,
  Fields,
  list,
  nullable,
  oneOf,
  type Parser,
  parseJsonBytes,
  record,
  text,
} from '../config/strict-json.ts';
import { EXIT, type Refusal } from '../errors.ts';
import type { Cidr } from '../net/cidr.ts';
import { clusterId, epoch, revision } from './command.ts';
import type { Lease, NodeId } from './lease.ts';
import { lease, nodeId } from './lease-codec.ts';
import { type Member, member } from './member.ts';
import { type Token, token, tokenId } from './token.ts';

export type CommandResult =
  | {
      /** A bootstrap or a join: the host is a member. */
      readonly kind: 'joined';
      readonly clusterId: string;
      readonly epoch: number;
      readonly member: Member;
    }
  | { readonly kind: 'member-updated'; readonly member: Member }
  | { readonly kind: 'member-removed'; readonly member: Member; readonly released: readonly Cidr[] }
  | { readonly kind: 'token-created'; readonly token: Token }
  | { readonly kind: 'token-revoked'; readonly tokenId: string }
  | {
      readonly kind: 'acquired';
      readonly lease: Lease;
      /** The absent host whose subnet this was, where nothing else was left. */
      readonly reusedFrom: NodeId | null;
    }
  | { readonly kind: 'renewed'; readonly lease: Lease }
  | { readonly kind: 'attributes-updated'; readonly lease: Lease }
  | { readonly kind: 'released'; readonly subnet: Cidr }
  | { readonly kind: 'reserved'; readonly subnet: Cidr; readonly nodeId: NodeId }
  | { readonly kind: 'unreserved'; readonly subnet: Cidr }
  | { readonly kind: 'marked-absent'; readonly subnets: readonly Cidr[] }
  | { readonly kind: 'config-set'; readonly revision: number }
  | { readonly kind: 'refused'; readonly refusal: Refusal };

export type CommandResultKind = CommandResult['kind'];

export function refused(refusal: Refusal): CommandResult {
  return { kind: 'refused', refusal };
}

export function encodeResult(result: CommandResult): Uint8Array {
  return new TextEncoder().encode(canonicalJson(result));
}

/** Throws DecodeError for anything that encodeResult did not write. */
export function decodeResult(bytes: Uint8Array): CommandResult {
  const fields = new Fields(parseJsonBytes(bytes, COMMAND_BYTES_MAX));
  const result = readResult(fields);
  fields.end();
  return result;
}

const sentence = text(/^[^\n\r]{0,4096}$/);

const refusal: Parser<Refusal> = record((fields) => ({
  code: fields.get('code', text(/^[a-z0-9-]{1,64}$/)),
  exitCode: fields.get('exitCode', oneOf(...Object.values(EXIT))),
  text: fields.get('text', sentence),
  fix: fields.get('fix', sentence),
}));

const resultKind: Parser<CommandResultKind> = oneOf(
  'joined',
  'member-updated',
  'member-removed',
  'token-created',
  'token-revoked',
  'acquired',
  'renewed',
  'attributes-updated',
  'released',
  'reserved',
  'unreserved',
  'marked-absent',
  'config-set',
  'refused',
);

function readResult(fields: Fields): CommandResult {
  const kind = fields.get('kind', resultKind);
  switch (kind) {
    case 'joined':
      return {
        kind,
        clusterId: fields.get('clusterId', clusterId),
        epoch: fields.get('epoch', epoch),
        member: fields.get('member', member),
      };
    case 'member-updated':
      return { kind, member: fields.get('member', member) };
    case 'member-removed':
      return {
        kind,
        member: fields.get('member', member),
        released: fields.get('released', list(cidr, LEASES_MAX)),
      };
    case 'token-created':
      return { kind, token: fields.get('token', token) };
    case 'token-revoked':
      return { kind, tokenId: fields.get('tokenId', tokenId) };
    case 'acquired':
      return {
        kind,
        lease: fields.get('lease', lease),
        reusedFrom: fields.get('reusedFrom', nullable(nodeId)),
      };
    case 'renewed':
    case 'attributes-updated':
      return { kind, lease: fields.get('lease', lease) };
    case 'reserved':
      return { kind, subnet: fields.get('subnet', cidr), nodeId: fields.get('nodeId', nodeId) };
    case 'released':
    case 'unreserved':
      return { kind, subnet: fields.get('subnet', cidr) };
    case 'marked-absent':
      return { kind, subnets: fields.get('subnets', list(cidr, LEASES_MAX)) };
    case 'config-set':
      return { kind, revision: fields.get('revision', revision) };
    case 'refused':
      return { kind, refusal: fields.get('refusal', refusal) };
  }
}
