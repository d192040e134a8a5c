/** Which member a person means by NODE: a name or id, or the beginning of one that only one member has. Pure. */
import { EXIT, type Refusal, refuse } from '../errors.ts';
import type { Member } from './member.ts';

export type MatchedMember =
  | { readonly ok: true; readonly member: Member }
  | { readonly ok: false; readonly refusal: Refusal };

export function matchMember(members: readonly Member[], text: string): MatchedMember {
  const exact = members.find(({ name, nodeId }) => name === text || nodeId === text);
  if (exact !== undefined) return { ok: true, member: exact };
  const matches = members.filter(({ name, nodeId }) => name.startsWith(text) || nodeId.startsWith(text));
  const [first, ...others] = text === '' ? [] : matches;
  if (first === undefined) return { ok: false, refusal: unknown(text) };
  if (others.length > 0) return { ok: false, refusal: ambiguous(text, matches) };
  return { ok: true, member: first };
}

function unknown(text: string): Refusal {
  return refuse(
    'no-such-member',
    EXIT.failed,
    `There is no member whose name or id begins with "${text}".`,
    '"tsflannel members" shows the ones there are.',
  );
}

function ambiguous(text: string, matches: readonly Member[]): Refusal {
  const names = matches.map(({ name }) => name).sort();
  const shown = names.length > 5 ? [...names.slice(0, 5), '...'] : names;
  return refuse(
    'ambiguous-member',
    EXIT.usage,
    `"${text}" may be any of ${shown.join(', ')}.`,
    'Give more of the name or id.',
  );
}
