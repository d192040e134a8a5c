/**
 * Checks of JSON that came over a socket, made of small pieces and typed by what they check. Unknown fields pass: an
 * answer may know more than its reader. Pure.
 */
import { type Cidr, parseCidr } from '../net/cidr.ts';
import { type Ip, parseIp } from '../net/ip.ts';

export type Guard<T> = (value: unknown) => value is T;

export const isString: Guard<string> = (value) => typeof value === 'string';
export const isNumber: Guard<number> = (value): value is number =>
  typeof value === 'number' && Number.isFinite(value);
export const isBoolean: Guard<boolean> = (value) => typeof value === 'boolean';
export const isObject: Guard<object> = (value) => isRecord(value);
/** Canonical text only. */
export const isCidr: Guard<Cidr> = (value): value is Cidr => isString(value) && parseCidr(value) === value;
export const isIp: Guard<Ip> = (value): value is Ip => isString(value) && parseIp(value) === value;

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function oneOf<const T extends string>(words: readonly T[]): Guard<T> {
  return (value): value is T => words.some((word) => word === value);
}

/** Left out, or of the kind: a field that was added later. */
export function optional<T>(guard: Guard<T>): Guard<T | undefined> {
  return (value): value is T | undefined => value === undefined || guard(value);
}

export function nullable<T>(guard: Guard<T>): Guard<T | null> {
  return (value): value is T | null => value === null || guard(value);
}

export function arrayOf<T>(guard: Guard<T>): Guard<readonly T[]> {
  return (value): value is readonly T[] => Array.isArray(value) && value.every(guard);
}

/** Every field is checked; fields that are not named here pass. */
export function record<T extends object>(fields: { readonly [K in keyof T]-?: Guard<T[K]> }): Guard<T> {
  return (value): value is T => {
    if (!isRecord(value)) return false;
    for (const name in fields) {
      if (!fields[name](value[name])) return false;
    }
    return true;
  };
}
