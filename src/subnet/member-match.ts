/** Which member a person means by NODE: a name or id, or the beginning of one that only one member has. Pure. */
import { EXIT, type Refusal, refuse } from '../errors.ts';

/** What a member is called. */
interface Called {
  readonly name: string;
  readonly nodeId: string;
}

export type MatchedMember<M> =
  | { readonly ok: true; readonly member: M }
  | { readonly ok: false; readonly refusal: Refusal };

export function matchMember<M extends Called>(members: readonly M[], text: string): MatchedMember<M> {
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

function ambiguous(text: string, matches: readonly Called[]): Refusal {
  const names = matches.map(({ name }) => name).sort();
  const shown = names.length > 5 ? [...names.slice(0, 5), '...'] : names;
  return refuse(
    'ambiguous-member',
    EXIT.usage,
    `"${text}" may be any of ${shown.join(', ')}.`,
    'Give more of the name or id.',
  );
}
