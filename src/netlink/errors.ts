/** What netlink says when it refuses, as values with a stable code, and the one place where errno numbers become names. */
import { constants } from 'node:os';
import { KernelError } from '../dataplane/kernel.ts';

export class NetlinkError extends KernelError {
  override readonly name = 'NetlinkError';
}

const NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(constants.errno).map(([name, number]) => [number, name]),
);

/** `ENETUNREACH`; the number itself where Node has no name for it. */
export function errnoName(errno: number): string {
  return NAMES.get(errno) ?? `errno ${errno}`;
}

/** `text` is the kernel's own, where it gave one. */
export function errnoError(errno: number, op: string, text: string | null = null): NetlinkError {
  return new NetlinkError(errnoName(errno), op, text ?? 'the kernel refused');
}

/** An answer that does not parse: a newer kernel, or a defect of ours. */
export function malformed(op: string, cause: unknown): NetlinkError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new NetlinkError('EBADMSG', op, `the answer cannot be read: ${why}`, { cause });
}
