/** `join`: this host becomes a member of the cluster that the token is of, and runs its agent. */
import { type Address, parseAddress } from '../../config/address.ts';
import type { MemberRole } from '../../control/answers.ts';
import { LEARNER, SUBNET, VOTER } from '../command-flags.ts';
import type { CommandFunction } from '../context.ts';
import { type Given, usageError } from '../given.ts';
import { joinReport } from '../ready-text.ts';
import { start } from '../start.ts';
import { readToken, splitJoinWords } from '../token-source.ts';

export const join: CommandFunction = async (context, args) => {
  const { given, terminal } = context;
  const words = splitJoinWords(args, terminal.environment);
  const contacts = readContacts(words.addresses);
  const role = readRole(given);
  const subnets = given.get(SUBNET) ?? [];
  const token = await readToken(words.token, terminal.stdin);
  return await start(context, {
    launch: (launcher, options) => launcher.join({ ...options, token, contacts, role, subnets }),
    report: joinReport,
    secret: { word: words.token, text: token },
    becomesService: true,
  });
};

function readContacts(words: readonly string[]): readonly Address[] {
  if (words.length === 0)
    throw usageError(
      'The address of a member is missing.',
      'Give it after the token: "tsflannel join TOKEN ADDR".',
    );
  return words.map((word) => {
    const address = parseAddress(word);
    if (address !== undefined) return address;
    throw usageError(`${JSON.stringify(word)} is not an address (IP, IP:PORT or [IPv6]:PORT).`);
  });
}

function readRole(given: Given): MemberRole | null {
  const voter = given.get(VOTER) === true;
  const learner = given.get(LEARNER) === true;
  if (voter && learner) throw usageError('--voter and --learner exclude each other.');
  return voter ? 'voter' : learner ? 'learner' : null;
}
