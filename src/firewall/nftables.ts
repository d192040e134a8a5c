/**
 * Keeps our nftables table of one address family at what is wanted. The table is read as nft prints it and compared
 * without white space; what differs is replaced whole, in one transaction, so there is no moment without rules. Never
 * touches another table. An nft that spells a rule in its own way is asked once what it made of ours, and believed
 * from then on.
 */
import type { Family } from '../net/ip.ts';
import { type Exec, output } from './exec.ts';
import { NFT_TABLE } from './rules.ts';

export class Nftables {
  readonly #exec: Exec;
  readonly #ip: string;
  /** How the tool prints what was written last. */
  #spelling: { readonly wanted: string; readonly printed: string } | null = null;

  constructor(exec: Exec, family: Family) {
    this.#exec = exec;
    this.#ip = family === 4 ? 'ip' : 'ip6';
  }

  /** Resolves to whether it wrote. */
  async apply(wanted: string): Promise<boolean> {
    const printed = normal(await this.list(NFT_TABLE));
    if (printed === normal(wanted)) return false;
    if (wanted === this.#spelling?.wanted && printed === this.#spelling.printed) return false;
    await output(this.#exec, ['nft', '-f', '-'], this.#dropTable() + wanted);
    this.#spelling = { wanted, printed: normal(await this.list(NFT_TABLE)) };
    return true;
  }

  /** Throws TsflannelError where nft does not run. */
  async check(): Promise<void> {
    await output(this.#exec, ['nft', 'list', 'tables']);
  }

  async remove(): Promise<void> {
    await output(this.#exec, ['nft', '-f', '-'], this.#dropTable());
  }

  /** Anybody's table. Empty where there is no such table, and where it cannot be read. */
  async list(table: string): Promise<string> {
    const { code, stdout } = await this.#exec(['nft', 'list', 'table', this.#ip, table]);
    return code === 0 ? stdout : '';
  }

  /** Adding a table that exists is no error, so this works whether it does or not. */
  #dropTable(): string {
    return `table ${this.#ip} ${NFT_TABLE}\ndelete table ${this.#ip} ${NFT_TABLE}\n`;
  }
}

function normal(text: string): string {
  return text.replace(/\s+/g, ' ').trim();
}
